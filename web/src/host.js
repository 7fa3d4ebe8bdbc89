// The side that has the core: in a worker, or in the page's own thread. One host is one engine with one model and its
// sessions; quern.js calls its methods through rpc.js.

import { Bench } from "./bench.js";
import { Core, compileModule, findGpu } from "./core.js";
import { QuernError } from "./errors.js";
import { inspectModel } from "./inspect.js";
import { Kept } from "./kept.js";
import { perplexityOf } from "./perplexity.js";
import { HostSession } from "./session.js";
import { openSource } from "./source.js";

const PROGRESS_EVERY = 50; // milliseconds

/** The engine's options, under the names of quern.h. */
function engineOptions({ adapter, gpuMemory, baseline, checked, route, selfTest = true, ...testing } = {}) {
  return {
    device: adapter,
    gpu_memory: gpuMemory,
    baseline,
    checked,
    route,
    cache_dir: "storage", // names in #kept begin with it
    self_test: selfTest,
    fail_allocation_after: testing.failAllocationAfter,
    max_binding_bytes: testing.maxBindingBytes,
    break_route: testing.breakRoute,
  };
}

/** Lets the last report of each phase through, and others now and then. */
function sometimes(emit) {
  let last = 0;
  let phase = "";
  return (progress) => {
    const now = performance.now();
    if (progress.phase === phase && progress.loaded < progress.total && now - last < PROGRESS_EVERY) return;
    last = now;
    phase = progress.phase;
    emit(progress);
  };
}

export class Host {
  #module;
  #gpu;
  #kept; // stays for recover
  #core = null;
  #engine = 0;
  #model = 0;
  #opening = null; // {stop, done} while a model loads
  #sessions = new Map(); // the page's, by their numbers
  #all = new Set(); // also those of measurements
  #lastSession = 0;
  #from = null; // what load was given, for recover

  /** What a model's file says, and what loading it would take. In a core of its own, without a GPU. */
  async inspect(value, options, { signal }) {
    const module = await compileModule(options.wasm);
    const source = await openSource(value, { ...options, signal, head: true });
    try {
      return await inspectModel(await Core.create({ module, gpu: null }), source, options, signal);
    } finally {
      source.close();
    }
  }

  /** Loads a model: what the page gets is the host's info. */
  load(value, options, context) {
    if (this.#core || this.#opening) throw new QuernError("state", "a model is loaded already");
    this.#from = { value, options };
    return this.#build(context);
  }

  /** Opens engine, model and the sessions that there are; everything, or nothing stays open. */
  async #build({ signal, emit }) {
    const stop = new AbortController();
    const done = this.#open({ signal: AbortSignal.any([signal, stop.signal]), emit });
    this.#opening = { stop, done };
    try {
      await done;
      return this.info();
    } catch (error) {
      const told = this.#withNumbers(error);
      this.#drop();
      throw told;
    } finally {
      this.#opening = null;
    }
  }

  async #open({ signal, emit }) {
    const { value, options } = this.#from;
    const onProgress = sometimes((progress) => emit({ progress }));
    this.#module ??= await compileModule(options.wasm);
    this.#gpu ??= options.gpu ?? (await findGpu());
    const onLog = (level, line) => emit({ log: { level, line } });
    this.#kept ??= await Kept.open(options, onLog);
    this.#core = await Core.create({ module: this.#module, gpu: this.#gpu, onLog, kept: this.#kept });
    const source = await openSource(value, { ...options, signal, onProgress });
    try {
      this.#engine = await this.#core.openEngine(engineOptions(options.device), signal);
      const report = (loaded, total) => onProgress({ phase: "load", loaded, total });
      this.#model = await this.#core.openModel(this.#engine, source, { signal, onProgress: report });
      await source.finished();
      for (const session of this.#sessions.values()) session.reopen(this.#loaded());
      await this.#core.settled(this.#engine);
    } finally {
      source.close();
      await this.#kept.written(); // a page that leaves now has not tried its kernels in vain
    }
  }

  /** Errors about memory say how much there is, and how much was needed. */
  #withNumbers(error) {
    if (error?.code !== "gpu memory") return error;
    const core = this.#engine && !this.#core.loop.failed ? this.#core : null; // the device itself may not have fitted
    const neededBytes = core ? Number(core.call("qn_engine_gpu_refused", this.#engine)) : null;
    const gpuLimitBytes = this.#from.options.device?.gpuMemory ?? null;
    const details = { neededBytes, gpuLimitBytes, ...core?.gpuMemory(this.#engine) };
    return new QuernError(error.code, error.message, { details, cause: error });
  }

  /** Closes everything that is open. A core that trapped has let go of its GPU memory already. */
  #drop() {
    const core = this.#core;
    for (const session of this.#all) session.close();
    if (core && !core.loop.failed) {
      if (this.#model) core.call("qn_model_close", this.#model);
      if (this.#engine) core.call("qn_engine_close", this.#engine);
    }
    core?.loop.fail(new QuernError("state", "it is closed"));
    this.#core = null;
    this.#engine = this.#model = 0;
  }

  #loaded() {
    if (!this.#model) throw new QuernError("state", "no model is loaded");
    return { core: this.#core, model: this.#model, engine: this.#engine };
  }

  async close() {
    this.#opening?.stop.abort();
    await this.#opening?.done.catch(() => {});
    const held = this.#core?.webgpu;
    this.#drop();
    this.#sessions.clear();
    return { objects: held?.live() ?? 0 }; // 0, or something leaked
  }

  info() {
    const { core, engine, model } = this.#loaded();
    const sessions = [...this.#sessions].map(([id, session]) => ({ id, ...session.info() }));
    return {
      version: core.version,
      device: core.deviceInfo(engine),
      model: core.modelInfo(model),
      memory: { ...core.gpuMemory(engine), ...core.held },
      sessions,
    };
  }

  routes() {
    const { core, engine } = this.#loaded();
    return core.routes(engine);
  }

  // ---- sessions -----------------------------------------------------------------------------------

  #newSession(options) {
    const session = new HostSession(this.#loaded(), options);
    this.#all.add(session);
    return session;
  }

  #closeSession(session) {
    this.#all.delete(session);
    session.close();
  }

  openSession(options) {
    return this.#numbered(async () => {
      const { core, engine } = this.#loaded();
      const session = this.#newSession(options);
      try {
        await core.settled(engine);
      } catch (error) {
        this.#closeSession(session);
        throw error;
      }
      const id = ++this.#lastSession;
      this.#sessions.set(id, session);
      return { id, ...session.info() };
    });
  }

  async #numbered(work) {
    try {
      return await work();
    } catch (error) {
      throw this.#withNumbers(error);
    }
  }

  #session(id) {
    this.#loaded();
    const session = this.#sessions.get(id);
    if (!session) throw new QuernError("state", "the session is closed");
    return session;
  }

  /** At once: an answer under way ends with an error. */
  closeSession(id) {
    const session = this.#sessions.get(id);
    this.#sessions.delete(id);
    if (session) this.#closeSession(session);
  }

  generate(id, prompt, options, context) {
    return this.#numbered(() => this.#session(id).generate(prompt, options, context));
  }

  resume(id, shown, context) {
    return this.#numbered(() => this.#session(id).resume(shown, context));
  }

  logits(id, tokens, all, context) {
    return this.#numbered(() => this.#session(id).logits(tokens, all, context.signal));
  }

  tokens(id) {
    return this.#session(id).tokens();
  }

  save(id, messages) {
    return this.#session(id).save(messages);
  }

  restore(id, tokens, messages) {
    return this.#session(id).restore(tokens, messages);
  }

  // ---- text ---------------------------------------------------------------------------------------

  tokenize(text, options) {
    const { core, model } = this.#loaded();
    return core.encode(core.tokenizer(model), text, options);
  }

  detokenize(tokens, options) {
    const { core, model } = this.#loaded();
    return core.decode(core.tokenizer(model), tokens, options);
  }

  chatTokens(messages, addGenerationPrompt) {
    const { core, model } = this.#loaded();
    return core.chatTokens(model, messages, addGenerationPrompt);
  }

  // ---- measuring ----------------------------------------------------------------------------------

  /** Work in a session of its own, so that no conversation is disturbed. */
  async #apart(options, work) {
    const session = this.#newSession(options);
    try {
      return await this.#numbered(() => work(session));
    } finally {
      this.#closeSession(session);
    }
  }

  perplexity(text, { window = 512, ...options } = {}, { signal, emit }) {
    const { core, model } = this.#loaded();
    const tokenizer = core.tokenizer(model);
    const tokens = core.encode(tokenizer, text, { bos: false });
    const report = sometimes((progress) => emit({ progress }));
    return this.#apart({ ...options, ctx: window }, (session) =>
      perplexityOf(session, { tokens, bos: core.bos(tokenizer), window, signal, onProgress: report }));
  }

  bench(options = {}, { signal, emit }) {
    const bench = new Bench(options, signal, (result) => emit({ result }));
    const { core, model, engine } = this.#loaded();
    return this.#apart({ ...options, ctx: bench.ctx }, async (session) => ({
      device: core.deviceInfo(engine).name,
      model: core.modelInfo(model).name,
      results: await bench.run(session),
      ...core.gpuMemory(engine),
    }));
  }

  // ---- losing the device --------------------------------------------------------------------------

  /** Testing: as a driver's reset would. */
  loseDevice() {
    const { core, engine } = this.#loaded();
    core.call("qn_engine_lose_device", engine);
  }

  /** Builds everything anew: engine, model (from the cache, where it is kept) and each session with its tokens. */
  recover(context) {
    if (!this.#from) throw new QuernError("state", "no model was loaded");
    if (this.#opening) throw new QuernError("state", "a model is being loaded");
    this.#drop();
    return this.#build(context);
  }
}

/** The host as methods for rpc.js: those without a Context as last parameter ignore it. */
export function hostMethods() {
  const host = new Host();
  const names = Object.getOwnPropertyNames(Host.prototype).filter((name) => name !== "constructor");
  return Object.fromEntries(names.map((name) => [name, (...args) => host[name](...args)]));
}
