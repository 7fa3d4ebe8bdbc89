// session.test.js - turns of a session on a core that is told what to do, and calls to a worker.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { dist, hasCore, load } from "./support/dist.js";
import { Worker } from "./support/worker.js";

const { HostSession } = await load("session.js");
const { enums } = await load("layouts.js");
const { Quern } = await load("quern.js");

const letters = (text) => Array.from(text, (letter) => letter.codePointAt(0));

/** A core whose tokens are letters, whose template is "<role>content|", and which answers with `answers`. */
class FakeCore {
  loop = { failed: null };
  sets = [];
  generations = [];
  #left = [];

  constructor(answers) {
    this.answers = answers;
  }

  openSession = () => 1;
  sessionSizes = () => ({ ctx: 1000, chunk: 10 });
  call = (name) => (name === "qn_model_tokenizer" ? 1 : undefined);
  tokenBytes = (_tokenizer, token) => new TextEncoder().encode(String.fromCodePoint(token));
  encode = (_tokenizer, text) => letters(text);
  tokenizer = () => 1;

  chatTokens(_model, messages, addGenerationPrompt) {
    const text = messages.map(({ role, content }) => `<${role}>${content}|`).join("");
    return letters(addGenerationPrompt ? `${text}<assistant>` : text);
  }

  setTokens(_session, tokens) {
    this.sets.push(String.fromCodePoint(...tokens));
    return 0;
  }

  startGeneration(_session, options) {
    this.generations.push(options);
    this.#left = letters(this.answers.shift());
  }

  async step(_session, signal) {
    signal?.throwIfAborted();
    const token = this.#left.shift();
    return token === undefined ? { state: "end", stop: enums.qn_stop.QN_STOP_TOKEN } : { state: "token", token };
  }
}

const context = () => ({ signal: new AbortController().signal, emit() {}, room() {} });
const user = (content) => ({ role: "user", content });
const assistant = (content) => ({ role: "assistant", content });

test("a conversation keeps the answer's own tokens", async () => {
  const core = new FakeCore(["yes", "no", "so"]);
  const session = new HostSession({ core, model: 1 });
  const messages = [user("one")];
  const { text } = await session.generate(messages, {}, context());
  assert.equal(text, "yes");
  // As if "yes" were one token when it was generated, and three when it is rendered.
  core.chatTokens = (_model, list, prompt) =>
    FakeCore.prototype.chatTokens.call(core, _model, list, prompt).map((token) => (token === 121 ? 89 : token));
  await session.generate([...messages, assistant("yes"), user("two")], {}, context());
  assert.equal(core.sets[1], "<user>one|<assistant>yes|<user>two|<assistant>");
  await session.generate([...messages, assistant("yes!"), user("two")], {}, context());
  assert.equal(core.sets[2], "<user>one|<assistant>Yes!|<user>two|<assistant>", "another answer is rendered");
});

test("an answer cut by a stop string is rendered anew", async () => {
  const core = new FakeCore(["yes.STOP", "no"]);
  const session = new HostSession({ core, model: 1 });
  const { text, stop, reason } = await session.generate([user("one")], { stop: "STOP" }, context());
  assert.deepEqual([text, stop, reason], ["yes.", "STOP", "stop"]);
  await session.generate([user("one"), assistant("yes."), user("two")], {}, context());
  assert.equal(core.sets[1], "<user>one|<assistant>yes.|<user>two|<assistant>");
});

test("what is left of an answer goes on with the same draws", async () => {
  const core = new FakeCore(["hello", "lo"]);
  const session = new HostSession({ core, model: 1 });
  const abort = new AbortController();
  let n = 0;
  const cut = { signal: abort.signal, emit() {}, room: () => void (++n > 3 && abort.abort()) };
  await assert.rejects(session.generate("x", { maxTokens: 9, firstDraw: 5, sampling: { seed: 3, temperature: 1 } }, cut));
  const { text, tokens } = await session.resume(0, context());
  assert.deepEqual([text, tokens], ["hello", 5]);
  const [first, second] = core.generations;
  assert.deepEqual([first.first_draw, first.max_tokens, second.first_draw, second.max_tokens], [5, 9, 8, 6]);
  assert.equal(second.sampler, first.sampler);
  assert.equal(String.fromCodePoint(...session.tokens()), "xhello");
});

test("a call that waits for its turn can be given up", async () => {
  const core = new FakeCore(["a", "b"]);
  let go;
  core.step = () => new Promise((resolve) => (go = () => resolve({ state: "end", stop: enums.qn_stop.QN_STOP_TOKEN })));
  const session = new HostSession({ core, model: 1 });
  const first = session.generate("x", {}, context());
  const abort = new AbortController();
  const second = session.generate("y", {}, { ...context(), signal: abort.signal });
  abort.abort();
  await assert.rejects(second, { name: "AbortError" });
  assert.deepEqual(core.sets, ["x"]);
  go();
  await first;
});

test("a worker answers, with errors", { skip: hasCore ? false : "no quern.wasm" }, async () => {
  globalThis.Worker = Worker;
  after(() => delete globalThis.Worker);
  await assert.rejects(Quern.load(join(dist, "none.gguf"), { worker: true }), {
    name: "QuernError", code: "unsupported", message: /npm package "webgpu"/, // the folder of the test has none
  });
  await assert.rejects(Quern.load(() => 1, { worker: true }), { code: "argument", message: /sent to the worker/ });
});

test("closing ends what is under way, also what nobody reads", async () => {
  const core = new FakeCore(["a".repeat(100)]);
  const session = new HostSession({ core, model: 1 });
  const stuck = session.generate("x", {}, { ...context(), room: () => new Promise(() => {}) });
  await new Promise((resolve) => setImmediate(resolve));
  session.close();
  await assert.rejects(stuck, { code: "state", message: /closed/ });
  await assert.rejects(session.generate("x", {}, context()), { code: "state" });
});
