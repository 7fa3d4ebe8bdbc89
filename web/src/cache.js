// Models from the web, kept: a download goes to the store while the loader reads what has arrived, goes on after it was
// cut, and is checked against its hash. Beside each model NAME lies NAME.json with what is known of it.

import { QuernError } from "./errors.js";
import { Remote, StreamSource, rangeSource } from "./http.js";
import { Sha256 } from "./sha256.js";
import { checkHash, hashOfSource } from "./source.js";
import { openFolder, openOpfs } from "./store.js";

const PROBE = 1; // bytes asked for to learn whether the server answers ranges
const HEAD = 1 << 20; // bytes of a piece, where only the head of a file is read

/** The store of an options object; null: none. `write`: models will be put there. */
export const openStore = ({ cache = true, cacheDir, store, write }) => {
  if (!cache) return Promise.resolve(null);
  if (store) return Promise.resolve(store);
  return cacheDir ? openFolder(cacheDir) : openOpfs({ write });
};

/** The name under which the model of an address is kept: readable, and one for each address. */
export function nameOf(url) {
  const { pathname } = new URL(url);
  const file = decodeURIComponent(pathname.split("/").pop() || "model").replace(/[^\w.-]+/g, "_").slice(-80);
  return `${new Sha256().update(new TextEncoder().encode(url)).hex().slice(0, 16)}-${file}`;
}

const readEntry = async (store, name) => {
  try {
    return JSON.parse(await store.readText(`${name}.json`));
  } catch {
    return null; // never written, or cut while it was
  }
};

const writeEntry = (store, name, entry) => store.writeText(`${name}.json`, JSON.stringify(entry));

const removeEntry = async (store, name) => {
  await store.remove(`${name}.json`);
  await store.remove(name);
};

/** The models that are kept, whole or in part. */
export async function listModels(options = {}) {
  const store = await openStore(options);
  const models = [];
  for (const file of store ? await store.names() : []) {
    if (!file.endsWith(".json")) continue;
    const name = file.slice(0, -5);
    const entry = await readEntry(store, name);
    if (entry) models.push({ name, ...entry, stored: await store.size(name).catch(() => 0) });
  }
  return models;
}

/** Deletes a kept model by its name or address; true when it was there. */
export async function deleteModel(which, options = {}) {
  const store = await openStore(options);
  const found = (await listModels(options)).find(({ name, url }) => name === which || url === which);
  if (found) await removeEntry(store, found.name);
  return Boolean(found);
}

/** The source of a model on the web. */
export async function urlSource(url, options) {
  const { sha256, size } = options;
  const wanted = { ...options, sha256: sha256?.toLowerCase() };
  const store = await openStore({ ...options, write: true });
  const source = store ? await keptSource(store, url, wanted) : await plainSource(url, wanted);
  if (size === undefined || source.size === size) return source;
  source.close();
  throw new QuernError("io", `${url} has ${source.size} bytes, not ${size}`, { details: { size: source.size } });
}

/** Nothing kept: in ranges where the server has them, else in order. */
async function plainSource(url, options) {
  const remote = await openRemote(url, options);
  const expected = options.sha256 ?? remote.digest;
  return remote.ranges && !expected ? rangeSource(remote) : new StreamSource(remote, expected);
}

async function openRemote(url, { sha256, headers, signal }) {
  const remote = await Remote.open(url, { piece: sha256 ? undefined : PROBE, headers, signal });
  if (remote.size !== null) return remote;
  remote.release();
  throw new QuernError("unsupported", `${url}: the server does not say how large the file is, and it is not kept`);
}

/**
 * The source of a look at a model: what is kept, else the server's, and nothing ahead of what is asked for. `storage`
 * is what keeping it would take, {needed, available}, in bytes; null: nothing.
 */
export async function headSource(url, { sha256, ...options }) {
  const store = await openStore(options);
  const entry = store && options.cache !== "reload" ? await readEntry(store, nameOf(url)) : null;
  const kept = entry?.complete ? await completeSource(store, nameOf(url), entry, options) : null;
  if (kept) return kept;
  const remote = await openRemote(url, options);
  const source = remote.ranges ? rangeSource(remote, { piece: HEAD, ahead: 0 }) : new StreamSource(remote, null, 0);
  source.storage = await storageFor(url, remote.size, entry, sha256, options);
  return source;
}

async function storageFor(url, size, entry, sha256, options) {
  const store = await openStore({ ...options, write: true });
  if (!store) return null;
  const part = canJoin(entry, sha256) ? await store.size(nameOf(url)).catch(() => 0) : 0;
  const available = await store.room().catch(() => undefined);
  return { needed: Math.max(0, size - part), available: available ?? null };
}

/** Parts join only where something says that the file is still the same: its validator, or the hash at the end. */
const canJoin = (entry, sha256) => Boolean(entry?.size && (entry.validator || sha256));

// ---- kept -----------------------------------------------------------------------------------------

async function keptSource(store, url, options) {
  const name = nameOf(url);
  let entry = await readEntry(store, name);
  if (options.cache === "reload") entry = null;
  if (entry?.complete) {
    const source = await completeSource(store, name, entry, options);
    if (source) return source;
    entry = null;
  }
  let file;
  try {
    file = await store.open(name);
  } catch (error) {
    // Another tab is downloading it: this one reads from the server and keeps nothing.
    if (error.name === "NoModificationAllowedError") return plainSource(url, options);
    throw error;
  }
  try {
    return await startDownload(store, name, file, entry, { ...options, url });
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The kept file, or null when it is not what is wanted. */
async function completeSource(store, name, entry, options) {
  const { sha256, signal, onProgress } = options;
  const source = await store.source(name).catch(() => null);
  if (!source || source.size !== entry.size) {
    source?.close();
    return null;
  }
  if (sha256 && entry.sha256 !== sha256) {
    const actual = entry.sha256 ?? (await hashOfSource(source, { signal, onProgress }));
    if (actual !== sha256) {
      source.close();
      return null; // the address has another file by now: it is asked for
    }
    await writeEntry(store, name, { ...entry, sha256 }).catch(() => {});
  }
  return source;
}

async function startDownload(store, name, file, entry, options) {
  const { url, sha256, headers, signal } = options;
  let have = canJoin(entry, sha256) ? Math.min(file.size, entry.size - 1) : 0; // a byte less than all: no server answers for none
  let remote = await Remote.open(url, { from: have, headers, signal });
  const same = remote.size === entry?.size && (remote.validator ?? null) === (entry?.validator ?? null);
  if (have && !same) {
    remote.release();
    have = 0;
    remote = await Remote.open(url, { headers, signal });
  }
  file.truncate(have);
  try {
    await checkRoom(store, url, remote.size, have);
    const expected = sha256 ?? remote.digest ?? null;
    const facts = { url, size: remote.size, validator: remote.validator ?? null, sha256: null, complete: false };
    await writeEntry(store, name, facts);
    const download = new Download({ store, name, file, remote, facts, expected, have, options });
    if (remote.size === null) await download.finished(); // the loader has to know the size
    return download;
  } catch (error) {
    remote.release();
    throw error;
  }
}

const full = (url, needed, available, cause) =>
  new QuernError("quota", `${url} needs ${needed} more bytes of storage` +
      (available === undefined ? "" : `, ${available} are left`), { details: { needed, available }, cause });

async function checkRoom(store, url, size, have) {
  const room = await store.room().catch(() => undefined);
  if (size !== null && room !== undefined && size - have > room) throw full(url, size - have, room);
}

/** A file on its way into the store, readable as far as it came. */
class Download {
  #file;
  #have;
  #waiting = null; // {until, resolve}
  #done;
  #stopped = false;
  #job;

  constructor(job) {
    this.#job = job;
    this.#file = job.file;
    this.#have = job.have;
    this.size = job.remote.size ?? 0;
    this.#done = this.#run().finally(() => this.#wake(true));
    this.#done.catch(() => {});
  }

  take(offset, target) {
    const end = offset + target.length;
    if (end > this.size) throw new QuernError("io", `byte ${end} lies outside of the file of ${this.size} bytes`);
    if (end <= this.#have) {
      this.#file.read(offset, target);
      return true;
    }
    const arrival = new Promise((resolve) => (this.#waiting = { until: end, resolve }));
    return Promise.race([arrival, this.#done]);
  }

  #wake(all) {
    if (!this.#waiting || (!all && this.#have < this.#waiting.until)) return;
    this.#waiting.resolve();
    this.#waiting = null;
  }

  async #run() {
    const { store, name, remote, facts, expected, options } = this.#job;
    const hash = expected ? await this.#hashOfPart() : null;
    const report = () =>
      options.onProgress?.({ phase: "download", loaded: this.#have, total: remote.size ?? this.#have });
    try {
      report();
      for await (const bytes of remote.chunks(this.#have)) {
        if (this.#stopped) return;
        this.#write(bytes);
        hash?.update(bytes);
        report();
        this.#wake(false);
      }
      this.#file.flush();
      if (hash) checkHash(hash.hex(), expected, facts.url);
      this.size = this.#have;
      await writeEntry(store, name, { ...facts, size: this.size, sha256: expected, complete: true });
    } catch (error) {
      // What came stays for the next try, unless it is wrong.
      if (error.code === "hash" || error.details?.changed) await this.#discard();
      else if (!this.#stopped) this.#file.flush();
      throw error;
    }
  }

  #write(bytes) {
    try {
      this.#file.write(this.#have, bytes);
    } catch (cause) {
      if (cause.name !== "QuotaExceededError" && cause.code !== "ENOSPC") throw cause;
      throw full(this.#job.facts.url, this.size - this.#have, undefined, cause);
    }
    this.#have += bytes.length;
  }

  async #hashOfPart() {
    const hash = new Sha256();
    const piece = new Uint8Array(1 << 20);
    for (let at = 0; at < this.#have && !this.#stopped; at += piece.length) {
      const bytes = piece.subarray(0, Math.min(piece.length, this.#have - at));
      this.#file.read(at, bytes);
      hash.update(bytes);
      await new Promise((resolve) => setTimeout(resolve));
    }
    return hash;
  }

  async #discard() {
    const { store, name } = this.#job;
    this.close();
    await removeEntry(store, name);
  }

  /** Resolves when the file is whole, right and kept. */
  finished() {
    return this.#done;
  }

  close() {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#job.remote.release();
    this.#file.close();
  }
}
