// Blosc 1 containers: blocks, split into one stream a byte of the element, then shuffled.
//
//   header, 16 bytes: version, of the compressor, flags, size of an element; then three uint32:
//   size of the data, of a block, of the container. Then the offset of each block, uint32.

import { decompress } from "fzstd";

const SHUFFLED = 1;
const COPIED = 2;
const BITS_SHUFFLED = 4;
const UNSPLIT = 16;
const LZ4 = 1;
const ZSTD = 4;
const MOST_SPLITS = 16;
const LEAST_STREAM = 128; // bytes: smaller ones are not split

/** Decompresses a container. */
export function unblosc(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = bytes[2]!;
  const size = view.getUint32(4, true);
  const block = view.getUint32(8, true);
  if (flags & COPIED) return bytes.slice(16, 16 + size);
  if (flags & BITS_SHUFFLED) throw new Error("bit shuffle is not known");
  const out = new Uint8Array(size);
  for (let place = 0; place * block < size; place++) {
    const low = place * block;
    const part = out.subarray(low, Math.min(size, low + block));
    decodeBlock(bytes, view, view.getUint32(16 + 4 * place, true), part, block);
  }
  return out;
}

function decodeBlock(bytes: Uint8Array, view: DataView, at: number, out: Uint8Array, block: number): void {
  const flags = bytes[2]!;
  const item = bytes[3]!;
  const split = !(flags & UNSPLIT) && item <= MOST_SPLITS && block / item >= LEAST_STREAM && out.length === block;
  const streams = split ? item : 1;
  const length = out.length / streams;
  const plain = flags & SHUFFLED && item > 1 ? new Uint8Array(out.length) : out;
  for (let n = 0; n < streams; n++) {
    const size = view.getInt32(at, true);
    const packed = bytes.subarray(at + 4, at + 4 + size);
    const into = plain.subarray(n * length, (n + 1) * length);
    if (size === length) into.set(packed);
    else decodeStream(flags >> 5, packed, into);
    at += 4 + size;
  }
  if (plain !== out) unshuffle(plain, out, item);
}

function decodeStream(format: number, packed: Uint8Array, out: Uint8Array): void {
  if (format === LZ4) unlz4(packed, out);
  else if (format === ZSTD) out.set(decompress(packed));
  else throw new Error(`compressor ${format} is not known`);
}

/** Puts the bytes of each element together again; what is left behind the last whole one stays. */
function unshuffle(plain: Uint8Array, out: Uint8Array, item: number): void {
  const count = Math.floor(plain.length / item);
  for (let byte = 0, from = 0; byte < item; byte++) {
    for (let to = byte; to < count * item; to += item) out[to] = plain[from++]!;
  }
  out.set(plain.subarray(count * item), count * item);
}

/** One LZ4 block: runs of literals, each followed by a copy of what stands `back` bytes before. */
function unlz4(packed: Uint8Array, out: Uint8Array): void {
  let at = 0;
  let to = 0;
  const more = (length: number): number => {
    if (length < 15) return length;
    let next = 255;
    while (next === 255) length += next = packed[at++]!;
    return length;
  };
  while (at < packed.length) {
    const token = packed[at++]!;
    const literals = more(token >> 4);
    out.set(packed.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at >= packed.length) break;
    const back = packed[at]! | (packed[at + 1]! << 8);
    at += 2;
    const length = more(token & 15) + 4;
    if (back === 0 || back > to) throw new Error("a copy begins before the data");
    for (let n = 0; n < length; n++, to++) out[to] = out[to - back]!;
  }
  if (to !== out.length) throw new Error("the data ends early");
}
