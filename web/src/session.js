// A session on the core's side: its turn, its answer, its tokens.

import { QuernError, orAborted } from "./errors.js";
import { enums } from "./layouts.js";
import { AnswerText } from "./text.js";

const STOPS = enums.qn_stop;
const REASONS = { [STOPS.QN_STOP_TOKEN]: "stop", [STOPS.QN_STOP_LIMIT]: "length", [STOPS.QN_STOP_CONTEXT]: "context" };
const PRECISIONS = { exact: enums.qn_precision.QN_PRECISION_EXACT, auto: enums.qn_precision.QN_PRECISION_AUTO };
const KV_TYPES = {
  f32: enums.qn_kv_type.QN_KV_F32,
  f16: enums.qn_kv_type.QN_KV_F16,
  q8_0: enums.qn_kv_type.QN_KV_Q8_0,
};

function choice(table, value, what) {
  if (value === undefined) return undefined;
  if (table[value] === undefined)
    throw new QuernError("argument", `${what} "${value}" is none of ${Object.keys(table).join(", ")}`);
  return table[value];
}

/** The fields of qn_session_options. */
export const sessionOptions = ({ ctx, chunk, precision = "auto", kv }) => ({
  ctx,
  chunk,
  precision: choice(PRECISIONS, precision, "precision"),
  kv_type: choice(KV_TYPES, kv, "kv"),
});

/** The sampler's settings; the seed is drawn where none is given. */
const samplerOptions = (o = {}) => ({
  temperature: o.temperature ?? 0.8,
  top_k: o.topK,
  top_p: o.topP ?? 0.9,
  min_p: o.minP,
  repetition_penalty: o.repetitionPenalty,
  repetition_window: o.repetitionWindow,
  seed: BigInt.asUintN(64, BigInt(o.seed ?? Math.floor(Math.random() * 2 ** 53))),
});

/** A BigInt only where it must be one: JSON knows none. */
const plainNumber = (big) => (big <= Number.MAX_SAFE_INTEGER ? Number(big) : big);

/** An answer under way, or one that was cut short and may go on. */
class Answer {
  constructor({ sampling, maxTokens = 0, stop = [], firstDraw = 0 } = {}, prompt = []) {
    this.sampler = samplerOptions(sampling);
    this.maxTokens = maxTokens;
    this.firstDraw = firstDraw;
    this.text = new AnswerText([stop].flat());
    this.prompt = prompt;
    this.tokens = [];
    this.reason = null;
  }

  /** What qn_session_generate is asked for: what is left of it. */
  options(tokenizer) {
    return {
      sampler: this.sampler,
      first_draw: this.firstDraw + this.tokens.length,
      max_tokens: this.maxTokens && this.maxTokens - this.tokens.length,
      tokenizer,
    };
  }

  result(timings, reused) {
    return {
      text: this.text.all,
      reason: this.reason,
      seed: plainNumber(this.sampler.seed),
      stop: this.text.met,
      promptTokens: this.prompt.length,
      reusedTokens: reused,
      tokens: this.tokens.length,
      ...timings,
    };
  }
}

export class HostSession {
  #core;
  #model;
  #pointer = 0;
  #options;
  #sizes;
  #content = []; // all tokens; the core's list lacks the newest, whose keys are not computed yet
  #turn = Promise.resolve();
  #closing = new AbortController();
  #answer = null;
  #talk = null; // the conversation that the session holds: {messages, tokens}

  constructor(loaded, options = {}) {
    this.#options = options;
    this.#open(loaded);
  }

  #open({ core, model }) {
    this.#core = core;
    this.#model = model;
    this.#pointer = core.openSession(model, sessionOptions(this.#options));
    this.#sizes = core.sessionSizes(this.#pointer);
  }

  get core() {
    return this.#core;
  }

  get pointer() {
    return this.#pointer;
  }

  get vocabulary() {
    return this.#core.modelInfo(this.#model).nVocab;
  }

  info() {
    return { ...this.#sizes, tokens: this.#content.length };
  }

  /** The session's content: prompt and answer. */
  tokens() {
    return this.#content.slice();
  }

  /** Makes the tokens the content; how many the core held already. */
  #hold(tokens, all = false) {
    const reused = this.#core.setTokens(this.#pointer, tokens, all);
    this.#content = Array.from(tokens);
    return reused;
  }

  /** Work in its turn: a session does one thing at a time, in the order in which it was asked. */
  async #inTurn(signal, work) {
    const before = this.#turn;
    let done;
    this.#turn = new Promise((resolve) => (done = resolve)).then(() => before);
    try {
      await orAborted(before, signal);
      if (!this.#pointer) throw closed();
      return await work(AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]));
    } finally {
      done();
    }
  }

  /** The content; `talk`: it is that of this conversation, with its answers' own tokens. */
  save(messages) {
    return { tokens: this.tokens(), talk: Boolean(this.#talk && equal(messages, this.#talk.messages)) };
  }

  /** Puts back what `save` gave; messages: null unless it said `talk`. */
  restore(tokens, messages) {
    return this.#inTurn(undefined, () => {
      this.#answer = null;
      this.#hold(tokens);
      this.#talk = messages && { messages, tokens };
    });
  }

  // ---- answers ------------------------------------------------------------------------------------

  /**
   * @param {string | number[] | {role: string, content: string}[] | undefined} prompt undefined: from the tokens that
   *   the session holds
   */
  generate(prompt, options, context) {
    return this.#inTurn(context.signal, (signal) => {
      const tokens = this.#promptTokens(prompt);
      const answer = new Answer(options, tokens);
      const reused = prompt === undefined ? tokens.length : this.#hold(tokens);
      const messages = isTalk(prompt) ? prompt : null;
      return this.#run(answer, { ...context, signal }, reused, messages);
    });
  }

  /**
   * Goes on with an answer that was aborted, or lost with its device. What its reader had not been given yet, since an
   * abort ends the call there at once, comes first.
   * @param {number} shown the length of the text that the reader has
   */
  resume(shown, context) {
    return this.#inTurn(context.signal, (signal) => {
      const answer = this.#answer;
      if (!answer || answer.reason) throw new QuernError("state", "no answer was interrupted");
      const missed = answer.text.all.slice(shown);
      if (missed) context.emit({ text: missed, token: -1 });
      const reused = Math.min(this.#content.length, answer.prompt.length);
      return this.#run(answer, { ...context, signal }, reused, answer.messages);
    });
  }

  async #run(answer, context, reused, messages) {
    answer.messages = messages;
    this.#answer = answer;
    this.#talk = null;
    if (answer.maxTokens && answer.tokens.length >= answer.maxTokens) answer.reason = "length";
    const tokenizer = this.#tokenizerOrNone();
    const timings = await this.#stream(answer, tokenizer, context);
    if (messages && !answer.text.met) this.#remember(answer, messages);
    return answer.result(timings, reused);
  }

  #tokenizerOrNone() {
    return this.#core.call("qn_model_tokenizer", this.#model, 0);
  }

  async #stream(answer, tokenizer, context) {
    const started = performance.now();
    let first = 0;
    const items = [];
    const flush = () => context.emit(...items.splice(0)); // what one turn of the loop brought goes as one message
    if (!answer.reason) this.#core.startGeneration(this.#pointer, answer.options(tokenizer));
    try {
      while (!answer.reason) {
        const room = context.room();
        if (room) await orAborted(room, context.signal);
        const step = await this.#core.step(this.#pointer, context.signal, flush);
        if (step.state === "chunk") continue;
        first ||= performance.now();
        const item = this.#take(answer, step, tokenizer);
        if (item) items.push(item);
      }
    } catch (error) {
      this.#stop();
      throw error;
    } finally {
      flush();
    }
    const rest = answer.text.flush();
    if (rest) context.emit({ text: rest, token: -1 });
    return { promptMs: (first || performance.now()) - started, generationMs: first ? performance.now() - first : 0 };
  }

  #stop() {
    if (!this.#core.loop.failed) this.#core.call("qn_session_stop", this.#pointer);
  }

  #take(answer, { state, token, stop }, tokenizer) {
    if (state === "end") {
      answer.reason = REASONS[stop];
      return null;
    }
    answer.tokens.push(token);
    if (this.#content.length < this.#sizes.ctx) this.#content.push(token);
    const bytes = tokenizer ? this.#core.tokenBytes(tokenizer, token) : new Uint8Array(0);
    const text = answer.text.push(bytes);
    if (answer.text.met) {
      answer.reason = "stop";
      this.#stop();
    }
    return { text, token };
  }

  // ---- prompts ------------------------------------------------------------------------------------

  #promptTokens(prompt) {
    if (prompt === undefined) return this.tokens();
    if (isTalk(prompt)) return this.#talkTokens(prompt);
    if (Array.isArray(prompt) || ArrayBuffer.isView(prompt)) return Array.from(prompt);
    if (typeof prompt !== "string")
      throw new QuernError("argument", "a prompt is a text, a list of messages or a list of tokens");
    const tokens = this.#core.encode(this.#core.tokenizer(this.#model), prompt);
    if (tokens.length === 0) throw new QuernError("argument", "the prompt is empty");
    return tokens;
  }

  #render(messages, addGenerationPrompt) {
    return this.#core.chatTokens(this.#model, messages, addGenerationPrompt);
  }

  /**
   * A conversation that goes on keeps the answer's tokens as they were generated: the same text may be split otherwise
   * when it is rendered again, and its keys and values would be computed anew. Only what the template puts behind the
   * answer is added, its closing token and the new messages.
   */
  #talkTokens(messages) {
    const whole = this.#render(messages, true);
    const talk = this.#talk;
    if (!talk || !beginsWith(messages, talk.messages)) return whole;
    const before = this.#render(talk.messages, false);
    if (before.length === 0 || before.some((token, i) => token !== whole[i])) return whole;
    return [...talk.tokens, ...whole.slice(before.length - 1)];
  }

  #remember(answer, messages) {
    this.#talk = {
      messages: [...messages, { role: "assistant", content: answer.text.all }],
      tokens: this.tokens(),
    };
  }

  // ---- logits -------------------------------------------------------------------------------------

  /** Calls `take({address, rows, firstRow})` for the logits of every chunk of the tokens. */
  async eachLogits(tokens, all, signal, take) {
    const { core } = this;
    this.#hold(tokens, all);
    for (;;) {
      const { state } = await core.step(this.#pointer, signal);
      const found = core.logits(this.#pointer);
      if (found.rows && (all || state === "ready")) await take(found);
      if (state === "ready") return;
    }
  }

  /** Logits of the last token, or of all: {rows, firstRow, data}. */
  logits(tokens, all = false, given) {
    return this.#inTurn(given, async (signal) => {
      this.#answer = this.#talk = null;
      if (all) this.forget();
      const parts = [];
      await this.eachLogits(tokens, all, signal, ({ address, rows }) => {
        parts.push(this.#core.floats(address, rows * this.vocabulary));
      });
      const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
      parts.reduce((at, part) => (data.set(part, at), at + part.length), 0);
      const rows = data.length / this.vocabulary;
      return { rows, firstRow: tokens.length - rows, data };
    });
  }

  /** Empties the session: a list that shares no token with what it holds. It is never computed. */
  forget() {
    const [first] = this.#content;
    if (first !== undefined) this.#hold([first === 0 ? 1 : 0]);
  }

  // ---- ends ---------------------------------------------------------------------------------------

  /** At once; what is under way ends with an error. */
  close() {
    this.#closing.abort(closed());
    if (this.#pointer && !this.#core.loop.failed) this.#core.call("qn_session_close", this.#pointer);
    this.#pointer = 0;
  }

  /** On a new engine and model, with the same content: its keys are computed with the next answer. */
  reopen(loaded) {
    this.#closing = new AbortController();
    this.#open(loaded);
    if (this.#content.length) this.#core.setTokens(this.#pointer, this.#content);
  }
}

const closed = () => new QuernError("state", "the session is closed");

const isTalk = (prompt) => Array.isArray(prompt) && typeof prompt[0] === "object";

const same = (a, b) => a.role === b.role && a.content === b.content;

const equal = (a, b) => a.length === b.length && a.every((message, i) => same(message, b[i]));

/** Whether the messages are those of a conversation and one or more behind them. */
const beginsWith = (messages, past) =>
  messages.length > past.length && equal(past, messages.slice(0, past.length));
