// Numbers and facts as a person reads them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Few digits: 1,234,567; 0.1235; 1.2e-7. */
export function number(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 9e15) return whole.format(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-4) return value.toExponential(3);
  return size >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 1 }) : String(Number(value.toPrecision(4)));
}

export function count(value: number, noun: string): string {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function bytes(size: number): string {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(size, 1)) / 3)));
  const unit = ["B", "kB", "MB", "GB", "TB"][power]!;
  return `${power ? (size / 1000 ** power).toFixed(1) : size} ${unit}`;
}

/** A shape as in Python: (), (3,), (84, 84). */
export function shape(axes: number[]): string {
  return axes.length === 1 ? `(${axes[0]},)` : `(${axes.join(", ")})`;
}
