// buffer.js - mapping a GPUBuffer: C works on a copy in the module's memory.
import { enums } from "../layouts.js";

const { WGPUMapAsyncStatus } = enums;

/** What is mapped now. @typedef {{offset: number, size: number, write: boolean, range: ArrayBuffer | null, copy: number}} Mapping */

export class Buffer {
  /** @type {Mapping | null} */
  #mapping = null;
  /** The mapping under way. @type {any} */
  #request = null;
  #memory;
  #device;

  /**
   * @param {GPUBuffer} object
   * @param {import("./device.js").Device} device
   * @param {import("../memory.js").Memory} memory
   * @param {number} mappedSize over 0 when it was made mapped
   */
  constructor(object, device, memory, mappedSize) {
    this.object = object;
    this.#device = device;
    this.#memory = memory;
    if (mappedSize) this.#mapping = { offset: 0, size: mappedSize, write: true, range: null, copy: 0 };
  }

  /**
   * @param {import("./futures.js").CallbackInfo} info
   * @param {{mode: number, write: boolean, offset: number, size: number}} what
   */
  map(info, { mode, write, offset, size }) {
    const { requests } = this.#device;
    const request = requests.open(info, [WGPUMapAsyncStatus.CallbackCancelled]);
    const first = !this.#request && !this.#mapping;
    if (first) this.#request = request;
    const rejected = (error) => {
      if (first) this.#request = null;
      return [[error.name === "AbortError" ? WGPUMapAsyncStatus.Aborted : WGPUMapAsyncStatus.Error], error.message];
    };
    const resolved = () => {
      this.#request = null;
      this.#mapping = { offset, size, write, range: null, copy: 0 };
      return [[WGPUMapAsyncStatus.Success], ""];
    };
    requests.follow(request, this.object.mapAsync(mode, offset, size), resolved, rejected);
  }

  /**
   * The address of the mapped bytes at an offset of the buffer, 0 where they are not mapped. The first call copies all
   * that is mapped, also for writing: what C leaves alone keeps its value.
   * @param {number} offset @param {number} size @param {boolean} write
   */
  range(offset, size, write) {
    const m = this.#mapping;
    if (!m || (write && !m.write) || offset % 8 || offset < m.offset || offset + size > m.offset + m.size) return 0;
    if (!m.copy) {
      const range = this.object.getMappedRange(m.offset, m.size);
      const copy = this.#memory.allocate(m.size);
      if (!copy) throw new RangeError(`no memory for ${m.size} mapped bytes`);
      this.#memory.bytes(copy, m.size).set(new Uint8Array(range));
      m.range = range;
      m.copy = copy;
    }
    return m.copy + (offset - m.offset);
  }

  /** Ends the mapping, or the one under way, whose callback comes before this returns. */
  unmap() {
    const m = this.#mapping;
    // A lost or destroyed device detached the range: there is nothing to write to.
    if (m?.copy && m.write && m.range.byteLength) new Uint8Array(m.range).set(this.#memory.bytes(m.copy, m.size));
    this.object.unmap();
    this.#drop();
  }

  destroy() {
    this.object.destroy();
    this.#drop();
  }

  /** Without a mapping, as after the last release. */
  close() {
    this.#drop();
  }

  #drop() {
    const m = this.#mapping, request = this.#request;
    this.#mapping = this.#request = null;
    if (m?.copy) this.#memory.free(m.copy);
    if (request) this.#device.requests.settle(request, [WGPUMapAsyncStatus.Aborted], "the mapping was ended");
  }
}
