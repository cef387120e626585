// All values of a wide leaf over time, one row of pixels a value: where something happens, and to which value.

import { el } from "./dom";
import { number } from "./format";
import type { Moment } from "./moment";
import { colour } from "./theme";

const MOST = 4096; // pixels of a canvas either way
const TALL = 160; // pixels on the screen, at most

export class Heat {
  readonly element: HTMLElement;
  private canvas = el("canvas", { role: "img" });
  private mark = el("div", { class: "mark" });

  /**
   * @param values `[steps, width]`, one step after the other.
   * @param choose called with the value whose row is clicked.
   */
  constructor(
    private values: ArrayLike<number>,
    private width: number,
    private start: number,
    private last: number,
    private moment: Moment,
    choose: (dim: number) => void,
  ) {
    this.canvas.title = `All ${number(width)} values; a click shows those around it`;
    this.canvas.setAttribute("aria-label", this.canvas.title);
    this.canvas.style.height = `${Math.min(TALL, Math.max(48, width * 3))}px`;
    this.element = el("div", { class: "heat" }, this.canvas, this.mark);
    this.canvas.addEventListener("click", (event) => {
      const box = this.canvas.getBoundingClientRect();
      choose(Math.min(width - 1, Math.floor(((event.clientY - box.top) / box.height) * width)));
      moment.to(start + ((event.clientX - box.left) / box.width) * (last - start));
    });
    moment.listen(() => this.follow());
    this.draw();
    requestAnimationFrame(() => this.follow());
  }

  /** Draws anew, in the colours that hold now. */
  draw(): void {
    const steps = this.last - this.start + 1;
    const [across, down] = [Math.min(MOST, steps), Math.min(MOST, this.width)];
    this.canvas.width = across;
    this.canvas.height = down;
    const context = this.canvas.getContext("2d")!;
    const image = context.createImageData(across, down);
    const [low, high] = spread(this.values);
    const [from, to] = [parts(colour("--sheet")), parts(colour("--accent"))];
    for (let y = 0; y < down; y++) {
      const dim = Math.floor((y * this.width) / down);
      for (let x = 0; x < across; x++) {
        const value = this.values[Math.floor((x * steps) / across) * this.width + dim];
        if (value === undefined || Number.isNaN(value)) continue;
        const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
        const at = (y * across + x) * 4;
        for (let c = 0; c < 3; c++) image.data[at + c] = from[c]! + (to[c]! - from[c]!) * share;
        image.data[at + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
  }

  private follow(): void {
    const left = ((this.moment.step - this.start) / Math.max(1, this.last - this.start)) * this.canvas.clientWidth;
    this.mark.style.transform = `translateX(${left}px)`;
  }
}

/** Least and greatest finite value. */
function spread(values: ArrayLike<number>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let n = 0; n < values.length; n++) {
    const value = values[n]!;
    if (value < low && value > -Infinity) low = value;
    if (value > high && value < Infinity) high = value;
  }
  return low < high ? [low, high] : [low, low + 1];
}

function parts(hex: string): number[] {
  const long = hex.length === 4 ? hex.replace(/[0-9a-f]/gi, "$&$&") : hex;
  return [1, 3, 5].map((at) => parseInt(long.slice(at, at + 2), 16));
}
