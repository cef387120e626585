// The episode table: columns in memory, an order, and what is filtered.

import { texts } from "./dtypes";
import type { Rows, Vault } from "./vault";

export type End = "terminated" | "truncated" | "cut" | "running";
export const ENDS: End[] = ["terminated", "truncated", "cut", "running"];

export interface Column {
  name: string;
  /** Numbers, one an episode; booleans are 0 and 1. */
  numbers?: Float64Array;
  texts?: string[];
  bool?: boolean;
}

export interface Episode {
  id: number;
  stream: number;
  start: number;
  length: number;
  end: End;
  total: number;
  finalKnown: boolean;
}

const CORE = ["stream", "start", "length", "return", "terminated", "truncated", "final_known"];

export class Episodes {
  readonly count: number;
  readonly ended: number;
  readonly ends: Uint8Array;
  readonly columns = new Map<string, Column>();

  constructor(
    ended: number,
    private core: Record<string, Float64Array>,
    running: number[] = [],
  ) {
    this.ended = ended;
    this.count = core.length!.length;
    this.ends = Uint8Array.from({ length: this.count }, (_, row) => this.endOf(row));
    for (const row of running) this.ends[row] = ENDS.indexOf("running");
    const ids = Float64Array.from({ length: this.count }, (_, row) => row);
    for (const [name, numbers] of Object.entries({ id: ids, return: core.return!, length: core.length! })) {
      this.columns.set(name, { name, numbers });
    }
    this.columns.set("ends", { name: "ends", texts: Array.from(this.ends, (end) => ENDS[end]!) });
    if (core.stream!.some((stream) => stream > 0)) this.columns.set("stream", { name: "stream", numbers: core.stream! });
  }

  get hasReturns(): boolean {
    return this.core.return!.some((value) => !Number.isNaN(value));
  }

  episode(id: number): Episode {
    const at = (name: string) => this.core[name]![id]!;
    return {
      id,
      stream: at("stream"),
      start: at("start"),
      length: at("length"),
      end: ENDS[this.ends[id]!]!,
      total: at("return"),
      finalKnown: at("final_known") === 1 && id < this.ended,
    };
  }

  private endOf(row: number): number {
    if (row >= this.ended) return 3;
    return this.core.terminated![row] ? 0 : this.core.truncated![row] ? 1 : 2;
  }
}

/** Reads the columns that every vault has, and appends the episodes that still run. */
export async function readEpisodes(vault: Vault): Promise<Episodes> {
  const count = vault.root.episodes;
  // What is the same for all need not be read.
  const needless = [...(vault.streams === 1 ? ["stream"] : []), ...(vault.root.schema.finals.length ? [] : ["final_known"])];
  const zeros = { data: new Float64Array(count), count };
  const read = await Promise.all(CORE.map((name) => (needless.includes(name) ? zeros : vault.column(name, 0, count))));
  const core: Record<string, Float64Array> = {};
  CORE.forEach((name, place) => (core[name] = summed(read[place]!, count)));
  const { starts, totals } = running(vault);
  const { length } = vault.root;
  const runs = starts.map((start, stream) => ({ start, stream })).filter(({ start }) => start < length);
  const more: Record<string, number[]> = {
    stream: runs.map(({ stream }) => stream),
    start: runs.map(({ start }) => start),
    length: runs.map(({ start }) => length - start),
    return: runs.map(({ stream }) => totals[stream] ?? NaN),
  };
  for (const name of CORE) core[name] = joined(core[name]!, more[name] ?? runs.map(() => 0));
  return new Episodes(count, core, vault.root.live?.running);
}

/** Reads the columns of the user's that have one value an episode. */
export async function readUserColumns(vault: Vault, episodes: Episodes): Promise<void> {
  for (const name of vault.columns.filter((name) => !CORE.includes(name))) {
    const { kind, tail } = vault.kind(`episodes/${name}`);
    if (tail.length || kind.as === "none" || kind.as === "date") continue;
    const { data } = await vault.column(name, 0, episodes.ended);
    if (kind.as === "text") {
      const said = texts(data, kind.group);
      episodes.columns.set(name, { name, texts: [...said, ...Array(episodes.count - said.length).fill("")] });
    } else {
      const numbers = new Float64Array(episodes.count).fill(NaN);
      numbers.set(Float64Array.from(data));
      episodes.columns.set(name, { name, numbers, bool: kind.as === "bool" });
    }
  }
}

/** The JSON object that an episode carries. */
export async function readAttributes(vault: Vault, id: number): Promise<Record<string, unknown>> {
  if (id >= vault.root.episodes || !vault.root.attribute_bytes) return {};
  const stops = (await vault.column("attributes_stop", Math.max(0, id - 1), id + 1)).data;
  const [start, stop] = id ? [stops[0]!, stops[1]!] : [0, stops[0]!];
  if (stop <= start) return {};
  const { data } = await vault.column("attributes", start, stop);
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(data)));
}

/** One number an episode; an entry an agent is summed over them. */
function summed(rows: Rows, count: number): Float64Array {
  const width = count ? rows.data.length / count : 1;
  const out = new Float64Array(count);
  for (let row = 0; row < count; row++) {
    let sum = 0;
    for (let n = 0; n < width; n++) sum += Number(rows.data[row * width + n]);
    out[row] = sum;
  }
  return out;
}

/** Where running episodes began, and their rewards so far: float64 in hexadecimal digits, [B, agents]. */
function running(vault: Vault): { starts: number[]; totals: number[] } {
  const { start, total } = vault.root.running;
  const known = vault.root.committed === vault.root.length && vault.byRole("reward") !== undefined;
  if (!known || !start.length) return { starts: start, totals: [] };
  const bytes = Uint8Array.from(total.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const values = new Float64Array(bytes.buffer, 0, Math.floor(bytes.length / 8));
  const agents = values.length / start.length;
  return { starts: start, totals: start.map((_, b) => values.subarray(b * agents, (b + 1) * agents).reduce((a, c) => a + c, 0)) };
}

function joined(first: Float64Array, second: number[]): Float64Array {
  const out = new Float64Array(first.length + second.length);
  out.set(first);
  out.set(second, first.length);
  return out;
}
