// model.test.js - the whole of it in Node: quern.wasm on Dawn with the built-in model, against the numbers that native
// runs and other programs gave.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT } from "./support/build.js";
import { openDawn } from "./support/dawn.js";
import { MODEL, hasCore, load } from "./support/dist.js";
import { PROMPT, SAMPLED, SAMPLING as seven, short, worstOf } from "./support/golden.js";
import { serveFile } from "./support/server.js";

const { Quern } = await load("quern.js");
const { openai } = await load("openai.js");
const models = join(ROOT, "models/quern-tales");
const greedy = { temperature: 0 };

let gpu;
/** @type {import("../src/quern.js").Quern} */
let quern;
const open = (options = {}, source = MODEL) =>
  Quern.load(source, {
    gpu, ...options,
    device: { selfTest: false, ...options.device },
    session: { ctx: 256, precision: "exact", ...options.session },
  });

before(async () => {
  if (!hasCore) return;
  gpu = await openDawn();
  quern = await open();
});
after(async () => {
  await quern?.close();
  gpu = null; // Dawn ends its threads with it
});

const options = { skip: hasCore ? false : "no quern.wasm: run scripts/build_web.sh" };
const onModel = (name, body) => test(name, options, body);

async function tokensOf(generation) {
  const tokens = [];
  for await (const { token } of generation) if (token >= 0) tokens.push(token);
  return tokens;
}

onModel("info says what it runs on", async () => {
  const { version, device, model, memory, sessions } = await quern.info();
  assert.match(version, /^\d+\.\d+\.\d+$/);
  assert.equal(device.typeName, "software");
  assert.equal(model.architecture, "llama");
  assert.equal(model.name, "quern-tales");
  assert.equal(model.nVocab, 4096);
  assert.equal(model.fileBytes, 6345184);
  assert.ok(memory.gpuBytes > 4e6 && memory.gpuPeakBytes >= memory.gpuBytes && memory.wasmBytes > 0);
  assert.equal(sessions[0].ctx, 256);
  const routes = await quern.routes();
  assert.ok(routes.some(({ name, usable }) => name.startsWith("linear.") && usable));
});

onModel("tokens and texts", async () => {
  const { with_special: bos, parsed_special: special, cases, decode } = JSON.parse(readFileSync(join(models, "tokens.json")));
  for (const { text, ids } of cases) assert.deepEqual(await quern.tokenize(text, { bos: false }), ids, text);
  for (const { text, ids } of bos) assert.deepEqual(await quern.tokenize(text, { bos: true }), ids);
  for (const { text, ids } of special) assert.deepEqual(await quern.tokenize(text, { bos: false, special: true }), ids);
  for (const { ids, bytes_hex: hex } of decode)
    assert.equal(await quern.detokenize(ids), Buffer.from(hex, "hex").toString("utf8"));
});

onModel("logits are the reference's", async () => {
  const { rows, firstRow, data } = await quern.session.logits(short.ids);
  assert.deepEqual([rows, firstRow, data.length], [1, short.ids.length - 1, 4096]);
  assert.ok(worstOf(data) < 2e-3, `off by ${worstOf(data)}`);
  const all = await quern.session.logits(short.ids, { all: true });
  assert.deepEqual([all.rows, all.firstRow], [short.ids.length, 0]);
});

onModel("greedy tokens are the reference's", async () => {
  const generation = quern.generate(short.ids, { sampling: greedy, maxTokens: short.greedy.length });
  assert.deepEqual(await tokensOf(generation), short.greedy);
});

onModel("a seed gives the text that it gives natively", async () => {
  const seen = [];
  const generation = quern.generate(PROMPT, { sampling: seven, maxTokens: 32, onToken: ({ text }) => seen.push(text) });
  const { text, reason, promptTokens, tokens, seed } = await generation.result;
  assert.equal(text, SAMPLED);
  assert.equal(seen.join(""), SAMPLED);
  assert.deepEqual([reason, promptTokens, tokens, seed], ["length", 5, 32, 7]);
});

onModel("a stop string ends it", async () => {
  const { text, reason, stop } = await quern.generate(PROMPT, { sampling: seven, maxTokens: 32, stop: ["mattress", "zzz"] }).result;
  assert.deepEqual([text, reason, stop], [SAMPLED.slice(0, SAMPLED.indexOf("mattress")), "stop", "mattress"]);
});

onModel("an abort in the middle, and on from there", async () => {
  const abort = new AbortController();
  const tokens = [];
  const generation = quern.generate(PROMPT, { sampling: seven, maxTokens: 24, signal: abort.signal });
  let shown = "";
  await assert.rejects(async () => {
    for await (const piece of generation) {
      shown += piece.text;
      if (tokens.push(piece.token) === 6) abort.abort();
    }
  }, { name: "AbortError" });
  const rest = quern.resume({ onToken: (piece) => (shown += piece.text) });
  const { text, promptTokens, reusedTokens } = await rest.result;
  assert.equal(shown, text, "what was shown, before and after, is all of it");
  assert.deepEqual([promptTokens, reusedTokens], [5, 5]);
  assert.equal(text, await quern.detokenize((await quern.session.tokens()).slice(5)));
  assert.equal(text, SAMPLED.slice(0, text.length));
  assert.equal((await quern.session.tokens()).length, 5 + 24);
  await assert.rejects(quern.resume().result, { code: "state", message: /interrupted/ });
});

onModel("one after the other on a session, side by side on two", async () => {
  const other = await quern.openSession({ ctx: 64, precision: "exact" });
  const ask = (session) => session.generate(PROMPT, { sampling: seven, maxTokens: 12 }).text();
  const texts = await Promise.all([ask(quern), ask(quern), ask(other)]);
  for (const text of texts) assert.equal(text, SAMPLED.slice(0, text.length));
  await other.close();
  await assert.rejects(ask(other), { code: "state", message: /closed/ });
  assert.equal((await quern.info()).sessions.length, 1);
});

onModel("save and restore", async () => {
  await quern.generate(PROMPT, { sampling: seven, maxTokens: 8 }).result;
  const saved = JSON.parse(JSON.stringify(await quern.save()));
  await quern.generate("Something else", { sampling: greedy, maxTokens: 2 }).result;
  await quern.restore(saved);
  assert.deepEqual(await quern.session.tokens(), saved.tokens);
  const rest = await quern.generate(undefined, { sampling: greedy, maxTokens: 4 }).result;
  assert.equal(rest.promptTokens, saved.tokens.length);
  await assert.rejects(quern.restore({ version: 9, tokens: [] }), { code: "argument" });
});

onModel("errors are the core's", async () => {
  await assert.rejects(quern.chat("Hello").result, { name: "QuernError", code: "unsupported", message: /chat template/ });
  await assert.rejects(openai(quern).chat.completions.create({ messages: [{ role: "user", content: "Hello" }] }),
    { code: "unsupported" });
  await assert.rejects(quern.generate([99999]).result, { code: "argument" });
  await assert.rejects(quern.generate(Array(300).fill(5)).result, { code: "context" });
  await assert.rejects(quern.generate(PROMPT, { sampling: { temperature: -1 } }).result, { code: "argument" });
  await assert.rejects(quern.openSession({ kv: "f8" }), { code: "argument", message: /f32, f16, q8_0/ });
  await assert.rejects(quern.generate({}).result, { code: "argument" });
  assert.deepEqual(quern.session.messages, []);
});

onModel("the context's end", async () => {
  const session = await quern.openSession({ ctx: 8, precision: "exact" });
  const { reason, tokens } = await session.generate(PROMPT, { sampling: greedy }).result;
  assert.equal(reason, "context");
  assert.ok(tokens >= 3 && tokens <= 4);
  await session.close();
});

onModel("perplexity is the command line's", async () => {
  const text = readFileSync(join(models, "heldout.txt"), "utf8").slice(0, 400);
  const progress = [];
  const window = 64;
  const { perplexity, tokens } = await quern.perplexity(text, { window, precision: "exact", onProgress: (p) => progress.push(p) });
  const ids = await quern.tokenize(text, { bos: false });
  assert.equal(tokens, ids.length);
  assert.deepEqual(progress.at(-1), { phase: "perplexity", loaded: tokens, total: tokens });
  // The same sum from logits.
  let sum = 0;
  for (let at = 0; at < ids.length; at += window - 1) {
    const piece = [0, ...ids.slice(at, at + window - 1)];
    const { data, firstRow } = await quern.session.logits(piece, { all: true });
    assert.equal(firstRow, 0);
    for (let i = 0; i + 1 < piece.length; i++) {
      const row = data.subarray(4096 * i, 4096 * (i + 1));
      const top = Math.max(...row);
      sum += Math.log(row.reduce((all, logit) => all + Math.exp(logit - top), 0)) + top - row[piece[i + 1]];
    }
  }
  assert.ok(Math.abs(perplexity / Math.exp(sum / tokens) - 1) < 1e-4);
});

onModel("bench", async () => {
  const results = [];
  const bench = await quern.bench({ prompt: 16, generate: 4, runs: 1, profile: true, onResult: (r) => results.push(r) });
  assert.deepEqual(bench.results.map(({ test: name }) => name), ["pp16", "tg4"]);
  assert.deepEqual(results, bench.results);
  assert.ok(bench.results.every(({ tokensPerSecond }) => tokensPerSecond > 0));
  const { kernels } = bench.results[1];
  assert.ok(kernels === null || kernels.some(({ kernel, dispatches }) => kernel.startsWith("linear.") && dispatches >= 3));
  assert.equal((await quern.info()).sessions.length, 1, "its session is closed");
});

onModel("a lost device is told, and made good", async () => {
  const whole = SAMPLED.slice(0, 60);
  const tokens = [];
  const generation = quern.generate(PROMPT, { sampling: seven, maxTokens: 24, stop: [] });
  await assert.rejects(async () => {
    for await (const { token } of generation) if (tokens.push(token) === 5) await quern.loseDevice();
  }, { name: "QuernError", code: "device lost" });
  await assert.rejects(quern.openSession(), { code: "device lost" });
  await quern.recover();
  const { text, tokens: n } = await quern.resume().result;
  assert.equal(text.slice(0, 60), whole);
  assert.equal(n, 24);
});

onModel("what a look at the file predicts is what is taken then", async () => {
  const session = { ctx: 256, precision: "exact" };
  const { memory } = await Quern.inspect(MODEL, { session, deviceInfo: quern.device });
  const loaded = await open({ session });
  const { memory: { gpuBytes }, sessions } = await loaded.info();
  await loaded.close();
  assert.deepEqual([memory.total, memory.ctx, memory.chunk], [gpuBytes, 256, sessions[0].chunk]);
});

onModel("memory that runs out is told with the numbers, and something smaller loads afterwards", async () => {
  const session = { ctx: 1024 };
  const { memory } = await Quern.inspect(MODEL, { session: { ...session, precision: "exact" }, deviceInfo: quern.device });
  const runsOut = async (device) => {
    const error = await open({ device, session }).then((loaded) => loaded.close(), (e) => e);
    assert.deepEqual([error.name, error.code], ["QuernError", "gpu memory"]);
    return error;
  };
  // Too little for the weights, and then for the session.
  for (const gpuMemory of [1e6, memory.weights + memory.working]) {
    const { details, message } = await runsOut({ gpuMemory });
    assert.equal(details.gpuLimitBytes, gpuMemory);
    assert.ok(details.neededBytes > gpuMemory && details.neededBytes <= memory.total, JSON.stringify(details));
    assert.ok(details.gpuBytes < gpuMemory);
    assert.match(message, /\d{6,} bytes/);
  }
  assert.equal((await runsOut({ gpuMemory: 100 })).details.gpuLimitBytes, 100); // not even a device
  // A device that says no.
  for (const failAllocationAfter of [1e6, memory.total - 1e6]) {
    const { details } = await runsOut({ failAllocationAfter });
    assert.ok(details.neededBytes > 1e6 && details.gpuLimitBytes === null, JSON.stringify(details));
  }
  const smaller = await open({ device: { gpuMemory: memory.total - 1e6 }, session: { ctx: 128 } });
  assert.equal(await smaller.generate(PROMPT, { sampling: seven, maxTokens: 4 }).text(), " there was a mother");
  await smaller.close();
  await assert.rejects(quern.openSession({ ctx: 1 << 20 }), ({ code }) => code === "limit" || code === "gpu memory" || code === "argument");
  assert.equal((await quern.info()).sessions.length, 1, "another model goes on");
});

onModel("damaged files, and an abort while loading", async () => {
  const bytes = readFileSync(MODEL);
  await assert.rejects(open({}, bytes.subarray(0, 1000)), { code: "format" });
  await assert.rejects(open({}, new TextEncoder().encode("no model")), { code: "format" });
  const abort = new AbortController();
  await assert.rejects(open({ signal: abort.signal, onProgress: () => abort.abort() }), { name: "AbortError" });
});

onModel("from the web, with progress; closing frees everything", async () => {
  const server = await serveFile({ bytes: readFileSync(MODEL), ranges: false, cut: ({ n }) => (n === 1 ? 3e6 : undefined) });
  const progress = [];
  const loaded = await open({ onProgress: (p) => progress.push(p) }, server.url).finally(server.close);
  assert.deepEqual(server.requests, ["bytes=0-0", "bytes=3000000-"]);
  assert.equal(progress.at(-1).phase, "load");
  assert.equal(progress.at(-1).loaded, progress.at(-1).total);
  assert.equal((await loaded.info()).memory.objects > 0, true);
  assert.equal(await loaded.generate(PROMPT, { sampling: seven, maxTokens: 4 }).text(), " there was a mother");
  const under = loaded.generate(PROMPT, { maxTokens: 100 });
  assert.deepEqual(await loaded.close(), { objects: 0 });
  await assert.rejects(under.result, { code: "state" });
  await assert.rejects(loaded.info(), { code: "state", message: "it is closed" });
});
