// Calls between the page and its worker, or within one thread.
//
//   page to worker   {id, name, args}   a call            {id, abort}   its signal fired      {id, taken}  events used up
//   worker to page   {id, events}       on the way        {id, value}   done                  {id, error}  failed
//
// Events carry a count, so that who generates faster than the page reads waits (`room`).

import { QuernError, abortReason, packError, unpackError } from "./errors.js";

const WINDOW = 64; // events under way before `room` waits

/** Two ports joined within one thread: objects pass as they are, one turn later. */
export function localPorts() {
  const make = () => ({
    onmessage: null,
    other: null,
    postMessage(data) {
      queueMicrotask(() => this.other?.onmessage?.({ data }));
    },
    close() {
      this.other = null;
    },
  });
  const [a, b] = [make(), make()];
  a.other = b;
  b.other = a;
  return [a, b];
}

/** The calling side. */
export class Client {
  #port;
  #calls = new Map();
  #last = 0;
  #dead = null;

  constructor(port) {
    this.#port = port;
    port.onmessage = ({ data }) => this.#receive(data);
  }

  /**
   * @param {string} name
   * @param {unknown[]} args
   * @param {{signal?: AbortSignal, onEvents?: (events: any[], taken: (n: number) => void) => void}} [options] whoever
   *   gives onEvents says with `taken` how many were used up
   */
  call(name, args = [], { signal, onEvents } = {}) {
    if (this.#dead) return Promise.reject(this.#dead);
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#port.postMessage({ id, abort: true });
        end(reject, abortReason(signal));
      };
      const end = (settle, value) => {
        this.#calls.delete(id);
        signal?.removeEventListener("abort", abort);
        settle(value);
      };
      signal?.addEventListener("abort", abort, { once: true });
      const taken = (n) => this.#port.postMessage({ id, taken: n });
      this.#calls.set(id, {
        events: (events) => (onEvents ? onEvents(events, taken) : taken(events.length)),
        value: (value) => end(resolve, value),
        error: (error) => end(reject, error),
      });
      try {
        this.#port.postMessage({ id, name, args });
      } catch (cause) {
        end(reject, new QuernError("argument", `this cannot be sent to the worker: ${cause.message}`, { cause }));
      }
    });
  }

  #receive({ id, events, value, error }) {
    const call = this.#calls.get(id);
    if (!call) return; // given up
    if (events) call.events(events);
    else if (error) call.error(unpackError(error));
    else call.value(value);
  }

  /** Ends every call, now and later. */
  fail(error) {
    this.#dead ??= error;
    for (const call of [...this.#calls.values()]) call.error(error);
  }
}

/** What a method gets as its last argument: its caller's signal, and the way to send events. */
class Context {
  #abort = new AbortController();
  #send;
  #under = 0;
  #waiting = null;

  constructor(send) {
    this.#send = send;
    this.signal = this.#abort.signal;
  }

  /** Methods take it out of the context. */
  emit = (...events) => {
    if (events.length === 0 || this.signal.aborted) return;
    this.#under += events.length;
    this.#send(events);
  };

  /** Resolves when the reader has kept up; undefined: it has. */
  room = () => {
    if (this.#under < WINDOW) return undefined;
    return new Promise((resolve) => (this.#waiting = resolve));
  };

  taken(n) {
    this.#under -= n;
    if (this.#under < WINDOW) this.#go();
  }

  abort() {
    this.#abort.abort();
    this.#go();
  }

  #go() {
    this.#waiting?.();
    this.#waiting = null;
  }
}

/**
 * The answering side.
 * @param {{postMessage: Function, onmessage: any}} port
 * @param {Record<string, Function>} methods called with the caller's arguments and a Context
 */
export function serve(port, methods) {
  const contexts = new Map();
  const run = async ({ id, name, args }) => {
    const context = new Context((events) => port.postMessage({ id, events }));
    contexts.set(id, context);
    try {
      const value = await methods[name](...args, context);
      port.postMessage({ id, value });
    } catch (error) {
      port.postMessage({ id, error: packError(error) });
    } finally {
      contexts.delete(id);
    }
  };
  port.onmessage = ({ data }) => {
    if (data.name !== undefined) run(data);
    else if (data.abort) contexts.get(data.id)?.abort();
    else contexts.get(data.id)?.taken(data.taken);
  };
}
