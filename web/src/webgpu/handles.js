// handles.js - JavaScript objects that C holds by number, counted as webgpu.h counts references.

/** What one number stands for. */
export class Handle {
  /**
   * @param {any} object the WebGPU object
   * @param {any} owner what errors and open requests of the object belong to: a device, or an instance
   * @param {(() => void) | null} close called with the last release
   * @param {any} state what is kept beside the object: the mapping of a buffer
   */
  constructor(object, owner, close, state) {
    this.object = object;
    this.owner = owner;
    this.close = close;
    this.state = state;
    this.refs = 1;
  }
}

export class Handles {
  /** @type {(Handle | null)[]} index 0 is C's NULL */
  #slots = [null];
  /** @type {number[]} */
  #free = [];

  /** Handles that C has not released. */
  get live() {
    return this.#slots.length - 1 - this.#free.length;
  }

  /**
   * @param {any} object @param {any} owner @param {(() => void) | null} [close] @param {any} [state]
   * @returns {number}
   */
  add(object, owner, close = null, state = null) {
    const handle = new Handle(object, owner, close, state);
    const free = this.#free.pop();
    if (free === undefined) return this.#slots.push(handle) - 1;
    this.#slots[free] = handle;
    return free;
  }

  /** @param {number} number @returns {Handle} */
  get(number) {
    const handle = this.#slots[number];
    if (!handle) throw new Error(`webgpu: ${number} is no object (used after its release?)`);
    return handle;
  }

  /** The WebGPU object itself. @param {number} number */
  object(number) {
    return this.get(number).object;
  }

  /** @param {number} number */
  addRef(number) {
    this.get(number).refs++;
  }

  /** @param {number} number */
  release(number) {
    const handle = this.get(number);
    if (--handle.refs > 0) return;
    this.#slots[number] = null;
    this.#free.push(number);
    handle.close?.();
  }

  /** Forgets everything without closing it: for a module that is gone. */
  clear() {
    this.#slots = [null];
    this.#free = [];
  }
}
