// Frames of an episode: read by inner chunks as they are looked at, some kept, the next ones fetched ahead.

import { el } from "./dom";
import type { Episode } from "./episodes";
import { number, shape } from "./format";
import type { Moment } from "./moment";
import { failed } from "./notice";
import { layoutOf, paint, rangeOf, withAlpha, type Layout } from "./picture";
import type { Leaf, Vault } from "./vault";

const KEPT = 96 << 20; // bytes of frames in memory
const SIDE = 240; // pixels on the screen that a small picture is enlarged to
const WIDE = 560; // the same, of pictures side by side

interface Piece {
  data: ArrayLike<number>;
  first: number;
}

export class Frames {
  readonly element: HTMLElement;
  private pieces = new Map<number, Promise<Piece>>();
  private layout: Layout;
  private canvas: HTMLCanvasElement;
  private caption = el("figcaption");
  private range?: [number, number];
  private size: number;
  private rows: number;

  constructor(
    private vault: Vault,
    private leaf: Leaf,
    private episode: Episode,
    private moment: Moment,
    private signal: AbortSignal,
  ) {
    this.layout = layoutOf(leaf)!;
    this.size = leaf.shape.reduce((a, b) => a * b, 1);
    this.rows = vault.chunkRows(leaf);
    this.canvas = el("canvas", { role: "img" });
    this.element = el("figure", { class: "frames", "data-leaf": leaf.name }, this.canvas, this.caption);
    moment.listen(() => void this.show());
    void this.show();
  }

  /** Paints the step that is looked at, and fetches what follows it. */
  private async show(): Promise<void> {
    const { step } = this.moment;
    try {
      const piece = await this.piece(step);
      if (this.moment.step !== step || this.signal.aborted) return;
      this.draw(piece, step);
      const next = step + this.rows;
      if (next < this.episode.length) this.piece(next).catch(() => undefined);
    } catch (error) {
      if (this.signal.aborted) return;
      this.canvas.hidden = true;
      this.caption.replaceChildren(el("strong", {}, this.leaf.label), failed(error, () => void this.show()));
    }
  }

  private draw(piece: Piece, step: number): void {
    const at = (step - piece.first) * this.size;
    if (!this.range) {
      this.range = rangeOf(this.leaf, piece.data);
      this.layout = withAlpha(this.layout, this.leaf, piece.data, at, this.size);
    }
    paint(this.canvas, this.layout, piece.data, at, this.range);
    this.canvas.hidden = false;
    const times = Math.max(1, Math.floor(Math.min(SIDE / this.layout.height, WIDE / this.canvas.width)));
    this.canvas.style.width = `${this.canvas.width * times}px`;
    this.canvas.dataset.step = String(step);
    const final = step >= this.episode.length ? ", final" : "";
    const [low, high] = this.range;
    const scaled = high === 255 || high === 1 ? "" : `, black ${number(low)}, white ${number(high)}`;
    this.canvas.setAttribute("aria-label", `${this.leaf.label} at step ${step}${final}`);
    this.caption.replaceChildren(
      el("strong", {}, this.leaf.label),
      ` ${shape(this.leaf.shape)} ${this.leaf.dtype}, ${this.layout.what}${scaled}${final}`,
    );
  }

  private piece(step: number): Promise<Piece> {
    const { episode } = this;
    const final = step >= episode.length;
    const number = final ? -1 : Math.floor((episode.start + step) / this.rows);
    const known = this.pieces.get(number);
    if (known) {
      this.pieces.delete(number); // to the end: what was used last goes last
      this.pieces.set(number, known);
      return known;
    }
    const made = final ? this.readFinal() : this.read(number);
    this.pieces.set(number, made);
    made.catch(() => this.pieces.delete(number));
    const most = Math.max(3, Math.floor(KEPT / (this.rows * this.size)));
    for (const old of this.pieces.keys()) {
      if (this.pieces.size <= most) break;
      this.pieces.delete(old);
    }
    return made;
  }

  private async read(number: number): Promise<Piece> {
    const { stream, start, length } = this.episode;
    const low = Math.max(start, number * this.rows);
    const high = Math.min(start + length, (number + 1) * this.rows);
    const { data } = await this.vault.steps(this.leaf, stream, low, high, this.signal);
    return { data, first: low - start };
  }

  private async readFinal(): Promise<Piece> {
    if (!this.leaf.hasFinal || !this.episode.finalKnown) {
      // What has no final row stays at its last step.
      const last = await this.piece(this.episode.length - 1);
      return { data: last.data, first: last.first + 1 };
    }
    const { data } = await this.vault.final(this.leaf, this.episode.id, this.signal);
    return { data, first: this.episode.length };
  }
}
