// A vault: its root document, and rows of its arrays.

import * as zarr from "zarrita";
import { crc32c } from "./checksum";
import { kindOf, type Kind } from "./dtypes";
import { explain, Failure } from "./failure";
import { Files, type Range } from "./store";

export interface Leaf {
  /** As in the schema, and as its folder is called. */
  name: string;
  /** The same, as a person reads it. */
  label: string;
  dtype: string;
  /** Of one step. */
  shape: number[];
  codec: string;
  role?: string;
  hasFinal: boolean;
  kind: Kind;
  /** Values a step: numbers, or texts. */
  width: number;
}

/** Rows of an array; `width * group` numbers a row, one after the other. */
export interface Rows {
  data: ArrayLike<number>;
  count: number;
}

interface Schema {
  streams: number;
  leaves: { name: string; dtype: string; shape: number[]; codec: string; prng?: string }[];
  roles: Record<string, string>;
  finals: string[];
  packed?: boolean;
}

export interface Root {
  format: number;
  length: number;
  committed: number;
  episodes: number;
  attribute_bytes: number;
  running: { start: number[]; total: string };
  gaps: [number, number][];
  schema: Schema;
  attributes: Record<string, unknown>;
  card: Record<string, unknown>;
  /** From `strongbax view`: where the arrays are, and which episodes still run. */
  live?: { base: string; running: number[] };
}

interface Document {
  node_type: string;
  shape: number[];
  data_type: string;
  codecs: { name: string; configuration: { chunk_shape: number[] } }[];
  chunk_grid: { configuration: { chunk_shape: number[] } };
  attributes?: { strongbax_dtype?: string };
}

type Stored = zarr.Array<zarr.DataType, Shelf>;

const FORMAT = 1;

export class Vault {
  readonly leaves: Leaf[];
  readonly streams: number;
  private opened = new Map<string, Promise<Stored>>();
  private shelf: zarr.AsyncReadable;

  private constructor(
    readonly files: Files,
    readonly root: Root,
    private readonly documents: Map<string, Document>,
    readonly base: URL,
  ) {
    this.streams = root.schema.streams;
    this.leaves = root.schema.leaves.map((leaf) => this.leafOf(leaf));
    this.shelf = zarr.withRangeCoalescing(new Shelf(files, documents), { coalesceSize: 1 << 16 }) as zarr.AsyncReadable;
  }

  /** Reads the root of the vault in a folder. */
  static async open(base: URL): Promise<Vault> {
    const files = new Files(base);
    const bytes = await files.find("zarr.json");
    if (bytes) {
      const { root, documents } = parseRoot(bytes);
      return new Vault(root.live ? new Files(new URL(root.live.base, base)) : files, root, documents, base);
    }
    const newest = await revisionOf(files);
    if (newest) return Vault.open(new URL(newest, base));
    throw new Failure(
      `There is no vault at ${base.href}: it has no zarr.json.`,
      "This page belongs beside one; in a bucket everybody must be allowed to read it.",
    );
  }

  /** Names of the columns of the episode table that are stored. */
  get columns(): string[] {
    const all = [...this.documents.keys()].filter((path) => path.startsWith("episodes/"));
    return all.map((path) => path.slice(9)).filter((name) => !name.startsWith("attributes"));
  }

  /** How many parts the vault has that its root does not tell of; only a manifest does. */
  async countParts(): Promise<number> {
    // `strongbax view` shows parts; a packed vault has none.
    if (this.root.live || this.root.schema.packed || this.files.server === "strongbax") return 0;
    const bytes = await this.files.find("manifest.json");
    if (!bytes) return 0;
    const { files } = JSON.parse(new TextDecoder().decode(bytes)) as { files: { path: string }[] };
    return new Set(files.flatMap(({ path }) => /^parts\/([^/]+)\//.exec(path)?.[1] ?? [])).size;
  }

  leaf(name: string): Leaf | undefined {
    return this.leaves.find((leaf) => leaf.name === name);
  }

  byRole(role: string): Leaf | undefined {
    return this.leaves.find((leaf) => leaf.role === role);
  }

  /** How a column or any other array is read, and the shape of one row of it. */
  kind(path: string): { kind: Kind; dtype: string; tail: number[] } {
    const document = this.document(path);
    const dtype = document.attributes?.strongbax_dtype ?? document.data_type;
    const kind = kindOf(dtype, document.data_type);
    const tail = document.shape.slice(1);
    return { kind, dtype, tail: kind.as === "text" ? tail.slice(0, -1) : tail };
  }

  /** Rows of an inner chunk along the axis that grows: what is fetched and checked as one. */
  chunkRows(leaf: Leaf): number {
    const { codecs, chunk_grid } = this.document(`steps/${leaf.name}`);
    return (codecs[0]?.configuration?.chunk_shape ?? chunk_grid.configuration.chunk_shape)[1] ?? 1;
  }

  /** Reads the steps `[start, stop)` of one stream. */
  steps(leaf: Leaf, stream: number, start: number, stop: number, signal?: AbortSignal): Promise<Rows> {
    return this.rows(`steps/${leaf.name}`, leaf.kind, [stream, zarr.slice(start, stop)], stop - start, signal);
  }

  /** Reads what the last action of an episode led to. */
  final(leaf: Leaf, episode: number, signal?: AbortSignal): Promise<Rows> {
    return this.rows(`final/${leaf.name}`, leaf.kind, [zarr.slice(episode, episode + 1)], 1, signal);
  }

  /** Reads rows `[start, stop)` of a column of the episode table. */
  column(name: string, start: number, stop: number): Promise<Rows> {
    const path = `episodes/${name}`;
    return this.rows(path, this.kind(path).kind, [zarr.slice(start, stop)], stop - start);
  }

  private async rows(
    path: string, kind: Kind, head: (number | zarr.Slice)[], count: number, signal?: AbortSignal,
  ): Promise<Rows> {
    const { shape } = this.document(path);
    if (count <= 0 || shape.slice(head.length).includes(0)) return { data: [], count };
    const array = await this.array(path);
    const selection = [...head, ...shape.slice(head.length).map(() => null)];
    try {
      const read = await zarr.get(array, selection, { opts: { signal } as never });
      return { data: kind.numbers(read.data as never), count };
    } catch (error) {
      throw error instanceof DOMException ? error : named(path, explain(error));
    }
  }

  private array(path: string): Promise<Stored> {
    const known = this.opened.get(path);
    if (known) return known;
    // zarrita takes paths for URLs and would decode the names of leaves: it is given a number instead.
    const number = [...this.documents.keys()].indexOf(path);
    const opened = zarr.open.v3(zarr.root(this.shelf as Shelf).resolve(`/${number}`), { kind: "array" });
    this.opened.set(path, opened as Promise<Stored>);
    return opened as Promise<Stored>;
  }

  private document(path: string): Document {
    const found = this.documents.get(path);
    if (!found) throw new Failure(`The vault has no array ${path}.`);
    return found;
  }

  private leafOf({ name, dtype, shape, codec, prng }: Schema["leaves"][number]): Leaf {
    const { schema } = this.root;
    const kind = kindOf(dtype, this.document(`steps/${name}`).data_type);
    const values = shape.reduce((a, b) => a * b, 1);
    return {
      name,
      label: labelOf(name),
      dtype: prng ? `key<${prng}>` : dtype,
      shape,
      codec,
      role: Object.entries(schema.roles).find(([, leaf]) => leaf === name)?.[0],
      hasFinal: schema.finals.includes(name),
      kind,
      width: kind.as === "text" ? values : values * kind.group,
    };
  }
}

/** A failure that says which array it is about. */
function named(path: string, failure: Failure): Failure {
  return failure.message.includes(path) ? failure : new Failure(`${labelOf(path)}: ${failure.message}`, failure.mend);
}

/** Where the newest publication of a place in a bucket lies, if publications are what is there. */
async function revisionOf(files: Files): Promise<string | undefined> {
  const bytes = await files.find("publication.json");
  try {
    const { revision } = JSON.parse(new TextDecoder().decode(bytes)) as { revision: string };
    return /^[0-9a-f]{32}$/.test(revision) ? `revisions/${revision}/` : undefined;
  } catch {
    return undefined;
  }
}

/** A name without the escapes that make it fit for a folder. */
export function labelOf(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** The vault's files as zarrita asks for them: arrays are numbered, and their dtypes are those we decode. */
class Shelf {
  private paths: string[];

  constructor(
    private files: Files,
    private documents: Map<string, Document>,
  ) {
    this.paths = [...documents.keys()];
  }

  async get(key: `/${string}`, options?: { signal?: AbortSignal }): Promise<Uint8Array | undefined> {
    const [path, file] = this.place(key);
    if (file !== "zarr.json") return file.startsWith("c") ? this.whole(`${path}/${file}`) : undefined;
    void options;
    const document = this.documents.get(path)!;
    const dtype = document.attributes?.strongbax_dtype ?? document.data_type;
    const stored = { ...document, data_type: kindOf(dtype, document.data_type).stored, fill_value: 0 };
    return new TextEncoder().encode(JSON.stringify(stored));
  }

  getRange(key: `/${string}`, range: Range, options?: { signal?: AbortSignal }): Promise<Uint8Array> {
    return this.files.readRange(this.place(key).join("/"), range, options?.signal);
  }

  /** A chunk that is a file. What was never written would be zeros to zarrita; here it is missing. */
  private async whole(path: string): Promise<Uint8Array> {
    const bytes = await this.files.read(path);
    if (!bytes) throw new Failure(`A file of the vault is missing: ${path}.`, "Copy it from where it was published.");
    return bytes;
  }

  private place(key: string): [string, string] {
    const [, number = "", file = ""] = key.split("/");
    return [this.paths[Number(number)]!, file];
  }
}

function parseRoot(bytes: Uint8Array): { root: Root; documents: Map<string, Document> } {
  const text = new TextDecoder().decode(bytes);
  let document: { attributes?: { strongbax?: Root }; consolidated_metadata?: { metadata?: Record<string, Document> } };
  try {
    document = JSON.parse(text);
  } catch {
    throw new Failure("The vault's zarr.json is damaged: it is no JSON.", "Copy it from where the vault was published.");
  }
  const root = document.attributes?.strongbax;
  const metadata = document.consolidated_metadata?.metadata;
  if (!root || !metadata) throw new Failure("This is a Zarr group, but no vault.", "The page shows vaults only.");
  if (root.format !== FORMAT) {
    throw new Failure(`The vault has format ${root.format}; this page reads format ${FORMAT}.`, "Use a newer page.");
  }
  if (!root.live && !checked(text)) {
    throw new Failure("The vault's zarr.json is damaged: its checksum differs.", "Check it with `strongbax verify`.");
  }
  const arrays = Object.entries(metadata).filter(([, node]) => node.node_type === "array");
  return { root, documents: new Map(arrays) };
}

/** The checksum is that of the file with zeros in its place. */
function checked(text: string): boolean {
  const told = /"crc32c": "([0-9a-f]{8})"/.exec(text);
  if (!told) return false;
  const at = told.index + 11;
  const blank = text.slice(0, at) + "00000000" + text.slice(at + 8);
  return crc32c(new TextEncoder().encode(blank)) === parseInt(told[1]!, 16);
}
