// What drives the core's step functions: it waits for WebGPU and files, and lets others have the thread.

import { abortReason } from "./errors.js";

const SLICE = 8; // milliseconds of work before others get the thread: half a frame

/** A step that got something done and has more to do. */
export const MORE = Symbol("more");

/** Lets other tasks run: input, frames, messages. A timer would wait for 4 ms. */
function otherTasks() {
  if (globalThis.scheduler?.yield) return globalThis.scheduler.yield();
  if (globalThis.setImmediate) return new Promise((resolve) => globalThis.setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

export class Loop {
  #events = 0;
  #waiting = [];
  #failed = null;
  #since = performance.now();

  /** Something happened: whoever waits tries again. */
  wake() {
    this.#events++;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Every step from now on fails. */
  fail(error) {
    this.#failed ??= error;
    this.wake();
  }

  get failed() {
    return this.#failed;
  }

  /**
   * Calls `step` until it returns something: undefined means that it waits for an event, MORE that it has more to do.
   * @template T
   * @param {() => T | undefined | typeof MORE} step
   * @param {AbortSignal} [signal] not looked at after the last step: what is done is done
   * @returns {Promise<T>}
   */
  async drive(step, signal) {
    const wake = () => this.wake();
    signal?.addEventListener("abort", wake);
    try {
      for (;;) {
        if (signal?.aborted) throw abortReason(signal);
        if (this.#failed) throw this.#failed;
        const events = this.#events;
        const result = step();
        if (result !== undefined && result !== MORE) return result;
        if (result === MORE) await this.breathe();
        else if (events === this.#events) await this.#event();
      }
    } finally {
      signal?.removeEventListener("abort", wake);
    }
  }

  #event() {
    return new Promise((resolve) => this.#waiting.push(resolve)).then(() => (this.#since = performance.now()));
  }

  /** Between pieces of long work. */
  async breathe() {
    if (performance.now() - this.#since < SLICE) return;
    await otherTasks();
    this.#since = performance.now();
  }
}
