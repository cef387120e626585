// Files over HTTP, by ranges, with words for whatever a server may answer instead.

import { Failure } from "./failure";

/** What zarrita asks for: bytes from an offset on, or the last ones. */
export type Range = { offset: number; length: number } | { suffixLength: number };

const MOST_WHOLE = 16 << 20; // bytes of a file that is taken whole where a server knows no ranges

/** Counts what was asked for; `onchange` is called when something was. */
export const traffic = { requests: 0, bytes: 0, whole: false, onchange: () => {} };

export class Files {
  /** What the server calls itself, where it lets the page know. */
  server = "";
  private whole = new Map<string, Promise<Uint8Array>>();

  /** @param base URL of the vault's folder, with a slash at its end. */
  constructor(readonly base: URL) {}

  /** Reads a file whole; undefined where there is none. */
  async read(path: string): Promise<Uint8Array | undefined> {
    const answer = await this.ask(path, { cache: "no-cache" });
    if (answer.status === 404 || answer.status === 410) return undefined;
    await this.check(path, answer);
    return this.body(path, answer);
  }

  /** Reads a file whole; undefined also where a bucket that nobody may list refuses what it does not have. */
  async find(path: string): Promise<Uint8Array | undefined> {
    const answer = await this.ask(path, { cache: "no-cache" });
    if (answer.status === 403 || answer.status === 404 || answer.status === 410) return undefined;
    await this.check(path, answer);
    return this.body(path, answer);
  }

  /** Reads a part of a file. */
  async readRange(path: string, range: Range, signal?: AbortSignal): Promise<Uint8Array> {
    const known = this.whole.get(path);
    if (known) return cut(path, await known, range);
    const asked =
      "suffixLength" in range ? `-${range.suffixLength}` : `${range.offset}-${range.offset + range.length - 1}`;
    const answer = await this.ask(path, { headers: { Range: `bytes=${asked}` }, signal });
    if (answer.status === 206) return this.part(path, answer, range);
    if (answer.status === 416) throw short(path);
    await this.check(path, answer);
    return cut(path, await this.takeWhole(path, answer), range);
  }

  private async part(path: string, answer: Response, range: Range): Promise<Uint8Array> {
    const bytes = await this.body(path, answer);
    const wanted = "suffixLength" in range ? range.suffixLength : range.length;
    if (bytes.length !== wanted) throw short(path);
    return bytes;
  }

  /** The server sent the whole file instead of a part of it. */
  private takeWhole(path: string, answer: Response): Promise<Uint8Array> {
    const size = Number(answer.headers.get("Content-Length") ?? 0);
    if (size > MOST_WHOLE) {
      void answer.body?.cancel();
      throw new Failure(
        `The server sends whole files only, and ${path} has ${Math.round(size / 1e6)} MB.`,
        "Serve the vault from a server that answers range requests, such as nginx, S3, or `strongbax view`.",
      );
    }
    traffic.whole = true;
    const bytes = this.body(path, answer);
    this.whole.set(path, bytes);
    bytes.catch(() => this.whole.delete(path));
    return bytes;
  }

  private async body(path: string, answer: Response): Promise<Uint8Array> {
    try {
      const bytes = new Uint8Array(await answer.arrayBuffer());
      traffic.bytes += bytes.length;
      traffic.onchange();
      return bytes;
    } catch (cause) {
      throw aborted(cause) ? cause : new Failure(`The connection broke while ${path} was read.`, "Try again.");
    }
  }

  private async check(path: string, answer: Response): Promise<void> {
    if (answer.ok) return;
    // `strongbax view` says what is wrong.
    if (answer.status === 500 && answer.headers.get("Content-Type")?.startsWith("text/plain")) {
      throw new Failure((await answer.text()).trim().slice(0, 500));
    }
    void answer.body?.cancel();
    if (answer.status === 404 || answer.status === 410) {
      throw new Failure(`A file of the vault is missing: ${path}.`, "Copy it from where the vault was published.");
    }
    if (answer.status === 403 || answer.status === 401) {
      throw new Failure(
        `The server refuses ${path} (${answer.status}).`,
        "The file may be missing, or not public: a bucket must let everybody read it.",
      );
    }
    throw new Failure(`The server answered ${answer.status} for ${path}.`, "Try again later.");
  }

  private async ask(path: string, init: RequestInit): Promise<Response> {
    traffic.requests += 1;
    traffic.onchange();
    try {
      const answer = await fetch(this.url(path), init);
      this.server = answer.headers.get("Server") ?? "";
      return answer;
    } catch (cause) {
      if (aborted(cause)) throw cause;
      const elsewhere = this.base.origin !== location.origin;
      throw new Failure(
        `${path} could not be fetched from ${this.base.host || "this file"}.`,
        elsewhere
          ? "The server is away, or does not allow other sites to read it (CORS: allow GET and the header Range)."
          : "The server is away, or the network is.",
      );
    }
  }

  private url(path: string): URL {
    return new URL(path.split("/").map(encodeURIComponent).join("/"), this.base);
  }
}

function cut(path: string, bytes: Uint8Array, range: Range): Uint8Array {
  const start = "suffixLength" in range ? bytes.length - range.suffixLength : range.offset;
  const stop = "suffixLength" in range ? bytes.length : range.offset + range.length;
  if (start < 0 || stop > bytes.length) throw short(path);
  return bytes.slice(start, stop);
}

function short(path: string): Failure {
  return new Failure(
    `The file ${path} is shorter than it should be.`,
    "Reload if the vault is being written; else check the copy with `strongbax verify`.",
  );
}

function aborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
