// The bridge's read import: a source's bytes in memory of the module.

import { QuernError } from "./errors.js";
import { enums, offsets } from "./layouts.js";

export class Readers {
  #memory;
  #wake;
  #open = new Map(); // number -> {source, address, capacity, error}
  #last = 0;

  /**
   * @param {import("./memory.js").Memory} memory
   * @param {() => void} wake called when bytes arrived, or will not
   */
  constructor(memory, wake) {
    this.#memory = memory;
    this.#wake = wake;
  }

  add(source) {
    this.#open.set(++this.#last, { source, address: 0, capacity: 0, error: null, waits: false });
    return this.#last;
  }

  /** What went wrong at the source: the core only has its message. */
  errorOf(number) {
    return this.#open.get(number)?.error ?? null;
  }

  remove(number) {
    const reader = this.#open.get(number);
    if (!reader) return;
    this.#memory.free(reader.address);
    this.#open.delete(number);
  }

  /** read(source, offset, size, pending*, status*) of docs/web.md. */
  read(number, offset, size, pending, status) {
    const reader = this.#open.get(number);
    try {
      if (reader.error) throw reader.error;
      const address = reader.waits ? 0 : this.#fill(reader, offset, size);
      if (address === 0) this.#memory.bytes(pending, 1)[0] = 1;
      return address;
    } catch (error) {
      reader.error = error;
      this.#fail(status, error);
      return 0;
    }
  }

  #fill(reader, offset, size) {
    this.#reserve(reader, size);
    const there = reader.source.take(offset, this.#memory.bytes(reader.address, size));
    if (there === true) return reader.address;
    reader.waits = true;
    there
      .catch((error) => void (reader.error = error))
      .then(() => {
        reader.waits = false;
        this.#wake();
      });
    return 0;
  }

  #reserve(reader, size) {
    if (size <= reader.capacity) return;
    this.#memory.free(reader.address);
    reader.capacity = 0;
    reader.address = this.#memory.allocate(size);
    if (!reader.address) throw new QuernError("memory", `the module has no memory for ${size} bytes of the file`);
    reader.capacity = size;
  }

  #fail(status, error) {
    const memory = this.#memory;
    const at = status + offsets.qn_status.text;
    const text = new TextEncoder().encode(String(error?.message ?? error)).subarray(0, 490);
    memory.setWord(status + offsets.qn_status.code, enums.qn_code.QN_ERR_IO);
    memory.bytes(at, text.length).set(text);
    memory.u8[(at >>> 0) + text.length] = 0;
  }
}
