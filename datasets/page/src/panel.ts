// One leaf over an episode: lines where it is numbers, runs where it is text.

import { Chart, type Line } from "./chart";
import { el, whenSeen } from "./dom";
import { dateText, texts } from "./dtypes";
import type { Episode } from "./episodes";
import { Failure } from "./failure";
import { bytes, number, shape } from "./format";
import { Heat } from "./heat";
import type { Moment } from "./moment";
import { shownIn } from "./notice";
import type { Leaf, Vault } from "./vault";

/** What all panels of an episode have in common. */
export interface Scene {
  vault: Vault;
  episode: Episode;
  moment: Moment;
  /** The steps that are read: all, or a stretch of a very long episode. */
  start: number;
  stop: number;
  signal: AbortSignal;
  charts: Chart[];
  heats: Heat[];
}

const LINES = 8; // that are drawn at first
const CHOICE = 16; // values from which on the legend is a choice
const UNASKED = 8 << 20; // bytes that are fetched without being asked for
const RUNS = 300; // of text that are listed

export class Panel {
  readonly element: HTMLDetailsElement;
  private body = el("div", { class: "panel-body" });
  private loaded = false;

  constructor(
    private scene: Scene,
    private leaf: Leaf,
    open: boolean,
  ) {
    const role = leaf.role && leaf.role !== leaf.name ? el("span", { class: "tag" }, leaf.role) : null;
    const facts = el("span", { class: "facts" }, `${leaf.dtype} ${shape(leaf.shape)}`);
    const summary = el("summary", {}, el("strong", {}, leaf.label), " ", facts, role);
    this.element = el("details", { class: "panel", "data-leaf": leaf.name, open }, summary, this.body);
    // What will be here, so that nothing jumps when it comes.
    if (/number|bool/.test(leaf.kind.as)) this.body.style.minHeight = `${this.height + (leaf.width > LINES ? 66 : 32)}px`;
    this.element.addEventListener("toggle", () => this.element.open && this.load());
    if (open) whenSeen(this.element, () => this.load());
  }

  /** Opens the panel and brings it into sight. */
  reveal(): void {
    this.element.open = true;
    this.load();
    this.element.scrollIntoView({ block: "center", behavior: "instant" });
  }

  /** Of the chart, in pixels. */
  private get height(): number {
    return this.leaf.kind.as === "bool" ? 76 : this.leaf.width === 1 ? 130 : 170;
  }

  private load(): void {
    if (this.loaded) return;
    this.loaded = true;
    const size = itemBytes(this.leaf.dtype) * this.leaf.width * (this.scene.stop - this.scene.start);
    const go = () => void shownIn(this.body, () => this.fill());
    if (size <= UNASKED) return go();
    const button = el("button", { type: "button", onclick: go }, `Show ${bytes(size)} of ${this.leaf.label}`);
    this.body.replaceChildren(button);
  }

  private async fill(): Promise<void> {
    const { leaf, scene } = this;
    this.body.replaceChildren(el("p", { class: "loading" }, "Reading…"));
    if (leaf.kind.as === "none") {
      throw new Failure(`Values of dtype ${leaf.dtype} are not shown here.`, "Read them with Strongbax or zarr-python.");
    }
    if (leaf.width === 0) throw new Failure("A step of this leaf has no values.");
    const { vault, episode, signal } = scene;
    const final = leaf.hasFinal && episode.finalKnown && scene.stop === episode.length;
    const [rows, last] = await Promise.all([
      vault.steps(leaf, episode.stream, episode.start + scene.start, episode.start + scene.stop, signal),
      final ? vault.final(leaf, episode.id, signal) : undefined,
    ]);
    const data = [rows.data, ...(last ? [last.data] : [])];
    if (leaf.kind.as === "number" || leaf.kind.as === "bool") this.draw(data, last !== undefined);
    else this.body.replaceChildren(this.runs(data));
  }

  private draw(data: ArrayLike<number>[], final: boolean): void {
    const { leaf } = this;
    const show = (dims: number[]) => {
      this.drop();
      const lines = dims.map((dim) => ({ label: this.nameOf(dim), values: picked(data, dim, leaf.width) }));
      const reward = leaf.role === "reward";
      if (reward && leaf.width === 1) lines.push(toDate(lines[0]!.values));
      const stepped = leaf.kind.as === "bool" || /int/.test(leaf.dtype);
      const { start, stop, episode, moment } = this.scene;
      const last = stop === episode.length ? moment.last : stop - 1;
      const chart = new Chart(lines, { title: leaf.label, start, last, stepped, height: this.height, final }, moment);
      this.scene.charts.push(chart);
      return chart.element;
    };
    const first = Array.from({ length: Math.min(LINES, leaf.width) }, (_, n) => n);
    const host = el("div", {}, show(first));
    if (leaf.width <= LINES) {
      this.body.replaceChildren(host, this.csv(data));
      return;
    }
    const choice = this.choice(first, (dims) => host.replaceChildren(show(dims)));
    this.body.replaceChildren(choice.element, ...this.heat(data[0]!, choice.about), host, this.csv(data));
  }

  /** Of a wide leaf: all its values at a glance. */
  private heat(values: ArrayLike<number>, about: (dim: number) => void): HTMLElement[] {
    const { start, stop, moment, episode } = this.scene;
    if (this.leaf.width < CHOICE) return [];
    const last = stop === episode.length ? moment.last : stop - 1;
    const made = new Heat(values, this.leaf.width, start, last, moment, about);
    this.scene.heats.push(made);
    return [made.element];
  }

  /** A button that saves what is drawn, every value in full. */
  private csv(data: ArrayLike<number>[]): HTMLElement {
    const { leaf, scene } = this;
    const save = () => {
      const names = Array.from({ length: leaf.width }, (_, dim) => `"${this.nameOf(dim)}"`);
      const lines = [["step", ...names].join(",")];
      for (const part of data) {
        for (let at = 0; at < part.length; at += leaf.width) {
          const values = Array.from({ length: leaf.width }, (_, dim) => part[at + dim]);
          lines.push([scene.start + lines.length - 1, ...values].join(","));
        }
      }
      const url = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
      const file = `episode-${scene.episode.id}-${leaf.name.replaceAll("/", ".")}.csv`;
      el("a", { href: url, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    };
    const what = `Save ${leaf.label} as CSV`;
    return el("button", { type: "button", class: "quiet csv", "aria-label": what, title: what, onclick: save }, "CSV");
  }

  /** Which of many values are drawn: `0-7, 12`. */
  private choice(first: number[], then: (dims: number[]) => void): { element: HTMLElement; about: (dim: number) => void } {
    const { width } = this.leaf;
    const input = el("input", { type: "text", value: `0-${first.length - 1}`, size: 14, spellcheck: "false" });
    const said = el("span", { class: "said", role: "status" });
    input.addEventListener("change", () => {
      const dims = parseDims(input.value, width);
      said.textContent = dims ? "" : `Give places from 0 to ${width - 1}, such as 0-3, 12; at most ${CHOICE * 2}.`;
      input.toggleAttribute("aria-invalid", !dims);
      if (dims) then(dims);
    });
    const all = width <= CHOICE * 2 && el("button", { type: "button", class: "quiet", onclick: () => choose(`0-${width - 1}`) }, "All");
    const from = (at: number) => {
      const low = Math.max(0, Math.min(at, width - LINES));
      choose(`${low}-${Math.min(width, low + LINES) - 1}`);
    };
    const by = (step: number) => from((parseDims(input.value, width) ?? first)[0]! + step * LINES);
    const choose = (text: string) => {
      input.value = text;
      input.dispatchEvent(new Event("change"));
    };
    const element = el(
      "div",
      { class: "choice" },
      el("button", { type: "button", class: "quiet", "aria-label": "Values before", onclick: () => by(-1) }, "‹"),
      el("label", {}, "Values ", input, ` of ${number(width)}`),
      el("button", { type: "button", class: "quiet", "aria-label": "Values behind", onclick: () => by(1) }, "›"),
      all,
      said,
    );
    return { element, about: (dim) => from(dim - LINES / 2) };
  }

  /** Equal texts one after the other are one line. */
  private runs(data: ArrayLike<number>[]): HTMLElement {
    const { leaf, scene } = this;
    const said = data.flatMap((part) => this.words(part));
    const width = Math.max(1, leaf.width);
    const runs: { from: number; text: string }[] = [];
    for (let step = 0; step * width < said.length; step++) {
      const text = said.slice(step * width, (step + 1) * width).join(" · ");
      if (runs.at(-1)?.text !== text) runs.push({ from: scene.start + step, text });
    }
    const items = runs.slice(0, RUNS).map(({ from, text }) => {
      const jump = el("button", { type: "button", class: "quiet", onclick: () => scene.moment.to(from) }, `step ${number(from)}`);
      return el("li", {}, jump, " ", el("span", {}, text || "(empty)"));
    });
    const mark = () => {
      const at = runs.findLastIndex((run) => run.from <= scene.moment.step);
      items.forEach((item, n) => item.toggleAttribute("aria-current", n === at));
    };
    scene.moment.listen(mark);
    mark();
    const more = runs.length > RUNS && el("p", { class: "said" }, `${number(runs.length - RUNS)} more changes are not listed.`);
    return el("div", {}, el("ol", { class: "runs" }, ...items), more);
  }

  private words(part: ArrayLike<number>): string[] {
    const { leaf } = this;
    return leaf.kind.as === "text" ? texts(part, leaf.kind.group) : Array.from(part, (value) => dateText(value, leaf.dtype));
  }

  /** A value's place in its leaf: 3; 1,2; or its name, where the leaf is one value. */
  private nameOf(dim: number): string {
    const { leaf } = this;
    const complex = leaf.kind.group === 2;
    const part = complex ? (dim % 2 ? " imaginary" : " real") : "";
    const axes: number[] = [];
    let rest = complex ? Math.floor(dim / 2) : dim;
    for (const size of [...leaf.shape].reverse()) {
      axes.unshift(rest % size);
      rest = Math.floor(rest / size);
    }
    return (axes.length ? axes.join(",") : leaf.label) + part;
  }

  private drop(): void {
    for (const chart of this.scene.charts.filter((chart) => this.body.contains(chart.element))) {
      chart.destroy();
      this.scene.charts.splice(this.scene.charts.indexOf(chart), 1);
    }
  }
}

/** Places such as `0-3, 12`, or undefined where they are none, too many or out of range. */
export function parseDims(text: string, width: number): number[] | undefined {
  const found = new Set<number>();
  for (const part of text.split(",").map((part) => part.trim()).filter(Boolean)) {
    const [, low, high] = /^(\d+)(?:\s*[-–]\s*(\d+))?$/.exec(part) ?? [];
    if (low === undefined) return undefined;
    const stop = Number(high ?? low);
    if (stop >= width || stop - Number(low) > 1000) return undefined;
    for (let n = Number(low); n <= stop; n++) found.add(n);
  }
  return found.size && found.size <= CHOICE * 2 ? [...found] : undefined;
}

/** Bytes of one value in memory, by the number in its dtype's name. */
export function itemBytes(dtype: string): number {
  const bits = Number(/(\d+)/.exec(dtype)?.[1] ?? 8);
  return /[US]\d+$/.test(dtype) ? 4 * bits : /^float8|int4/.test(dtype) ? 1 : Math.max(1, bits / 8);
}

function picked(parts: ArrayLike<number>[], dim: number, width: number): Float64Array {
  const count = parts.reduce((sum, part) => sum + part.length / width, 0);
  const out = new Float64Array(count);
  let to = 0;
  for (const part of parts) for (let at = dim; at < part.length; at += width) out[to++] = part[at]!;
  return out;
}

/** The return so far, at each step. */
function toDate(rewards: ArrayLike<number>): Line & { values: Float64Array } {
  let sum = 0;
  const values = Float64Array.from(rewards, (reward) => (sum += reward));
  return { label: "return to date", values, right: true };
}
