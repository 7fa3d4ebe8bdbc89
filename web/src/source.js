// Where the bytes of a model come from. A source is
//
//   { size, take(offset, target), finished(), close() }
//
// take fills the Uint8Array `target` with the bytes at `offset` and returns true, or returns a promise that settles when
// asking again makes sense. finished resolves when all is as it should be (the download kept, the hash right). Offsets
// are plain numbers, exact to 2^53.

import { QuernError } from "./errors.js";
import { Sha256 } from "./sha256.js";

const PIECE = 4 << 20;

/** Reads whole pieces, a few ahead of the reader, and forgets those behind it. */
export class ReadAhead {
  #pieces = new Map(); // index -> {bytes, promise}
  #fetch;
  #close;

  /**
   * @param {number} size
   * @param {(offset: number, length: number) => Promise<Uint8Array>} fetch
   * @param {{close?: () => void, piece?: number, ahead?: number}} [options]
   */
  constructor(size, fetch, { close = () => {}, piece = PIECE, ahead = 2 } = {}) {
    this.size = size;
    this.piece = piece;
    this.ahead = ahead;
    this.#fetch = fetch;
    this.#close = close;
  }

  take(offset, target) {
    checkRange(this, offset, target.length);
    if (target.length === 0) return true;
    const first = Math.floor(offset / this.piece);
    const last = Math.floor((offset + target.length - 1) / this.piece);
    const most = Math.min(last + this.ahead, Math.floor((this.size - 1) / this.piece));
    for (const index of this.#pieces.keys()) if (index < first || index > most) this.#pieces.delete(index);
    for (let index = first; index <= most; index++) this.#start(index);
    const wanted = Array.from({ length: last - first + 1 }, (_, i) => this.#pieces.get(first + i));
    if (wanted.some((piece) => !piece.bytes)) return Promise.all(wanted.map((piece) => piece.promise)).then(() => {});
    wanted.forEach(({ bytes }, i) => copyOverlap(bytes, (first + i) * this.piece, target, offset));
    return true;
  }

  #start(index) {
    if (this.#pieces.has(index)) return;
    const at = index * this.piece;
    const piece = { bytes: null, promise: null };
    piece.promise = this.#fetch(at, Math.min(this.piece, this.size - at)).then(
      (bytes) => void (piece.bytes = bytes),
      (error) => {
        this.#pieces.delete(index); // asking again tries again
        throw error;
      },
    );
    piece.promise.catch(() => {}); // one read ahead may never be asked for
    this.#pieces.set(index, piece);
  }

  async finished() {}

  close() {
    this.#pieces.clear();
    this.#close();
  }
}

function checkRange(source, offset, length) {
  if (offset < 0 || offset + length > source.size)
    throw new QuernError("io", `bytes ${offset} to ${offset + length} lie outside of the file of ${source.size} bytes`);
}

/** Copies the part of `bytes` (which lie at `at`) that falls into `target` (which lies at `offset`). */
export function copyOverlap(bytes, at, target, offset) {
  const from = Math.max(at, offset);
  const to = Math.min(at + bytes.length, offset + target.length);
  if (from < to) target.set(bytes.subarray(from - at, to - at), from - offset);
}

/** @param {Uint8Array} bytes */
export function bytesSource(bytes) {
  return {
    size: bytes.length,
    take(offset, target) {
      checkRange(this, offset, target.length);
      target.set(bytes.subarray(offset, offset + target.length));
      return true;
    },
    async finished() {},
    close() {},
  };
}

/** @param {Blob} blob also a File */
export function blobSource(blob) {
  return new ReadAhead(blob.size, async (offset, length) => {
    try {
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    } catch (cause) {
      // The file changed or went away after the user picked it.
      throw new QuernError("io", `cannot read ${blob.name ?? "the file"}: ${cause.message}`, { cause });
    }
  });
}

/** Node: an open file of node:fs/promises. */
async function fileHandleSource(handle, close) {
  const { size } = await handle.stat();
  const fetch = async (offset, length) => {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) throw new QuernError("io", `the file ends at ${offset + done} of ${size} bytes`);
      done += bytesRead;
    }
    return bytes;
  };
  return new ReadAhead(size, fetch, { close });
}

/** Node: a file by its path or file: URL. */
export async function pathSource(path) {
  const { open } = await import("node:fs/promises");
  let handle;
  try {
    handle = await open(path);
  } catch (cause) {
    throw new QuernError("io", `cannot open ${path}: ${cause.message}`, { cause });
  }
  return fileHandleSource(handle, () => void handle.close());
}

/** Reads a whole source through SHA-256. */
export async function hashOfSource(source, { signal, onProgress = () => {} } = {}) {
  const hash = new Sha256();
  const piece = new Uint8Array(Math.min(PIECE, source.size));
  for (let at = 0; at < source.size; ) {
    signal?.throwIfAborted();
    const bytes = piece.subarray(0, Math.min(piece.length, source.size - at));
    const there = source.take(at, bytes);
    if (there !== true) {
      await there;
      continue;
    }
    hash.update(bytes);
    at += bytes.length;
    onProgress({ phase: "verify", loaded: at, total: source.size });
    await new Promise((resolve) => setTimeout(resolve)); // messages, such as abort, get their turn
  }
  return hash.hex();
}

/** Fails unless the hash is the expected one. */
export function checkHash(actual, expected, what) {
  if (actual !== expected)
    throw new QuernError("hash", `${what} has SHA-256 ${actual}, not ${expected}`, { details: { actual, expected } });
}

const isNode = () => typeof process === "object" && Boolean(process.versions?.node);

/** Whether a text is an address rather than a path of Node. */
const isAddress = (text) => !isNode() || /^https?:/i.test(text);

/**
 * The source that a caller's value means. `head`: of which only the first bytes are wanted, so that nothing is kept and
 * no hash is checked.
 * @param {string | URL | Blob | ArrayBuffer | ArrayBufferView | object} value
 * @param {import("./quern.js").LoadOptions} options
 */
export async function openSource(value, options = {}) {
  if (typeof value === "string" || value instanceof URL) {
    const text = String(value);
    if (/^(blob|data):/i.test(text)) return verified(blobSource(await (await fetch(text)).blob()), options);
    if (isAddress(text)) {
      const { headSource, urlSource } = await import("./cache.js");
      return options.head ? headSource(text, options) : urlSource(text, options);
    }
    return verified(await pathSource(text.startsWith("file:") ? new URL(text) : text), options);
  }
  return verified(await localSource(value), options);
}

async function localSource(value) {
  if (value instanceof ArrayBuffer) return bytesSource(new Uint8Array(value));
  if (ArrayBuffer.isView(value))
    return bytesSource(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  if (typeof Blob !== "undefined" && value instanceof Blob) return blobSource(value);
  if (typeof value?.getFile === "function") return blobSource(await value.getFile()); // FileSystemFileHandle
  if (typeof value?.stat === "function") return fileHandleSource(value, () => {}); // the caller closes it
  throw new QuernError("argument", "a model is given as a URL, File, Blob, file handle, ArrayBuffer or path");
}

async function verified(source, { head, sha256, size, signal, onProgress }) {
  if (head) return source;
  try {
    if (size !== undefined && source.size !== size)
      throw new QuernError("io", `the file has ${source.size} bytes, not ${size}`, { details: { size: source.size } });
    if (sha256) checkHash(await hashOfSource(source, { signal, onProgress }), sha256.toLowerCase(), "the file");
    return source;
  } catch (error) {
    source.close();
    throw error;
  }
}
