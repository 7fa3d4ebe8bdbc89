// What a page uses: `const quern = await Quern.load(source)`. The core runs in a worker, unless `worker: false` or Node.

import { QuernError, abortReason, unpackError } from "./errors.js";
import { Client, localPorts, serve } from "./rpc.js";

export { QuernError };

const isNode = () => typeof process === "object" && Boolean(process.versions?.node);

/** A host in a module worker: {client, end}. */
function workerHost() {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "quern" });
  const client = new Client(worker);
  const fail = (event) => client.fail(new QuernError("internal", `the worker failed: ${event.message ?? "not loaded"}`));
  worker.onerror = fail;
  worker.onmessageerror = fail;
  return { client, end: () => worker.terminate() };
}

/** A host in this thread. */
async function localHost() {
  const { hostMethods } = await import("./host.js");
  const [here, there] = localPorts();
  serve(there, hostMethods());
  return { client: new Client(here), end: () => here.close() };
}

/** What the worker cannot know: what addresses are relative to. */
function absolute(source) {
  if (source instanceof URL) return source.href;
  if (typeof source !== "string" || isNode()) return source;
  return new URL(source, globalThis.document?.baseURI ?? globalThis.location?.href).href;
}

/** Options that cross to the worker: no functions, no signal. */
function portable({ onProgress, onLog, signal, worker, session, ...options }) {
  return { ...options, ...(options.wasm && { wasm: absolute(options.wasm) }) };
}

/** Hands the events of a call to functions. */
const listener = (functions) => (events, taken) => {
  for (const event of events)
    for (const [name, value] of Object.entries(event)) functions[name]?.(value);
  taken(events.length);
};

/**
 * The tokens of an answer as they come: an async iterator of {text, token}. `result` is what is known at the end.
 * Leaving the loop early stops the generation.
 */
export class Generation {
  #queue = [];
  #waiting = null;
  #taken = () => {};
  #read = false;
  #ended = false;
  #error = null;
  #result;
  #abort = new AbortController();
  #onToken;
  #shown;

  /**
   * @param {(options: {signal: AbortSignal, onEvents: Function}) => Promise<any>} start
   * @param {{signal?: AbortSignal, onToken?: Function, shown?: {text: string}}} options shown: collects the text that the
   *   caller was given
   */
  constructor(start, { signal, onToken, shown = { text: "" } } = {}) {
    this.#onToken = onToken;
    this.#shown = shown;
    this.#read = Boolean(onToken);
    const whole = signal ? AbortSignal.any([signal, this.#abort.signal]) : this.#abort.signal;
    this.#result = start({ signal: whole, onEvents: (events, taken) => this.#arrive(events, taken) });
    this.#result.then(() => this.#end(null), (error) => this.#end(error));
  }

  #arrive(events, taken) {
    this.#taken = taken;
    for (const event of events) this.#onToken?.(event);
    if (this.#read) {
      for (const { text } of events) this.#shown.text += text;
      taken(events.length);
    }
    else this.#queue.push(...events);
    this.#wake();
  }

  #end(error) {
    this.#ended = true;
    this.#error = error;
    this.#wake();
  }

  #wake() {
    this.#waiting?.();
    this.#waiting = null;
  }

  /** Resolves at the end; without a loop over the tokens they are only counted. */
  get result() {
    if (!this.#read) {
      this.#read = true;
      if (this.#queue.length) this.#taken(this.#queue.splice(0).length);
    }
    return this.#result;
  }

  /** The whole text. */
  async text() {
    return (await this.result).text;
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        if (this.#queue.length) {
          const event = this.#queue.shift();
          this.#taken(1);
          this.#shown.text += event.text;
          yield event;
        } else if (this.#ended) {
          if (this.#error) throw this.#error;
          return;
        } else {
          await new Promise((resolve) => (this.#waiting = resolve));
        }
      }
    } finally {
      if (!this.#ended) this.#abort.abort();
    }
  }
}

const answered = (messages, content) => [...messages, { role: "assistant", content }];

/** A conversation's tokens and their keys and values on the GPU. It does one thing at a time; more wait in order. */
export class Session {
  #client;
  #id;
  #messages = [];
  #shown; // of the last answer's text, so that resume begins where its reader is
  #cut = null; // a turn of the conversation whose answer was cut: {messages, shown}

  constructor(client, { id, ctx, chunk }) {
    this.#client = client;
    this.#id = id;
    this.ctx = ctx;
    this.chunk = chunk;
  }

  /** What was said in `chat` so far; an answer that was cut is there as far as it was shown. */
  get messages() {
    const { messages, shown } = this.#cut ?? {};
    return structuredClone(messages ? answered(messages, shown.text) : this.#messages);
  }

  /**
   * Answers a prompt: a text, a conversation (the model needs a chat template), tokens, or undefined: goes on from what
   * the session holds.
   */
  generate(prompt, { signal, onToken, ...options } = {}) {
    const call = (how) => this.#client.call("generate", [this.#id, prompt, options], how);
    return new Generation(call, { signal, onToken, shown: (this.#shown = { text: "" }) });
  }

  /** Goes on with an answer that was aborted, or cut by a lost device after `recover`. */
  resume({ signal, onToken } = {}) {
    const shown = (this.#shown ??= { text: "" });
    const messages = this.#cut?.shown === shown ? this.#cut.messages : null;
    const call = async (how) => {
      const result = await this.#client.call("resume", [this.#id, shown.text.length], how);
      if (messages) this.#say(answered(messages, result.text));
      return result;
    };
    return new Generation(call, { signal, onToken, shown });
  }

  /** Says something in the session's conversation, and gives the model's answer. */
  chat(content, { system, signal, onToken, ...rest } = {}) {
    if (system !== undefined) this.#say([{ role: "system", content: system }]);
    const messages = [...this.messages, { role: "user", content }];
    const shown = (this.#shown = { text: "" });
    const call = async (how) => {
      try {
        const result = await this.#client.call("generate", [this.#id, messages, rest], how);
        this.#say(answered(messages, result.text));
        return result;
      } catch (error) {
        if (how.signal.aborted || error.code === "device lost") this.#cut = { messages, shown };
        throw error;
      }
    };
    return new Generation(call, { signal, onToken, shown });
  }

  #say(messages) {
    this.#messages = messages;
    this.#cut = null;
  }

  /** Forgets the conversation; its keys stay until other tokens come. */
  clear() {
    this.#say([]);
  }

  /** Logits after the tokens, of the last one or of all: {rows, firstRow, data}. */
  logits(tokens, { all = false, signal } = {}) {
    return this.#client.call("logits", [this.#id, Array.from(tokens), all], { signal });
  }

  /** The tokens whose keys and values the session holds. */
  tokens() {
    return this.#client.call("tokens", [this.#id]);
  }

  /** All that is needed to go on another time: plain data. */
  async save() {
    const { messages } = this;
    return { version: 1, messages, ...(await this.#client.call("save", [this.#id, messages])) };
  }

  /** Puts back what `save` gave. Keys and values are computed again, with the next answer. */
  async restore({ version, tokens, messages = [], talk = false }) {
    if (version !== 1) throw new QuernError("argument", `a saved session of version ${version} is not known here`);
    if (tokens.length) await this.#client.call("restore", [this.#id, tokens, talk ? messages : null]);
    this.#say(structuredClone(messages));
  }

  close() {
    return this.#client.call("closeSession", [this.#id]);
  }
}

export class Quern {
  #client;
  #end;
  #session = null;

  /** Loads a model. See quern.d.ts for the options. */
  static async load(source, options = {}) {
    if (options.signal?.aborted) throw abortReason(options.signal);
    const { worker = !isNode(), onProgress, onLog, signal } = options;
    const { client, end } = worker ? workerHost() : await localHost();
    try {
      const onEvents = listener({ progress: onProgress, log: ({ level, line }) => onLog?.(level, line) });
      const info = await client.call("load", [absolute(source), portable(options)], { signal, onEvents });
      const session = await client.call("openSession", [options.session ?? {}], { signal });
      return new Quern(client, end, new Session(client, session), info);
    } catch (error) {
      await client.call("close").catch(() => {});
      end();
      throw error;
    }
  }

  /** What a model's file says, and the memory that loading it would take: reads its head alone, and needs no GPU. */
  static async inspect(source, options = {}) {
    const { worker = !isNode(), signal } = options;
    const { client, end } = worker ? workerHost() : await localHost();
    try {
      const { session } = options;
      const found = await client.call("inspect", [absolute(source), { ...portable(options), session }], { signal });
      return { ...found, problem: found.problem && unpackError(found.problem) };
    } finally {
      end();
    }
  }

  constructor(client, end, session, info) {
    this.#client = client;
    this.#end = end;
    this.#session = session;
    this.device = info.device;
    this.model = info.model;
  }

  /** The session that generate and chat use. */
  get session() {
    return this.#session;
  }

  async openSession(options = {}) {
    return new Session(this.#client, await this.#client.call("openSession", [options]));
  }

  generate(prompt, options) {
    return this.#session.generate(prompt, options);
  }

  resume(options) {
    return this.#session.resume(options);
  }

  chat(content, options) {
    return this.#session.chat(content, options);
  }

  save() {
    return this.#session.save();
  }

  restore(saved) {
    return this.#session.restore(saved);
  }

  tokenize(text, options = {}) {
    return this.#client.call("tokenize", [text, options]);
  }

  detokenize(tokens, options = {}) {
    return this.#client.call("detokenize", [Array.from(tokens), options]);
  }

  /** The tokens of a conversation in the model's own template. */
  chatTokens(messages, { addGenerationPrompt = true } = {}) {
    return this.#client.call("chatTokens", [messages, addGenerationPrompt]);
  }

  perplexity(text, { signal, onProgress, ...options } = {}) {
    return this.#client.call("perplexity", [text, options], { signal, onEvents: listener({ progress: onProgress }) });
  }

  bench({ signal, onResult, ...options } = {}) {
    return this.#client.call("bench", [options], { signal, onEvents: listener({ result: onResult }) });
  }

  info() {
    return this.#client.call("info");
  }

  /** Kernel rows and what the self-test found. */
  routes() {
    return this.#client.call("routes");
  }

  /** After a "device lost" error: builds engine, model and sessions anew, each with its tokens. Then go on: `resume`. */
  recover({ signal, onProgress } = {}) {
    return this.#client.call("recover", [], { signal, onEvents: listener({ progress: onProgress }) });
  }

  /** Testing: loses the device, as a driver's reset would. */
  loseDevice() {
    return this.#client.call("loseDevice");
  }

  /** Frees everything, on the GPU too. What is under way ends with an error. */
  async close() {
    const left = await this.#client.call("close").catch(() => ({ objects: 0 }));
    this.#client.fail(new QuernError("state", "it is closed"));
    this.#end();
    return left;
  }
}

/** The models that are kept in this origin's storage, whole or in part. */
export const listModels = async (options) => (await import("./cache.js")).listModels(options);

/** Deletes one by its name or address. */
export const deleteModel = async (which, options) => (await import("./cache.js")).deleteModel(which, options);
