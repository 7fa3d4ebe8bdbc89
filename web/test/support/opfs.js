// opfs.js - a browser's own file system as far as store.js uses it, in memory, with its exclusive handles.

class FileHandle {
  bytes = new Uint8Array(0);
  locked = false;

  async getFile() {
    return new Blob([this.bytes]);
  }

  async createSyncAccessHandle() {
    if (this.locked) throw new DOMException("in use", "NoModificationAllowedError");
    this.locked = true;
    return {
      getSize: () => this.bytes.length,
      read: (target, { at }) => {
        const part = this.bytes.subarray(at, at + target.length);
        target.set(part);
        return part.length;
      },
      write: (part, { at }) => {
        this.#resize(Math.max(this.bytes.length, at + part.length));
        this.bytes.set(part, at);
        return part.length;
      },
      truncate: (size) => this.#resize(size),
      flush() {},
      close: () => (this.locked = false),
    };
  }

  /** What is written is there when it is closed. */
  async createWritable() {
    const parts = [];
    return {
      write: async (text) => void parts.push(text),
      close: async () => void (this.bytes = new TextEncoder().encode(parts.join(""))),
    };
  }

  #resize(size) {
    if (size === this.bytes.length) return;
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
  }
}

class OlderFileHandle extends FileHandle {
  createWritable = undefined;
}

class Folder {
  files = new Map();
  folders = new Map();

  async getDirectoryHandle(name) {
    if (!this.folders.has(name)) this.folders.set(name, new Folder());
    return this.folders.get(name);
  }

  async getFileHandle(name, { create = false } = {}) {
    if (!this.files.has(name) && create) this.files.set(name, new globalThis.FileSystemFileHandle());
    if (!this.files.has(name)) throw new DOMException(name, "NotFoundError");
    return this.files.get(name);
  }

  async removeEntry(name) {
    if (!this.files.delete(name)) throw new DOMException(name, "NotFoundError");
  }

  keys() {
    return this.files.keys();
  }
}

/** Puts it where browsers have it, until `remove`. `writable`: handles write through another file, as newer ones do. */
export function fakeOpfs({ writable = true, userAgent = "Test/1" } = {}) {
  const root = new Folder();
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  const storage = { getDirectory: async () => root, estimate: async () => ({ quota: 1e9, usage: 0 }) };
  Object.defineProperty(globalThis, "navigator", { value: { storage, userAgent }, configurable: true });
  globalThis.FileSystemFileHandle = writable ? FileHandle : OlderFileHandle;
  return {
    remove() {
      if (before) Object.defineProperty(globalThis, "navigator", before);
      else delete globalThis.navigator;
      delete globalThis.FileSystemFileHandle;
    },
  };
}
