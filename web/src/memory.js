// memory.js - the memory of an instance of the module, read and written by address.
//
// Addresses arrive from wasm as signed 32-bit numbers: `>>> 0` (or `>>> 2` for an index of words) makes them positive
// again. Memory that grows detaches every view, so views are asked for anew after each call into the module.

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();
const TWO_32 = 2 ** 32;

export class Memory {
  /** @type {WebAssembly.Memory} */
  #memory;
  #u8 = new Uint8Array(0);
  #u32 = new Uint32Array(0);
  #view = new DataView(new ArrayBuffer(0));
  /** @type {(size: number) => number} */
  #malloc;
  /** @type {(address: number) => void} */
  #free;
  /** The functions that C's function pointers name. @type {WebAssembly.Table} */
  table;

  /** Imports are made before the instance is: it comes here afterwards. @param {WebAssembly.Exports} exports */
  attach(exports) {
    this.#memory = exports.memory;
    this.#malloc = exports.malloc;
    this.#free = exports.free;
    this.table = exports.__indirect_function_table;
  }

  #renew() {
    const { buffer } = this.#memory;
    this.#u8 = new Uint8Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    this.#view = new DataView(buffer);
  }

  /** All memory as bytes; valid until the next call that may grow it. */
  get u8() {
    if (this.#u8.length === 0) this.#renew(); // a detached view has length 0
    return this.#u8;
  }

  /** All memory as words. */
  get u32() {
    if (this.#u32.length === 0) this.#renew();
    return this.#u32;
  }

  /** All memory, for what has no view of its own. */
  get view() {
    if (this.#u8.length === 0) this.#renew();
    return this.#view;
  }

  /** Bytes that the module's memory has now. */
  get size() {
    return this.u8.length;
  }

  /** @param {number} address @returns {number} */
  word(address) {
    return this.u32[address >>> 2];
  }

  /** @param {number} address @param {number} value */
  setWord(address, value) {
    this.u32[address >>> 2] = value;
  }

  /** A uint64_t as a number: exact below 2^53. @param {number} address */
  long(address) {
    const { u32 } = this;
    return u32[address >>> 2] + u32[(address >>> 2) + 1] * TWO_32;
  }

  /** @param {number} address @param {number} value a whole number below 2^53 */
  setLong(address, value) {
    const { u32 } = this;
    u32[address >>> 2] = value % TWO_32;
    u32[(address >>> 2) + 1] = Math.floor(value / TWO_32);
  }

  /** A copy-free view of a range. @param {number} address @param {number} size */
  bytes(address, size) {
    return this.u8.subarray(address >>> 0, (address >>> 0) + (size >>> 0));
  }

  /** UTF-8 as a string; without a size up to its zero. @param {number} address @param {number} [size] */
  text(address, size) {
    const { u8 } = this;
    const start = address >>> 0;
    return decoder.decode(u8.subarray(start, size === undefined ? u8.indexOf(0, start) : start + (size >>> 0)));
  }

  /** Memory of the module, 0 when there is none. @param {number} size */
  allocate(size) {
    return this.#malloc(size) >>> 0;
  }

  /** @param {number} address as allocate gave it; 0 is allowed */
  free(address) {
    this.#free(address);
  }

  /** A string in memory of its own with a zero behind it. @param {string} text @returns {{address: number, size: number}} */
  allocateText(text) {
    const bytes = encoder.encode(text);
    const address = this.allocate(bytes.length + 1);
    if (address === 0) return { address: 0, size: 0 };
    const { u8 } = this;
    u8.set(bytes, address);
    u8[address + bytes.length] = 0;
    return { address, size: bytes.length };
  }
}
