// The moment that is looked at, and the stretch of time that is in sight: all charts and pictures share them.

type Listener = () => void;

export class Moment {
  /** The step, counted from the episode's first; the episode's length means its final row. */
  step = 0;
  /** The steps in sight, or null for all. */
  zoom: [number, number] | null = null;
  private listeners = new Set<Listener>();

  /** @param last the last step, or the final row behind it. */
  constructor(readonly last: number) {}

  to(step: number): void {
    const next = Math.min(this.last, Math.max(0, Math.round(step)));
    if (next === this.step || Number.isNaN(next)) return;
    this.step = next;
    this.tell();
  }

  zoomTo(range: [number, number] | null): void {
    this.zoom = range && range[1] - range[0] >= 1 ? [Math.max(0, range[0]), Math.min(this.last, range[1])] : null;
    this.tell();
  }

  /** Zooms about the current step: below 1 in, above 1 out. */
  zoomBy(times: number): void {
    const [low, high] = this.zoom ?? [0, this.last];
    const half = ((high - low) * times) / 2;
    this.zoomTo(half * 2 >= this.last ? null : [this.step - half, this.step + half]);
  }

  listen(listener: Listener): void {
    this.listeners.add(listener);
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}
