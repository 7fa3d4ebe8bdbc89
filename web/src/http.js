// A file on a web server: its facts, ranges of it, and its bytes in order over as many connections as it takes.

import { QuernError, abortReason } from "./errors.js";
import { ReadAhead, checkHash, copyOverlap } from "./source.js";
import { Sha256 } from "./sha256.js";

const RETRIES = 5; // without a byte in between
const AHEAD = 8 << 20;

/** Waits between tries, longer each time; gives up by throwing what went wrong. */
class Patience {
  #failures = 0;
  #most;
  constructor(most = RETRIES) {
    this.#most = most;
  }
  progress() {
    this.#failures = 0;
  }
  async again(error, signal) {
    if (signal?.aborted) throw abortReason(signal);
    if (!error.details?.retry || ++this.#failures > this.#most) throw error;
    await new Promise((resolve) => setTimeout(resolve, Math.min(100 * 2 ** this.#failures, 4000)));
    signal?.throwIfAborted();
  }
}

const broken = (url, cause) =>
  cause instanceof QuernError || cause.name === "AbortError"
    ? cause
    : new QuernError("network", `${url}: ${cause.cause?.message ?? cause.message}`, { details: { retry: true }, cause });

/** What the headers say of the file: its size (null: they do not), a validator, a digest. */
function facts(response) {
  const header = (name) => response.headers.get(name);
  const encoded = header("content-encoding") && header("content-encoding") !== "identity";
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(header("content-range") ?? "");
  const length = header("content-length");
  const etag = header("etag");
  const digest = /(?:^|,\s*)sha-256=:?([A-Za-z0-9+/]+=*):?/i.exec(header("repr-digest") ?? header("digest") ?? "");
  return {
    start: response.status === 206 && range ? Number(range[1]) : 0,
    size: range ? Number(range[2]) : response.status === 200 && length !== null && !encoded ? Number(length) : null,
    // A weak ETag says "means the same", not "is the same bytes".
    validator: etag && !etag.startsWith("W/") ? etag : header("last-modified"),
    digest: digest ? hexOfBase64(digest[1]) : null,
  };
}

const hexOfBase64 = (text) => Array.from(atob(text), (c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");

export class Remote {
  #opened = null; // the response of the first request, until someone reads its body

  /**
   * Asks for the file from `from` on, or with `piece` for that many bytes of it.
   *
   * A resumed download sends Range alone, and compares the validator of the answer here: If-Range would say the same
   * but is not a header that other origins allow without a preflight, which many file servers refuse.
   */
  static async open(url, { from = 0, piece, headers, signal } = {}) {
    const remote = new Remote(url, { headers, signal });
    const patience = new Patience(2); // a page that is told a wrong address should hear of it soon
    for (;;) {
      try {
        return await remote.#begin(from, piece);
      } catch (error) {
        await patience.again(error, signal);
      }
    }
  }

  constructor(url, { headers = {}, signal } = {}) {
    this.url = url;
    this.headers = headers;
    this.signal = signal;
  }

  async #begin(from, piece) {
    this.#opened = await this.#request(from, piece ? from + piece - 1 : "");
    const { response, start, size, validator, digest } = this.#opened;
    Object.assign(this, { size, validator, digest, ranges: response.status === 206 });
    if (start > from) throw new QuernError("network", `${this.url}: the server sent bytes from ${start}, not ${from}`);
    if (piece && this.ranges) {
      this.#opened = null; // only its headers were wanted
      await response.arrayBuffer();
    }
    return this;
  }

  /** One request; `last` "" asks for all from `first` on. */
  async #request(first, last) {
    const ask = first > 0 || last !== "" ? { range: `bytes=${first}-${last}` } : {};
    let response;
    try {
      response = await fetch(this.url, { headers: { ...this.headers, ...ask }, signal: this.signal });
    } catch (cause) {
      throw broken(this.url, cause);
    }
    const found = facts(response);
    if (response.ok) return { response, ...found };
    response.body?.cancel().catch(() => {});
    const { status, statusText } = response;
    throw new QuernError("network", `${this.url}: HTTP ${status} ${statusText}`.trim(), {
      details: { status, retry: status >= 500 || status === 429 || status === 408 },
    });
  }

  /** As #request, and fails where the file is not any more what it was. */
  async #same(first, last) {
    const found = await this.#request(first, last);
    if (found.size === this.size && found.validator === this.validator && found.start <= first) return found;
    found.response.body?.cancel().catch(() => {});
    throw new QuernError("network", `${this.url}: the file changed on the server during the download`, {
      details: { changed: true },
    });
  }

  /** Gives up the first request's answer. */
  release() {
    this.#opened?.response.body?.cancel().catch(() => {});
    this.#opened = null;
  }

  /** The bytes from `from` to the end, in order; a broken connection is taken up where it broke. */
  async *chunks(from) {
    const patience = new Patience();
    let at = from;
    for (;;) {
      try {
        for await (const bytes of this.#connection(at)) {
          at += bytes.length;
          patience.progress();
          yield bytes;
        }
        if (this.size === null || at === this.size) return;
        throw new QuernError("network", `${this.url}: ${at} bytes came, not ${this.size}`, {
          details: { retry: at < this.size, size: at },
        });
      } catch (error) {
        if (at === this.size) return; // cut behind the last byte
        await patience.again(broken(this.url, error), this.signal);
        if (this.size === null) throw error; // nothing tells whether a second try joins on
      }
    }
  }

  async *#connection(at) {
    let found = this.#opened;
    this.#opened = null;
    if (found && found.start > at) {
      found.response.body?.cancel().catch(() => {});
      found = null;
    }
    found ??= await this.#same(at, "");
    let skip = at - found.start; // a server without ranges begins at 0
    const reader = found.response.body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        if (value.length > skip) yield skip ? value.subarray(skip) : value;
        skip = Math.max(0, skip - value.length);
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  /** A range of the file in one piece. */
  async range(offset, length) {
    const patience = new Patience();
    for (;;) {
      try {
        const { response, start } = await this.#same(offset, offset + length - 1);
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (start === offset && bytes.length === length) return bytes;
        throw new QuernError("network", `${this.url}: the server sent ${bytes.length} bytes from ${start}, not ` +
            `${length} from ${offset}`, { details: { retry: true } });
      } catch (error) {
        await patience.again(broken(this.url, error), this.signal);
      }
    }
  }
}

/** A file of a server that answers ranges, nothing kept. @param {{piece?: number, ahead?: number}} [options] */
export const rangeSource = (remote, options) =>
  new ReadAhead(remote.size, (offset, length) => remote.range(offset, length), { ...options, close: () => remote.release() });

/**
 * A file that comes in order: of a server without ranges, or where the whole file's hash is wanted. Holds what came
 * since the reader's offset and a little more. A reader that goes back makes it start again.
 */
export class StreamSource {
  #remote;
  #hash;
  #chunks = []; // from #from on
  #from = 0;
  #end = 0;
  #body = null;
  #pulling = null;
  #ahead;

  constructor(remote, sha256, ahead = AHEAD) {
    this.#remote = remote;
    this.#ahead = ahead;
    this.size = remote.size;
    this.sha256 = sha256;
    this.#restart();
  }

  #restart() {
    this.#body?.return().catch(() => {});
    this.#chunks = [];
    this.#from = this.#end = 0;
    this.#hash = new Sha256();
    this.#body = this.#remote.chunks(0);
    this.#pulling = null;
  }

  take(offset, target) {
    if (offset < this.#from) this.#restart();
    while (this.#chunks.length && this.#from + this.#chunks[0].length <= offset)
      this.#from += this.#chunks.shift().length;
    const end = offset + target.length;
    this.#pull(Math.min(end + this.#ahead, this.size));
    if (this.#end < end) return this.#pulling;
    let at = this.#from;
    for (const bytes of this.#chunks) {
      if (at >= end) break;
      copyOverlap(bytes, at, target, offset);
      at += bytes.length;
    }
    return true;
  }

  /** One chunk at a time, so that each wakes whoever waits. */
  #pull(until) {
    if (this.#pulling || this.#end >= until) return;
    const body = this.#body;
    const pulling = this.#next(body).then(() => {
      if (this.#pulling !== pulling) return;
      this.#pulling = null;
      this.#pull(until);
    });
    pulling.catch(() => {});
    this.#pulling = pulling;
  }

  async #next(body) {
    const { done, value } = await body.next();
    if (body !== this.#body) return; // started again meanwhile
    if (done) throw new QuernError("network", `${this.#remote.url}: ended at ${this.#end} of ${this.size} bytes`);
    if (this.sha256) this.#hash.update(value);
    this.#chunks.push(value);
    this.#end += value.length;
  }

  async finished() {
    if (!this.sha256) return;
    while (this.#end < this.size) {
      this.#chunks = [];
      this.#from = this.#end;
      await (this.#pulling ?? this.#next(this.#body));
    }
    checkHash(this.#hash.hex(), this.sha256, this.#remote.url);
  }

  close() {
    this.#body.return?.().catch(() => {});
    this.#remote.release();
    this.#chunks = [];
  }
}
