// Lines over the steps of an episode, with a legend that tells the values at the shared moment.

import uPlot from "uplot";
import { el } from "./dom";
import { number } from "./format";
import type { Moment } from "./moment";
import { colour } from "./theme";

export interface Line {
  label: string;
  /** One value a step, and one more where the final row is known. */
  values: ArrayLike<number>;
  /** Of its own axis, on the right. */
  right?: boolean;
}

export interface Look {
  title: string;
  /** The first step, counted from the episode's first, and the last one of all charts beside this one. */
  start: number;
  last: number;
  /** Drawn as steps: flags and whole numbers. */
  stepped: boolean;
  height: number;
  /** Whether the last value is the final row. */
  final: boolean;
}

export const COLOURS = 8;

export class Chart {
  readonly element: HTMLElement;
  private plot?: uPlot;
  private mark = el("div", { class: "mark" });
  private chips: HTMLElement[];
  private readonly hidden = new Set<number>();
  private observer: ResizeObserver;
  private host = el("div", { class: "plot" });

  constructor(
    private lines: Line[],
    private look: Look,
    private moment: Moment,
    private firstColour = 0,
  ) {
    this.chips = lines.map((line, n) => this.chip(line, n));
    this.element = el("div", { class: "chart" }, el("div", { class: "legend" }, ...this.chips), this.host);
    this.host.style.height = `${look.height}px`;
    this.host.setAttribute("role", "img");
    const drawn = lines.length === 1 ? "1 line" : `${lines.length} lines`;
    this.host.setAttribute("aria-label", `${look.title} over steps ${look.start} to ${look.last}, ${drawn}`);
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.host);
    moment.listen(() => this.follow());
  }

  /** Draws anew, in the colours that hold now. */
  redraw(): void {
    this.plot?.destroy();
    this.plot = undefined;
    this.fit();
  }

  destroy(): void {
    this.observer.disconnect();
    this.plot?.destroy();
    this.plot = undefined;
  }

  private fit(): void {
    const width = this.host.clientWidth;
    if (!width) return;
    if (this.plot) this.plot.setSize({ width, height: this.look.height });
    else this.make(width);
    this.follow();
  }

  private make(width: number): void {
    const { start, height } = this.look;
    const longest = Math.max(...this.lines.map((line) => line.values.length));
    const steps = Float64Array.from({ length: longest }, (_, n) => start + n);
    const data = [steps, ...this.lines.map((line) => drawable(line.values, longest))];
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const right = this.lines.some((line) => line.right);
    const values = (_: uPlot, ticks: number[]) => labelsOf(ticks);
    const options: uPlot.Options = {
      width,
      height,
      legend: { show: false },
      padding: [8, right ? 0 : 10, 0, 0],
      cursor: { x: false, y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      scales: { x: { time: false }, y: { range: padded }, right: { range: padded } },
      axes: [
        { ...axis, size: 26, grid: { show: false }, values },
        { ...axis, size: 52, values, space: 28 },
        ...(right ? [{ ...axis, side: 1 as const, scale: "right", size: 52, values, grid: { show: false }, space: 28 }] : []),
      ],
      series: [{}, ...this.lines.map((line, n) => this.series(line, n, longest))],
      hooks: { setSelect: [(plot) => this.selected(plot)], ready: [() => this.follow()] },
    };
    this.plot = new uPlot(options, data as unknown as uPlot.AlignedData, this.host);
    this.plot.over.append(this.mark);
    this.listen(this.plot);
  }

  private series(line: Line, n: number, longest: number): uPlot.Series {
    const stroke = colour(`--line-${((this.firstColour + n) % COLOURS) + 1}`);
    const paths = this.look.stepped ? uPlot.paths.stepped!({ align: 1 }) : uPlot.paths.linear!();
    const few = longest <= 40;
    const points: uPlot.Series.Points = {
      show: true,
      size: 5,
      fill: stroke,
      // All points where there are few of them; the final row always.
      filter: (_plot, _series, show) => (show && few ? null : this.look.final ? [longest - 1] : []),
    };
    return { stroke, width: 1.5, paths, points, show: !this.hidden.has(n), scale: line.right ? "right" : "y", spanGaps: false, pxAlign: 0 };
  }

  private listen(plot: uPlot): void {
    const at = (event: PointerEvent) => this.moment.to(plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x"));
    plot.over.addEventListener("pointermove", (event) => event.buttons === 0 || event.pointerType === "touch" ? at(event) : undefined);
    plot.over.addEventListener("pointerdown", at);
    plot.over.addEventListener("dblclick", () => this.moment.zoomTo(null));
  }

  private selected(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 6) return;
    this.moment.zoomTo([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  /** Goes where the shared moment is. */
  private follow(): void {
    const { plot, moment } = this;
    const place = moment.step - this.look.start;
    this.lines.forEach((line, n) => {
      const value = line.values[place];
      this.chips[n]!.querySelector("output")!.textContent = value === undefined ? "" : number(value);
    });
    if (!plot) return;
    const [low, high] = moment.zoom ?? [this.look.start, Math.max(this.look.start + 1, this.look.last)];
    const scale = plot.scales.x!;
    if (scale.min !== low || scale.max !== high) plot.setScale("x", { min: low, max: high });
    const left = ((moment.step - low) / (high - low)) * plot.over.clientWidth;
    this.mark.style.transform = `translateX(${left}px)`;
    this.mark.hidden = left < 0 || left > plot.over.clientWidth + 1;
  }

  private chip(line: Line, n: number): HTMLElement {
    const swatch = el("i", { class: `swatch line-${((this.firstColour + n) % COLOURS) + 1}`, "aria-hidden": "true" });
    const button = el(
      "button",
      { type: "button", class: "chip", "aria-pressed": "true", title: `Show or hide ${line.label}` },
      swatch,
      el("span", {}, line.label),
      el("output", {}),
    );
    button.addEventListener("click", () => {
      const show = this.hidden.delete(n) || !this.hidden.add(n);
      button.setAttribute("aria-pressed", String(show));
      this.plot?.setSeries(n + 1, { show });
    });
    return button;
  }
}

/** What uPlot draws: nothing where there is no finite value. */
function drawable(values: ArrayLike<number>, length: number): (number | null)[] {
  return Array.from({ length }, (_, n) => {
    const value = values[n];
    return value !== undefined && Number.isFinite(value) ? value : null;
  });
}

function padded(_: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) return [0, 1];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

/** Ticks in few characters: those that lie close together far from 0 are told by how far they are from the first. */
function labelsOf(ticks: number[]): string[] {
  const [first = 0, second = first] = ticks;
  if (Math.abs(second - first) > 1e-4 * Math.abs(first)) return ticks.map(compact);
  return ticks.map((tick, n) => (n ? `+${compact(tick - first)}` : compact(first)));
}

function compact(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e5 || (size < 1e-3 && size > 0)) return value.toExponential(size >= 1e5 ? 1 : 0).replace("e+", "e");
  return String(Number(value.toPrecision(6)));
}
