// program.js - web/test/glue.c as an object: its functions, and what its callbacks were told.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, buildSources, compileProgram } from "./build.js";

/** The order of `seen` in glue.c. */
const KINDS = ["adapter", "device", "lost", "error", "popped", "mapped", "finished", "pipeline"];
const ANSWER_MESSAGE = 12; // three words in front

const folder = buildSources();
compileProgram(join(ROOT, "web/test/glue.c"), join(folder, "glue.wasm"));
const module = new WebAssembly.Module(readFileSync(join(folder, "glue.wasm")));
const { Memory } = await import(join(folder, "memory.js"));
const { createWebGPU } = await import(join(folder, "webgpu.js"));

export const { enums, offsets, sizes, types } = await import(join(folder, "layouts.js"));
export { Memory };

export class Program {
  /** Events that were told, and errors of callbacks. */
  events = 0;
  errors = [];
  memory = new Memory();
  /** @type {(() => void)[]} */
  #waiting = [];

  /** @param {GPU | undefined} gpu */
  constructor(gpu) {
    this.webgpu = createWebGPU({ gpu, memory: this.memory, onEvent: (error) => this.#onEvent(error) });
    const { exports } = new WebAssembly.Instance(module, { env: this.webgpu.imports });
    /** The functions of glue.c. @type {Record<string, any>} */
    this.c = exports;
    this.memory.attach(exports);
    exports._initialize();
  }

  #onEvent(error) {
    this.events++;
    if (error) this.errors.push(error);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** What the callback of a kind was told last. */
  answer(kind) {
    const at = this.c.answer_of(KINDS.indexOf(kind)), { memory } = this;
    const [calls, status, type] = [0, 4, 8].map((offset) => memory.word(at + offset));
    return { calls, status, type, message: memory.text(at + ANSWER_MESSAGE) };
  }

  /** Waits until the callback of a kind was called so many times. */
  async until(kind, calls = 1) {
    while (this.answer(kind).calls < calls) await new Promise((wake) => this.#waiting.push(wake));
    return this.answer(kind);
  }

  /** A C string that lives as long as the program. */
  string(text) {
    return this.memory.allocateText(text).address;
  }

  async open() {
    const { WGPUCallbackMode } = enums;
    this.c.open_instance();
    this.c.request_adapter(WGPUCallbackMode.AllowSpontaneous);
    await this.until("adapter");
    this.c.request_device(0);
    await this.until("device");
    this.c.get_queue();
    return this;
  }

  /** Releases all that open made. */
  close() {
    this.c.release_device();
    this.c.release_instance();
  }

  /** The floats of a buffer, by way of a mapped one. */
  async read(buffer, n) {
    const { MapRead, CopyDst } = enums.WGPUBufferUsage;
    const back = this.c.make_buffer(4 * n, MapRead | CopyDst, 0);
    this.c.copy(buffer, 0, back, 0, 4 * n);
    this.c.map(back, enums.WGPUMapMode.Read, 0, 4 * n);
    const { calls } = this.answer("mapped");
    await this.until("mapped", calls + 1);
    const at = this.c.const_range(back, 0, 4 * n) >>> 0;
    const floats = [...new Float32Array(this.memory.u8.buffer, at, n)];
    this.c.unmap(back);
    this.c.destroy_buffer(back);
    this.c.release_buffer(back);
    return floats;
  }

  /** A buffer with these floats, made mapped. */
  floats(values, usage) {
    const buffer = this.c.make_buffer(4 * values.length, usage, 1);
    const at = this.c.range(buffer, 0, 4 * values.length) >>> 0;
    new Float32Array(this.memory.u8.buffer, at, values.length).set(values);
    this.c.unmap(buffer);
    return buffer;
  }
}
