// The player: moves the shared moment by a slider, by keys, and by itself.

import { el } from "./dom";
import type { Episode } from "./episodes";
import { number } from "./format";
import type { Moment } from "./moment";

const SPEEDS = [1, 5, 10, 30, 60, 120];

export class Player {
  readonly element: HTMLElement;
  private timer = 0;
  private rate = 30;
  private began = 0;
  private from = 0;
  private play: HTMLButtonElement;
  private slider: HTMLInputElement;
  private label = el("output", { class: "where", "aria-live": "off" });

  constructor(
    private episode: Episode,
    private moment: Moment,
  ) {
    this.play = el("button", { type: "button", class: "play", onclick: () => this.toggle() }, "▶");
    this.slider = el("input", { type: "range", min: 0, max: moment.last, step: 1, "aria-label": "Step of the episode" });
    this.slider.addEventListener("input", () => moment.to(this.slider.valueAsNumber));
    const speed = el("select", { "aria-label": "Steps a second" }, ...SPEEDS.map((n) => el("option", { value: n, selected: n === 30 }, `${n}/s`)));
    speed.addEventListener("change", () => {
      this.rate = Number(speed.value);
      this.restart();
    });
    const zoom = (text: string, label: string, then: () => void) => el("button", { type: "button", class: "quiet", "aria-label": label, title: label, onclick: then }, text);
    const keys = "Keys: ← → a step, with Shift ten; Home, End; Space plays; + − zoom, 0 shows all";
    this.element = el(
      "div",
      { title: keys, "aria-description": keys, class: "player", role: "group", "aria-label": "Player" },
      this.play,
      this.slider,
      this.label,
      speed,
      zoom("−", "Zoom out", () => moment.zoomBy(2)),
      zoom("+", "Zoom in", () => moment.zoomBy(0.5)),
    );
    moment.listen(() => this.follow());
    this.follow();
    this.say();
  }

  /** What a key does that was pressed anywhere in the episode; true where it does something. */
  key(event: KeyboardEvent): boolean {
    const { moment } = this;
    const by = event.shiftKey ? 10 : 1;
    const acts: Record<string, () => void> = {
      ArrowLeft: () => moment.to(moment.step - by),
      ArrowRight: () => moment.to(moment.step + by),
      Home: () => moment.to(0),
      End: () => moment.to(moment.last),
      " ": () => this.toggle(),
      "+": () => moment.zoomBy(0.5),
      "=": () => moment.zoomBy(0.5),
      "-": () => moment.zoomBy(2),
      "0": () => moment.zoomTo(null),
    };
    acts[event.key]?.();
    return event.key in acts;
  }

  stop(): void {
    cancelAnimationFrame(this.timer);
    this.timer = 0;
    this.say();
  }

  private toggle(): void {
    if (this.timer) return this.stop();
    if (this.moment.step >= this.moment.last) this.moment.to(0);
    this.restart(true);
    this.say();
  }

  private restart(start = this.timer !== 0): void {
    cancelAnimationFrame(this.timer);
    if (!start) return;
    this.began = performance.now();
    this.from = this.moment.step;
    this.timer = requestAnimationFrame(() => this.tick());
  }

  private tick(): void {
    const wanted = this.from + Math.floor(((performance.now() - this.began) / 1000) * this.rate);
    this.moment.to(wanted);
    if (wanted >= this.moment.last) return this.stop();
    this.timer = requestAnimationFrame(() => this.tick());
  }

  private say(): void {
    this.play.textContent = this.timer ? "❚❚" : "▶";
    this.play.setAttribute("aria-label", this.timer ? "Pause" : "Play");
  }

  private follow(): void {
    const { step } = this.moment;
    const final = step >= this.episode.length;
    this.slider.value = String(step);
    const text = final ? "final" : `step ${number(step)}`;
    this.slider.setAttribute("aria-valuetext", text);
    this.label.textContent = `${text} / ${number(this.episode.length)}`;
  }
}
