// An instance of the module, and the calls of quern.h as methods. Pointers of the core are plain numbers here; what
// takes time is a promise.

import { QuernError } from "./errors.js";
import { enums, offsets, sizes } from "./layouts.js";
import { Loop, MORE } from "./loop.js";
import { Memory } from "./memory.js";
import { Readers } from "./reader.js";
import { Regexes } from "./regex.js";
import { Scratch, readStruct, writeStruct } from "./structs.js";
import { createWebGPU } from "./webgpu.js";

/** "gpu memory" of QN_ERR_GPU_MEMORY. */
const CODES = Object.fromEntries(
  Object.entries(enums.qn_code).map(([name, code]) => [code, name.replace("QN_ERR_", "").toLowerCase().replaceAll("_", " ")]),
);
const STATES = enums.qn_step_state;
const MATH = Object.fromEntries(["sin", "cos", "exp", "log", "pow"].map((name) => [`math_${name}`, Math[name]]));
const ROUTES = 512; // kernel rows asked for at once; more than there are

/** The module, compiled once for all instances: from a Module, its bytes, a Response or an address. */
export async function compileModule(wasm = new URL("./quern.wasm", import.meta.url)) {
  if (wasm instanceof WebAssembly.Module) return wasm;
  if (wasm instanceof ArrayBuffer || ArrayBuffer.isView(wasm)) return WebAssembly.compile(wasm);
  const address = new URL(wasm, import.meta.url);
  if (address.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return WebAssembly.compile(await readFile(address));
  }
  const response = await fetch(address);
  if (!response.ok) throw new QuernError("network", `${address}: HTTP ${response.status}`);
  const streams = response.headers.get("content-type") === "application/wasm";
  return streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

/** The WebGPU of this place: the browser's, or in Node that of the package `webgpu`. */
export async function findGpu() {
  if (globalThis.navigator?.gpu) return navigator.gpu;
  if (!globalThis.process?.versions?.node)
    throw new QuernError("unsupported", "this browser has no WebGPU (navigator.gpu), or the page is not served by https");
  const name = "webgpu"; // not a literal: bundlers for the web are not to look for it
  const found = await import(name).catch((cause) => {
    throw new QuernError("unsupported", `Node needs the npm package "webgpu" for WebGPU: ${cause.message}`, { cause });
  });
  Object.assign(globalThis, found.globals);
  return found.create([]);
}

export class Core {
  /**
   * @param {{module: WebAssembly.Module, gpu: GPU, onLog?: (level: number, line: string) => void,
   *   kept?: {get(name: string): string | undefined, set(name: string, text: string): void}}} options
   */
  static async create({ module, gpu, onLog = () => {}, kept = new Map() }) {
    const core = new Core(gpu, onLog, kept);
    const instance = await WebAssembly.instantiate(module, core.#imports());
    core.#attach(instance.exports);
    return core;
  }

  #exports;
  #status = 0;
  #kept;
  #onLog;
  #onProgress = null;

  constructor(gpu, onLog, kept) {
    this.loop = new Loop();
    this.memory = new Memory();
    this.readers = new Readers(this.memory, () => this.loop.wake());
    this.webgpu = createWebGPU({ gpu, memory: this.memory, onEvent: (error) => this.#event(error) });
    this.#kept = kept;
    this.#onLog = onLog;
  }

  #imports() {
    const quern = {
      read: (...args) => this.readers.read(...args),
      log: (level, line) => this.#onLog(level, this.memory.text(line)),
      progress: (done, total) => (this.#onProgress?.(done, total) === false ? 0 : 1),
      now: () => performance.now(),
      kept_read: (name, size) => this.#keptText(this.#kept.get(this.memory.text(name)), size),
      kept_replace: (name, text, size) => void this.#kept.set(this.memory.text(name), this.memory.text(text, size)),
      ...MATH,
      ...new Regexes(this.memory).imports(),
    };
    return { env: this.webgpu.imports, quern };
  }

  /** In memory that the core frees. */
  #keptText(text, size) {
    if (text === undefined) return 0;
    const made = this.memory.allocateText(text);
    this.memory.setWord(size, made.size);
    return made.address;
  }

  #attach(exports) {
    this.#exports = exports;
    this.memory.attach(exports);
    exports._initialize();
    this.#status = this.memory.allocate(sizes.qn_status);
  }

  /** A callback came; with an error when the module trapped in it. */
  #event(error) {
    if (error) this.#trapped(error);
    else this.loop.wake();
  }

  /** A module that trapped is in no state to be used: its GPU memory is freed, and every later call fails. */
  #trapped(cause) {
    const error = new QuernError("internal", `the core stopped: ${cause.message}`, { cause });
    if (!this.loop.failed) this.webgpu.abandon();
    this.loop.fail(error);
    return error;
  }

  // ---- calls --------------------------------------------------------------------------------------

  /** Calls a function that cannot fail. */
  call(name, ...args) {
    if (this.loop.failed) throw this.loop.failed;
    try {
      return this.#exports[name](...args);
    } catch (error) {
      throw error instanceof QuernError ? error : this.#trapped(error);
    }
  }

  /** Calls a function that returns a qn_status, and throws what it says. */
  check(name, ...args) {
    this.call(name, this.#status, ...args);
    const { memory } = this;
    const code = memory.word(this.#status + offsets.qn_status.code);
    if (code === enums.qn_code.QN_OK) return;
    throw new QuernError(CODES[code], memory.text(this.#status + offsets.qn_status.text));
  }

  /** Memory for the arguments of a call. @template T @param {(scratch: Scratch) => T} work @returns {T} */
  scratch(work) {
    const scratch = new Scratch(this.memory);
    try {
      return work(scratch);
    } finally {
      scratch.free();
    }
  }

  /** As scratch, for work that takes time. */
  async scratchAsync(work) {
    const scratch = new Scratch(this.memory);
    try {
      return await work(scratch);
    } finally {
      scratch.free();
    }
  }

  get version() {
    return this.memory.text(this.call("qn_version"));
  }

  /** Bytes of the module's memory, and the WebGPU objects that it holds. */
  get held() {
    return { wasmBytes: this.memory.size, objects: this.webgpu.live() };
  }

  // ---- engine -------------------------------------------------------------------------------------

  /** @param {Record<string, any>} options fields of qn_engine_options; texts as strings */
  openEngine(options, signal) {
    return this.scratchAsync((scratch) => {
      const texts = Object.fromEntries(
        Object.entries(options).map(([key, value]) => [key, typeof value === "string" ? scratch.text(value) : value]),
      );
      const struct = scratch.bytes(sizes.qn_engine_options);
      this.call("qw_engine_options", struct);
      writeStruct(this.memory, struct, "qn_engine_options", texts);
      const out = scratch.words([0]);
      this.check("qn_opening_open", struct, out);
      return this.made("opening", this.memory.word(out), signal);
    });
  }

  deviceInfo(engine) {
    return readStruct(this.memory, this.call("qn_engine_device", engine), "qn_device_info");
  }

  gpuMemory(engine) {
    return this.scratch((scratch) => {
      const peak = scratch.words([0, 0]);
      const held = Number(this.call("qn_engine_gpu_bytes", engine, peak));
      return { gpuBytes: held, gpuPeakBytes: this.memory.long(peak) };
    });
  }

  /** Kernel rows, with what the self-test found. */
  routes(engine) {
    return this.scratch((scratch) => {
      const size = sizes.qn_route_info;
      const list = scratch.bytes(ROUTES * size);
      const n = Math.min(this.call("qn_engine_routes", engine, list, ROUTES), ROUTES);
      return Array.from({ length: n }, (_, i) => {
        const route = readStruct(this.memory, list + i * size, "qn_route_info");
        return { ...route, name: this.memory.text(route.name), needs: this.memory.text(route.needs) };
      });
    });
  }

  /** Hears the GPU process once, so that errors of what was just made are told by who made it. */
  async settled(engine) {
    await this.webgpu.settled();
    this.check("qn_engine_check", engine);
  }

  // ---- model --------------------------------------------------------------------------------------

  /**
   * Loads a model from a source of bytes (source.js).
   * @param {number} engine
   * @param {{size: number, take: Function}} source
   * @param {{signal?: AbortSignal, onProgress?: (done: number, total: number) => void}} options
   */
  async openModel(engine, source, { signal, onProgress } = {}) {
    this.#onProgress = onProgress;
    try {
      return await this.reading(source, (struct, scratch) => {
        const options = scratch.bytes(sizes.qn_model_options);
        this.call("qw_model_options", options);
        const out = scratch.words([0]);
        this.check("qn_loader_open", engine, struct, options, out);
        return this.made("loader", this.memory.word(out), signal);
      });
    } finally {
      this.#onProgress = null;
    }
  }

  /** Work on a source that the core reads: `work` gets its qn_source, and the scratch that holds it. */
  async reading(source, work) {
    const reader = this.readers.add(source);
    try {
      return await this.scratchAsync((scratch) => {
        const struct = scratch.bytes(sizes.qn_source);
        this.call("qw_source", struct, reader, source.size);
        return work(struct, scratch);
      });
    } catch (error) {
      throw this.readers.errorOf(reader) ?? error; // the source's own says more than the core's copy of its message
    } finally {
      this.readers.remove(reader);
    }
  }

  /** Steps an opening, a loader or an inspector until it has made what it makes, and closes it. */
  made(kind, maker, signal) {
    return this.scratchAsync(async (scratch) => {
      const out = scratch.words([0, 0]);
      try {
        return await this.loop.drive(() => {
          this.check(`qn_${kind}_step`, maker, out, out + 4);
          return this.memory.word(out) || (this.memory.bytes(out + 4, 1)[0] ? undefined : MORE);
        }, signal);
      } finally {
        if (!this.loop.failed) this.call(`qn_${kind}_close`, maker);
      }
    });
  }

  modelInfo(model) {
    return readStruct(this.memory, this.call("qn_model_get_info", model), "qn_model_info");
  }

  /** The model's tokenizer; throws why there is none. */
  tokenizer(model) {
    return this.scratch((scratch) => {
      const why = scratch.words([0]);
      const tokenizer = this.call("qn_model_tokenizer", model, why);
      if (tokenizer) return tokenizer;
      const reason = this.memory.word(why);
      throw new QuernError("unsupported", `the model has no tokenizer: ${reason ? this.memory.text(reason) : "none"}`);
    });
  }

  // ---- text ---------------------------------------------------------------------------------------

  encode(tokenizer, text, { bos, special = false } = {}) {
    return this.scratch((scratch) => {
      const { address, size } = scratch.utf8(text);
      const addBos = bos ?? Boolean(this.call("qn_tokenizer_adds_bos", tokenizer));
      const options = scratch.struct("qn_encode_options", { add_bos: addBos, parse_special: special });
      const capacity = size + 1;
      const tokens = scratch.bytes(4 * capacity);
      const n = scratch.words([0]);
      this.check("qn_tokenizer_encode", tokenizer, address, size, options, tokens, capacity, n);
      return this.#tokens(tokens, this.memory.word(n));
    });
  }

  #tokens(address, n) {
    return Array.from(new Int32Array(this.memory.u8.buffer, address >>> 0, n));
  }

  /** The bytes of a token, copied. `special`: also the text of special tokens. */
  tokenBytes(tokenizer, token, special = false) {
    if (!special && this.call("qn_tokenizer_is_special", tokenizer, token)) return new Uint8Array(0);
    return this.scratch((scratch) => {
      const n = scratch.words([0]);
      const address = this.call("qn_tokenizer_bytes", tokenizer, token, n);
      return this.memory.bytes(address, this.memory.word(n)).slice();
    });
  }

  decode(tokenizer, tokens, { special = false } = {}) {
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    let text = "";
    for (const token of tokens) text += utf8.decode(this.tokenBytes(tokenizer, token, special), { stream: true });
    text += utf8.decode();
    const strip = this.call("qn_tokenizer_strip_start", tokenizer);
    return text.slice(Math.min(strip, /^ */.exec(text)[0].length));
  }

  /** The token that begins a text; -1: none. */
  bos(tokenizer) {
    return this.call("qn_tokenizer_bos", tokenizer);
  }

  /** A conversation in the model's own template. @param {{role: string, content: string}[]} messages */
  chatTokens(model, messages, addGenerationPrompt) {
    return this.scratch((scratch) => {
      const list = scratch.words(messages.flatMap(({ role, content }) => [scratch.text(role), scratch.text(content)]));
      const bytes = messages.reduce((sum, { content }) => sum + 3 * content.length, 0);
      const capacity = bytes + 64 * (messages.length + 2); // the template's own tokens
      const tokens = scratch.bytes(4 * capacity);
      const n = scratch.words([0]);
      this.check("qn_chat_encode", model, list, messages.length, addGenerationPrompt ? 1 : 0, tokens, capacity, n);
      return this.#tokens(tokens, this.memory.word(n));
    });
  }

  // ---- session ------------------------------------------------------------------------------------

  /** @param {number} model @param {Record<string, number>} options fields of qn_session_options */
  openSession(model, options) {
    return this.scratch((scratch) => {
      const out = scratch.words([0]);
      this.check("qn_session_open", model, scratch.struct("qn_session_options", options), out);
      return this.memory.word(out);
    });
  }

  sessionSizes(session) {
    return { ctx: this.call("qn_session_ctx", session), chunk: this.call("qn_session_chunk", session) };
  }

  /** Makes the tokens the session's content; how many of them it held already. */
  setTokens(session, tokens, all = false) {
    return this.scratch((scratch) => {
      const reused = scratch.words([0]);
      const mode = all ? enums.qn_logits_mode.QN_LOGITS_ALL : enums.qn_logits_mode.QN_LOGITS_LAST;
      this.check("qn_session_set_tokens", session, scratch.words(tokens), tokens.length, mode, reused);
      return this.memory.word(reused);
    });
  }

  /** Starts a generation. @param {Record<string, any>} options fields of qn_generate_options */
  startGeneration(session, options) {
    this.scratch((scratch) =>
      this.check("qn_session_generate", session, scratch.struct("qn_generate_options", options)));
  }

  /** The next thing that happens: {state: "chunk" | "ready" | "token" | "end", token, stop}. `idle` before a wait. */
  step(session, signal, idle = () => {}) {
    return this.scratchAsync((scratch) => {
      const out = scratch.words([0, 0]);
      return this.loop.drive(() => {
        this.check("qn_session_step", session, out);
        const state = this.memory.word(out);
        if (state === STATES.QN_STEP_PENDING) return idle();
        if (state === STATES.QN_STEP_CHUNK) return { state: "chunk" };
        if (state === STATES.QN_STEP_READY) return { state: "ready" };
        const token = this.call("qn_session_token", session, out + 4);
        const ended = state === STATES.QN_STEP_END;
        return { state: ended ? "end" : "token", token, stop: this.memory.word(out + 4) };
      }, signal);
    });
  }

  /** Where the logits of the newest step lie, until the session's next call: {address, rows, firstRow}. */
  logits(session) {
    return this.scratch((scratch) => {
      const out = scratch.words([0, 0]);
      const address = this.call("qn_session_logits", session, out, out + 4) >>> 0;
      return { address, rows: address ? this.memory.word(out) : 0, firstRow: this.memory.word(out + 4) };
    });
  }

  floats(address, n) {
    return new Float32Array(this.memory.u8.buffer, address, n).slice();
  }

  // ---- looking inside -----------------------------------------------------------------------------

  /** Times each dispatch of what runs next; false where the device has no timestamps. */
  setProfile(session, on) {
    const graph = this.call("qn_session_graph", session);
    const { QN_PROFILE_DISPATCHES, QN_PROFILE_OFF } = enums.qn_profile;
    try {
      this.check("qn_graph_set_profile", graph, on ? QN_PROFILE_DISPATCHES : QN_PROFILE_OFF);
      return true;
    } catch (error) {
      if (error.code === "unsupported") return false;
      throw error;
    }
  }

  /** The dispatches of the newest step, with their GPU time. */
  dispatches(session) {
    const graph = this.call("qn_session_graph", session);
    return this.scratch((scratch) => {
      const trace = scratch.bytes(sizes.qn_trace);
      return Array.from({ length: this.call("qn_graph_n_dispatches", graph) }, (_, i) => {
        this.call("qn_graph_dispatch", trace, graph, i);
        const { kernel, node, op, gpuNs } = readStruct(this.memory, trace, "qn_trace");
        const text = (address) => (address ? this.memory.text(address) : "");
        return { kernel: text(kernel), node: text(node) || text(op), nanoseconds: gpuNs };
      });
    });
  }
}
