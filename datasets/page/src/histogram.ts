// A histogram whose bars choose episodes: click one, drag over several, or use the arrow keys.

import { el } from "./dom";
import { count, number } from "./format";

const BARS = 32;

export interface Bins {
  low: number;
  width: number;
  counts: number[];
}

/** From the low edge to the high one, with the high one's operator: `["100", "<120"]`. */
export type Range = [low: string, high: string];

/** Bins with edges that read well; a whole number each where there are few of them. */
export function binsOf(values: Float64Array): Bins | undefined {
  let low = Infinity;
  let high = -Infinity;
  let whole = true;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
    whole &&= Number.isInteger(value);
  }
  if (low > high) return undefined;
  const raw = (high - low || Math.abs(high) || 1) / BARS;
  const power = 10 ** Math.floor(Math.log10(raw));
  let width = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= raw * 0.999)!;
  if (whole) width = Math.max(1, Math.round(width));
  const first = Math.floor(low / width) * width;
  const bins = { low: first, width, counts: Array<number>(Math.floor((high - first) / width) + 1).fill(0) };
  for (const value of values) if (Number.isFinite(value)) bins.counts[place(bins, value)]! += 1;
  return bins;
}

function place(bins: Bins, value: number): number {
  return Math.min(bins.counts.length - 1, Math.max(0, Math.floor((value - bins.low) / bins.width + 1e-9)));
}

export class Histogram {
  readonly element: HTMLElement;
  private bars: HTMLButtonElement[];
  private anchor = -1;
  private chosen?: [number, number];

  constructor(
    private name: string,
    private values: Float64Array,
    private bins: Bins,
    private onchoose: (range: Range | undefined) => void,
  ) {
    const most = Math.max(...bins.counts);
    this.bars = bins.counts.map((many, n) => this.bar(many, n, most));
    this.bars[0]!.tabIndex = 0;
    const plot = el("div", { class: "bars", role: "group", "aria-label": `Histogram of ${name}` }, ...this.bars);
    plot.addEventListener("keydown", (event) => this.key(event));
    const last = bins.low + bins.width * bins.counts.length;
    this.element = el(
      "figure",
      { class: "histogram", "data-column": name },
      el("figcaption", {}, name),
      plot,
      el("div", { class: "edges", "aria-hidden": "true" }, el("span", {}, number(clean(bins.low))), el("span", {}, number(clean(last)))),
    );
  }

  /** Shows how many of the chosen rows are in each bar. */
  update(rows: Uint32Array): void {
    const counts = Array<number>(this.bins.counts.length).fill(0);
    for (const row of rows) {
      const value = this.values[row]!;
      if (Number.isFinite(value)) counts[place(this.bins, value)]! += 1;
    }
    this.bars.forEach((bar, n) => {
      const part = this.bins.counts[n] ? counts[n]! / this.bins.counts[n]! : 0;
      (bar.firstElementChild!.firstElementChild as HTMLElement).style.height = `${100 * part}%`;
      bar.setAttribute("aria-label", `${this.name} ${this.words(n)}: ${count(this.bins.counts[n]!, "episode")}, ${counts[n]} shown`);
      bar.title = `${this.words(n)}: ${count(this.bins.counts[n]!, "episode")}`;
    });
  }

  /** Marks the bars of a range, or none. */
  mark(chosen: boolean): void {
    if (!chosen) this.chosen = undefined;
    const [low, high] = this.chosen ?? [-1, -2];
    this.bars.forEach((bar, n) => bar.setAttribute("aria-pressed", String(n >= low && n <= high)));
  }

  private bar(many: number, n: number, most: number): HTMLButtonElement {
    const inner = el("span", { class: "all" }, el("span", { class: "shown" }));
    // A bar that has anything is never so low that it cannot be seen.
    inner.style.height = many ? `${Math.max(3, (100 * many) / most)}%` : "0";
    const bar = el("button", { type: "button", tabindex: -1, class: "column", "aria-pressed": "false" }, inner);
    bar.addEventListener("pointerdown", (event) => {
      if (!event.shiftKey) this.anchor = n;
      bar.releasePointerCapture(event.pointerId);
    });
    bar.addEventListener("pointerup", () => this.anchor >= 0 && this.choose(n));
    bar.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      if (!event.shiftKey || this.anchor < 0) this.anchor = n;
      this.choose(n);
    });
    return bar;
  }

  private choose(n: number): void {
    const [low, high] = [Math.min(this.anchor, n), Math.max(this.anchor, n)];
    if (this.chosen?.[0] === low && this.chosen[1] === high) {
      this.chosen = undefined;
      this.onchoose(undefined);
      return;
    }
    this.chosen = [low, high];
    const last = high === this.bins.counts.length - 1;
    const edge = (bar: number) => String(clean(this.bins.low + bar * this.bins.width));
    this.onchoose([edge(low), `${last ? "<=" : "<"}${edge(high + 1)}`]);
  }

  private key(event: KeyboardEvent): void {
    const at = this.bars.indexOf(document.activeElement as HTMLButtonElement);
    const moves: Record<string, number> = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: this.bars.length - 1 };
    const next = this.bars[moves[event.key] ?? -1];
    if (!next) return;
    event.preventDefault();
    this.bars[at]!.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  private words(n: number): string {
    const low = clean(this.bins.low + n * this.bins.width);
    return this.bins.width === 1 && Number.isInteger(low) ? number(low) : `${number(low)} to ${number(clean(low + this.bins.width))}`;
  }
}

/** Without the digits that binary fractions add. */
function clean(value: number): number {
  return Number(value.toPrecision(12));
}
