// futures.js - callbacks of webgpu.h: called once, in the mode that C asked for, never after their owner is gone.
import { enums, offsets, sizes } from "../layouts.js";

const { WGPUCallbackMode } = enums;
const WORD = 4;

/** The three words of a CallbackInfo. @typedef {{mode: number, callback: number, userdata1: number, userdata2: number}} CallbackInfo */

/**
 * Reads one of webgpu.h's CallbackInfo structs.
 * @param {import("../memory.js").Memory} memory
 * @param {number} address
 * @param {{callback: number, userdata1: number, userdata2: number, mode?: number}} at its offsets
 * @returns {CallbackInfo}
 */
export function readCallbackInfo(memory, address, at) {
  return {
    mode: at.mode === undefined ? WGPUCallbackMode.AllowSpontaneous : memory.word(address + at.mode),
    callback: memory.word(address + at.callback),
    userdata1: memory.word(address + at.userdata1),
    userdata2: memory.word(address + at.userdata2),
  };
}

/** Calls C's functions with a message. */
export class Caller {
  #memory;

  /** @param {import("../memory.js").Memory} memory */
  constructor(memory) {
    this.#memory = memory;
  }

  /**
   * callback(...first, message, userdata1, userdata2). The message is a struct by value, in wasm32 the address of a copy
   * that belongs to the callee: memory for this call alone. Where there is none for it the message is left out, and
   * where there is not even memory for that the call cannot be made.
   * @param {CallbackInfo} info @param {number[]} first @param {string} text
   */
  call(info, first, text) {
    if (info.callback === 0) return;
    const memory = this.#memory;
    const message = text ? memory.allocateText(text) : { address: 0, size: 0 };
    const view = memory.allocate(sizes.WGPUStringView);
    if (view === 0) throw new Error("webgpu: no memory for a callback's message");
    memory.setWord(view + offsets.WGPUStringView.data, message.address);
    memory.setWord(view + offsets.WGPUStringView.length, message.size);
    try {
      memory.table.get(info.callback)(...first, view, info.userdata1, info.userdata2);
    } finally {
      memory.free(view);
      memory.free(message.address);
    }
  }

  /**
   * The same for callbacks whose first parameter points to a device handle, NULL when the device is gone.
   * @param {CallbackInfo} info @param {number} device @param {number} reason @param {string} text
   */
  callOfDevice(info, device, reason, text) {
    const memory = this.#memory;
    const pointer = memory.allocate(WORD);
    if (pointer === 0) throw new Error("webgpu: no memory for a callback's device");
    memory.setWord(pointer, device);
    try {
      this.call(info, [pointer, reason], text);
    } finally {
      memory.free(pointer);
    }
  }
}

/** A call of C's that is owed. */
class Request {
  /** @param {CallbackInfo} info @param {number[]} cancelled first arguments when it is cancelled */
  constructor(info, cancelled) {
    this.info = info;
    this.cancelled = cancelled;
    this.done = false;
  }
}

/**
 * The open requests of an instance or a device. Cancelling calls them all, so that none is left which could reach
 * memory that C frees afterwards.
 */
export class Requests {
  #caller;
  /** @type {Set<Request>} */
  #open = new Set();
  /** @type {(() => void)[]} calls for wgpuInstanceProcessEvents, in order */
  #ready;
  /** @type {(error?: unknown) => void} */
  #onEvent;

  /** @param {Caller} caller @param {(() => void)[]} ready @param {(error?: unknown) => void} onEvent */
  constructor(caller, ready, onEvent) {
    this.#caller = caller;
    this.#ready = ready;
    this.#onEvent = onEvent;
  }

  /** Requests of the same instance for another owner. */
  sibling() {
    return new Requests(this.#caller, this.#ready, this.#onEvent);
  }

  /** @param {CallbackInfo} info @param {number[]} cancelled @returns {Request} */
  open(info, cancelled) {
    if (info.mode === WGPUCallbackMode.WaitAnyOnly) throw new Error("webgpu: nothing can wait here (WaitAnyOnly)");
    const request = new Request(info, cancelled);
    this.#open.add(request);
    return request;
  }

  /** Calls back now, unless that happened already. @param {Request} request @param {number[]} first @param {string} text */
  settle(request, first, text) {
    if (request.done) return;
    request.done = true;
    this.#open.delete(request);
    this.#caller.call(request.info, first, text);
  }

  /**
   * Calls back when a promise settles. The functions turn its outcome into the callback's first arguments and message.
   * @template T
   * @param {Request} request @param {Promise<T>} promise
   * @param {(value: T) => [number[], string]} resolved not called for a cancelled request
   * @param {(error: any) => [number[], string]} rejected
   * @param {(value: T) => void} [unwanted] gets the value when the request was cancelled
   */
  follow(request, promise, resolved, rejected, unwanted) {
    const settled = (outcome, value) => {
      const deliver = () => (request.done ? unwanted?.(value) : this.settle(request, ...outcome(value)));
      const spontaneous = request.done || request.info.mode === WGPUCallbackMode.AllowSpontaneous;
      this.event(spontaneous ? deliver : () => this.#ready.push(deliver));
    };
    promise.then(
      (value) => settled(resolved, value),
      (error) => request.done || settled(rejected, error),
    );
  }

  /** Runs what a promise or an event brought and wakes who waits; a trap of the module goes there too. @param {() => void} work */
  event(work) {
    try {
      work();
    } catch (error) {
      this.#onEvent(error);
      return;
    }
    this.#onEvent();
  }

  /** Calls every open request with the outcome of cancelling it. */
  cancel() {
    for (const request of [...this.#open]) this.settle(request, request.cancelled, "");
  }

  /** Forgets every open request without a call. */
  forget() {
    for (const request of this.#open) request.done = true;
    this.#open.clear();
  }
}
