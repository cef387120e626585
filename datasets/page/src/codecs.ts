// The codecs of a vault, given to zarrita: checksums that are compared, zstd in JavaScript, blosc.

import { decompress } from "fzstd";
import { registry } from "zarrita";
import { unblosc } from "./blosc";
import { crc32c } from "./checksum";
import { Failure } from "./failure";

type Decode = (bytes: Uint8Array) => Uint8Array;

/** Registers what a vault may use; gzip is zarrita's own. */
export function registerCodecs(): void {
  register("crc32c", compared, (size) => size + 4);
  register("zstd", guarded("zstd", (bytes) => decompress(bytes)));
  register("blosc", guarded("blosc", unblosc));
}

function register(name: string, decode: Decode, computeEncodedSize?: (size: number) => number): void {
  const codec = {
    kind: "bytes_to_bytes" as const,
    decode,
    encode: () => {
      throw new Error("The page only reads.");
    },
    computeEncodedSize,
  };
  // zarrita's type of an entry wants a class; it only ever calls fromConfig.
  registry.set(name, (() => ({ fromConfig: () => codec })) as never);
}

function compared(bytes: Uint8Array): Uint8Array {
  const end = bytes.length - 4;
  const told = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const body = bytes.subarray(0, Math.max(0, end));
  if (end < 0 || told.getUint32(end, true) !== crc32c(body)) throw damaged("the checksum differs");
  return body;
}

function guarded(name: string, decode: Decode): Decode {
  return (bytes) => {
    try {
      return decode(bytes);
    } catch {
      throw damaged(`its ${name} data cannot be decompressed`);
    }
  };
}

function damaged(why: string): Failure {
  return new Failure(
    `A chunk is damaged: ${why}.`,
    "Reload if the vault is being written; else check the copy with `strongbax verify`.",
  );
}
