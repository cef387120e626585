// Pictures: which leaves are, how their axes lie, and how values become pixels.

import type { Leaf } from "./vault";

export interface Layout {
  height: number;
  width: number;
  /** Channels of one tile: 1 grey, 3 colour, 4 colour with alpha. */
  channels: 1 | 3 | 4;
  /** Pictures beside each other: cameras, or frames of a stack. */
  tiles: number;
  /** Distance in the data from one row, column, channel and tile to the next. */
  steps: { row: number; column: number; channel: number; tile: number };
  /** What the tiles are, in words. */
  what: string;
}

const LEAST = 8; // pixels a side: smaller ones are matrices
const STACK = 16; // layers that are still taken for a stack of pictures

/** How a leaf is looked at as pictures; undefined where it is none. */
export function layoutOf(leaf: Leaf): Layout | undefined {
  if (leaf.kind.as !== "number" && leaf.kind.as !== "bool") return undefined;
  if (leaf.kind.group !== 1 || leaf.shape.length < 2) return undefined;
  const [a, b, c] = [leaf.shape.at(-3) ?? 0, leaf.shape.at(-2)!, leaf.shape.at(-1)!];
  const lead = leaf.shape.slice(0, -3).reduce((x, y) => x * y, 1);
  if (leaf.shape.length >= 3) {
    const last = c <= STACK && a >= LEAST && b >= LEAST && (c <= a || c <= 4);
    if (last) return channelsLast(a, b, c, lead);
    if (a <= STACK && b >= LEAST && c >= LEAST) return channelsFirst(a, b, c, lead);
  }
  if (b < LEAST || c < LEAST) return undefined;
  const tiles = leaf.shape.slice(0, -2).reduce((x, y) => x * y, 1);
  const steps = { row: c, column: 1, channel: 0, tile: b * c };
  return { height: b, width: c, channels: 1, tiles, steps, what: tiles > 1 ? `${tiles} pictures` : "grey" };
}

function channelsLast(height: number, width: number, channels: number, lead: number): Layout {
  const size = height * width * channels;
  const steps = { row: width * channels, column: channels, channel: 1, tile: size };
  if (channels === 1 || channels === 3) {
    return { height, width, channels, tiles: lead, steps, what: channels === 3 ? "colour" : "grey" };
  }
  const stack = { ...steps, channel: 0, tile: 1 };
  return { height, width, channels: 1, tiles: channels, steps: stack, what: `a stack of ${channels}` };
}

function channelsFirst(channels: number, height: number, width: number, lead: number): Layout {
  const plane = height * width;
  const steps = { row: width, column: 1, channel: plane, tile: plane * channels };
  if (channels === 1 || channels === 3) {
    return { height, width, channels, tiles: lead, steps, what: channels === 3 ? "colour" : "grey" };
  }
  const stack = { ...steps, channel: 0, tile: plane };
  return { height, width, channels: 1, tiles: channels * lead, steps: stack, what: `a stack of ${channels}` };
}

/** A stack of four bytes whose last one is always opaque is colour with alpha. */
export function withAlpha(layout: Layout, leaf: Leaf, data: ArrayLike<number>, at: number, size: number): Layout {
  if (leaf.dtype !== "uint8" || leaf.shape.at(-1) !== 4 || layout.steps.column !== 4) return layout;
  for (let n = at + 3; n < at + size; n += 4) if (data[n] !== 255) return layout;
  const steps = { ...layout.steps, channel: 1, tile: size };
  return { ...layout, channels: 4, tiles: 1, steps, what: "colour with alpha" };
}

/** Values that are black and white: of bytes 0 and 255, of others what the data has. */
export function rangeOf(leaf: Leaf, data: ArrayLike<number>): [number, number] {
  if (leaf.dtype === "uint8") return [0, 255];
  if (leaf.kind.as === "bool") return [0, 1];
  let low = Infinity;
  let high = -Infinity;
  for (let n = 0; n < data.length; n++) {
    const value = data[n]!;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(low < high)) return [low < Infinity ? low : 0, (low < Infinity ? low : 0) + 1];
  return leaf.dtype.startsWith("float") && low >= 0 && high <= 1 ? [0, 1] : [low, high];
}

/** Paints the tiles of one step side by side. */
export function paint(
  canvas: HTMLCanvasElement, layout: Layout, data: ArrayLike<number>, at: number, [low, high]: [number, number],
): void {
  const { height, width, tiles, channels, steps } = layout;
  const gap = tiles > 1 ? 1 : 0;
  const across = Math.min(tiles, width > 160 ? 3 : 4);
  const down = Math.ceil(tiles / across);
  canvas.width = across * (width + gap) - gap;
  canvas.height = down * (height + gap) - gap;
  const context = canvas.getContext("2d")!;
  const scale = 255 / (high - low);
  for (let tile = 0; tile < tiles; tile++) {
    const image = context.createImageData(width, height);
    let to = 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, to += 4) {
        const from = at + tile * steps.tile + y * steps.row + x * steps.column;
        for (let c = 0; c < 3; c++) {
          image.data[to + c] = (data[from + (channels === 1 ? 0 : c * steps.channel)]! - low) * scale;
        }
        image.data[to + 3] = channels === 4 ? data[from + 3 * steps.channel]! : 255;
      }
    }
    context.putImageData(image, (tile % across) * (width + gap), Math.floor(tile / across) * (height + gap));
  }
}
