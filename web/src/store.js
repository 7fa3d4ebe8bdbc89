// Where models are kept: a folder of the browser's own file system (OPFS), or in Node a folder.
//
//   open(name)            a file for one writer: {size, read, write, truncate, flush, close}, all synchronous
//   source(name)          the finished file as a source of bytes
//   readText, writeText   small files beside it
//   names, size, remove
//   room()                bytes that may still be written, or undefined where nobody says

import { blobSource, pathSource } from "./source.js";

/** OPFS; null where the browser has none. `write` needs synchronous handles, which only workers have. */
export async function openOpfs({ write = false } = {}) {
  if (typeof navigator !== "object" || !navigator.storage?.getDirectory) return null;
  if (write && !globalThis.FileSystemFileHandle?.prototype.createSyncAccessHandle) return null;
  try {
    const root = await navigator.storage.getDirectory();
    return new Opfs(await root.getDirectoryHandle("quern", { create: true }));
  } catch {
    return null; // private windows of some browsers refuse
  }
}

class Opfs {
  #folder;
  constructor(folder) {
    this.#folder = folder;
  }

  async open(name) {
    const file = await this.#folder.getFileHandle(name, { create: true });
    const handle = await file.createSyncAccessHandle();
    return {
      size: handle.getSize(),
      read: (offset, target) => handle.read(target, { at: offset }),
      write: (offset, bytes) => writeAll(offset, bytes, (part, at) => handle.write(part, { at })),
      truncate: (size) => handle.truncate(size),
      flush: () => handle.flush(),
      close: () => handle.close(),
    };
  }

  async #file(name) {
    return (await this.#folder.getFileHandle(name)).getFile();
  }

  async source(name) {
    return blobSource(await this.#file(name));
  }

  async readText(name) {
    return (await this.#file(name)).text();
  }

  async writeText(name, text) {
    const handle = await this.#folder.getFileHandle(name, { create: true });
    if (handle.createWritable) { // others see the old text or the new one
      const stream = await handle.createWritable();
      await stream.write(text);
      return stream.close();
    }
    const file = await this.open(name);
    try {
      file.truncate(0);
      file.write(0, new TextEncoder().encode(text));
    } finally {
      file.close();
    }
  }

  async names() {
    const names = [];
    for await (const name of this.#folder.keys()) names.push(name);
    return names;
  }

  async size(name) {
    return (await this.#file(name)).size;
  }

  async remove(name) {
    await this.#folder.removeEntry(name).catch((error) => {
      if (error.name !== "NotFoundError") throw error;
    });
  }

  async room() {
    const { quota, usage } = (await navigator.storage.estimate?.()) ?? {};
    return quota === undefined ? undefined : Math.max(0, quota - usage);
  }
}

/** Writes may be short when the disk is full. */
function writeAll(offset, bytes, write) {
  for (let done = 0; done < bytes.length; ) {
    const n = write(bytes.subarray(done), offset + done);
    if (!(n > 0)) throw new DOMException("the file could not be written", "QuotaExceededError");
    done += n;
  }
}

/** Node: a folder, made where it is missing. */
export async function openFolder(path) {
  const [fs, { join }] = await Promise.all([import("node:fs"), import("node:path")]);
  fs.mkdirSync(path, { recursive: true });
  return new Folder(fs, (name) => join(path, name));
}

class Folder {
  #fs;
  #path;
  constructor(fs, path) {
    this.#fs = fs;
    this.#path = path;
  }

  async open(name) {
    const fs = this.#fs;
    const fd = fs.openSync(this.#path(name), fs.constants.O_RDWR | fs.constants.O_CREAT);
    return {
      size: fs.fstatSync(fd).size,
      read: (offset, target) => fs.readSync(fd, target, 0, target.length, offset),
      write: (offset, bytes) => writeAll(offset, bytes, (part, at) => fs.writeSync(fd, part, 0, part.length, at)),
      truncate: (size) => fs.ftruncateSync(fd, size),
      flush: () => fs.fsyncSync(fd),
      close: () => fs.closeSync(fd),
    };
  }

  source(name) {
    return pathSource(this.#path(name));
  }

  async readText(name) {
    return this.#fs.readFileSync(this.#path(name), "utf8");
  }

  async writeText(name, text) {
    const beside = this.#path(`${name}.${process.pid}`);
    this.#fs.writeFileSync(beside, text);
    this.#fs.renameSync(beside, this.#path(name));
  }

  async names() {
    return this.#fs.readdirSync(this.#path("."));
  }

  async size(name) {
    return this.#fs.statSync(this.#path(name)).size;
  }

  async remove(name) {
    this.#fs.rmSync(this.#path(name), { force: true });
  }

  async room() {
    const { bavail, bsize } = this.#fs.statfsSync(this.#path("."));
    return bavail * bsize;
  }
}
