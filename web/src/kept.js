// What the core found out about this device's kernels, kept between visits: small texts under names that the core gives,
// all in one file of the store. It is of this browser only: an update may compile kernels differently.

import { openStore } from "./cache.js";

const FILE = "kernels"; // no .json: those are of models

/** What compiles the kernels here. Pages are not told the driver; Dawn's adapters in Node tell it to the core. */
async function compiler() {
  if (!globalThis.process?.versions?.node) return navigator.userAgent;
  const { createRequire } = await import("node:module");
  let version;
  try {
    ({ version } = createRequire(import.meta.url)("webgpu/package.json"));
  } catch {
    version = "from elsewhere";
  }
  return `Node ${process.version} on ${process.platform} ${process.arch}, webgpu ${version}`;
}

export class Kept {
  #texts = new Map();
  #store = null;
  #writing = Promise.resolve();
  #compiler;
  #log;

  /**
   * @param {import("./quern.js").StoreOptions} options with "reload" what is kept is replaced unread
   * @param {(level: number, line: string) => void} log
   */
  static async open(options, log) {
    const kept = new Kept();
    kept.#log = log;
    try {
      kept.#compiler = await compiler();
      kept.#store = await openStore(options);
      if (kept.#store && options.cache !== "reload") await kept.#read();
    } catch (error) {
      kept.#failed(error);
    }
    return kept;
  }

  async #read() {
    try {
      const { by, texts } = JSON.parse(await this.#store.readText(FILE));
      if (by !== this.#compiler) return;
      for (const [name, text] of Object.entries(texts)) if (typeof text === "string") this.#texts.set(name, text);
    } catch {
      // not written yet, cut or overwritten: kernels are tried again
    }
  }

  #failed({ message }) {
    this.#log(2, `what is known of the kernels is not kept: ${message}`);
  }

  get(name) {
    return this.#texts.get(name);
  }

  /** The store gets it later, one text after the other; of several pages that write, the last one stays. */
  set(name, text) {
    this.#texts.set(name, text);
    const all = JSON.stringify({ by: this.#compiler, texts: Object.fromEntries(this.#texts) });
    this.#writing = this.#writing.then(() => this.#store?.writeText(FILE, all)).catch((error) => this.#failed(error));
  }

  /** Once the store has all of it, or has refused. */
  written() {
    return this.#writing;
  }
}
