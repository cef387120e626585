// Values as the page shows them: every dtype of a vault as numbers or as text.

/** What an array's elements are, and how they are asked for. */
export interface Kind {
  /** The dtype by which zarrita reads the bytes. */
  stored: string;
  /** What comes out. */
  as: "number" | "bool" | "text" | "date" | "none";
  /** Elements as numbers; for text, one string a group of `group` code points. */
  numbers(data: ArrayLike<number | bigint> & { buffer: ArrayBufferLike }): ArrayLike<number>;
  /** Stored elements that make up one value (text), or values that one stored element makes (complex). */
  group: number;
}

type Data = Parameters<Kind["numbers"]>[0];

const PLAIN = /^(u?int(8|16|32)|float(32|64))$/;
// Exponent bits, mantissa bits, bias, and how infinity and NaN are told, of ml_dtypes' float8 kinds.
const FLOAT8: Record<string, [number, number, number, "ieee" | "fn" | "fnuz"]> = {
  float8_e4m3fn: [4, 3, 7, "fn"],
  float8_e5m2: [5, 2, 15, "ieee"],
  float8_e4m3fnuz: [4, 3, 8, "fnuz"],
  float8_e5m2fnuz: [5, 2, 16, "fnuz"],
  float8_e4m3b11fnuz: [4, 3, 11, "fnuz"],
  float8_e4m3: [4, 3, 7, "ieee"],
  float8_e3m4: [3, 4, 3, "ieee"],
};

/** How a dtype, named as in a vault's schema, is read. */
export function kindOf(dtype: string, stored: string): Kind {
  const make = (as: Kind["as"], how: Kind["numbers"], by = stored, group = 1): Kind => ({ stored: by, as, numbers: how, group });
  if (dtype === "bool") return make("bool", same, "uint8");
  if (PLAIN.test(dtype)) return make("number", same);
  if (dtype === "int64" || dtype === "uint64") return make("number", big);
  if (dtype === "float16") return make("number", (data) => mapped(data, half), "uint16");
  if (dtype === "bfloat16") return make("number", bfloat16);
  if (dtype === "complex64") return make("number", complex64, "uint64", 2);
  const eight = FLOAT8[dtype];
  if (eight) return make("number", looked(Float64Array.from({ length: 256 }, (_, byte) => float8(byte, ...eight))));
  if (dtype === "int4") return make("number", (data) => mapped(data, (n) => ((n & 15) ^ 8) - 8));
  if (dtype === "uint4") return make("number", (data) => mapped(data, (n) => n & 15));
  const text = /^[<>|=]?([US])(\d+)$/.exec(dtype);
  if (text) return make("text", same, stored, Number(text[2]) || 1);
  if (/^[<>|=]?[Mm]8/.test(dtype)) return make("date", big);
  return make("none", same);
}

/** Text of `group` code points each; zeros behind it are not of it. */
export function texts(data: ArrayLike<number>, group: number): string[] {
  const found: string[] = [];
  for (let at = 0; at < data.length; at += group) {
    let stop = at + group;
    while (stop > at && !data[stop - 1]) stop--;
    let text = "";
    for (let n = at; n < stop; n++) text += String.fromCodePoint(data[n]!);
    found.push(text);
  }
  return found;
}

/** A date of NumPy's as text: ISO where it is a moment, a number and its unit where it is a span. */
export function dateText(value: number, dtype: string): string {
  const [, kind, times = "1", unit = ""] = /([Mm])8\[(\d*)(\w+)\]/.exec(dtype) ?? [];
  const count = value * (Number(times) || 1);
  const milliseconds: Record<string, number> = { D: 864e5, h: 36e5, m: 6e4, s: 1e3, ms: 1, us: 1e-3, ns: 1e-6 };
  const scale = milliseconds[unit];
  if (kind === "M" && scale !== undefined && Math.abs(count * scale) < 8.64e15) {
    return new Date(count * scale).toISOString().replace("T", " ").replace(/\.000Z$|Z$/, "");
  }
  return `${count} ${unit}`;
}

function same(data: Data): ArrayLike<number> {
  return data as ArrayLike<number>;
}

function big(data: Data): Float64Array {
  return mapped(data, (n) => n);
}

function mapped(data: Data, one: (n: number) => number): Float64Array {
  const out = new Float64Array(data.length);
  for (let at = 0; at < out.length; at++) out[at] = one(Number(data[at]));
  return out;
}

function looked(table: Float64Array): Kind["numbers"] {
  return (data) => mapped(data, (byte) => table[byte]!);
}

function bfloat16(data: Data): Float32Array {
  const bits = new Uint32Array(data.length);
  for (let at = 0; at < bits.length; at++) bits[at] = Number(data[at]) << 16;
  return new Float32Array(bits.buffer);
}

function complex64(data: Data): Float32Array {
  const bits = BigUint64Array.from(data as ArrayLike<bigint>);
  return new Float32Array(bits.buffer);
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + mantissa / 1024) * 2 ** (exponent - 15) : (mantissa / 1024) * 2 ** -14);
}

function float8(byte: number, wide: number, fine: number, bias: number, form: "ieee" | "fn" | "fnuz"): number {
  const sign = byte & 128 ? -1 : 1;
  const exponent = (byte >> fine) & ((1 << wide) - 1);
  const mantissa = byte & ((1 << fine) - 1);
  const top = exponent === (1 << wide) - 1;
  if (form === "fnuz" && byte === 128) return NaN;
  if (form === "ieee" && top) return mantissa ? NaN : sign * Infinity;
  if (form === "fn" && top && mantissa === (1 << fine) - 1) return NaN;
  const part = mantissa / (1 << fine);
  return sign * (exponent ? (1 + part) * 2 ** (exponent - bias) : part * 2 ** (1 - bias));
}
