// tokens.test.js - the core in wasm, over the glue, on Dawn: the built-in model against the numbers that another program
// made (models/quern-tales/logits.json), which the native build is tested against too.
import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT, buildSources } from "./support/build.js";
import { openDawn } from "./support/dawn.js";

const MODEL = join(ROOT, "models/quern-tales/quern-tales-q4_0.gguf");
const GOLDEN = JSON.parse(readFileSync(join(ROOT, "models/quern-tales/logits.json"), "utf8"));
const TOLERANCE = 2e-3; // of logits, as natively
const MIN_MARGIN = 1e-3; // below this the best two logits are a tie

const sources = buildSources();
const { Core } = await import(join(sources, "core.js"));
const { enums } = await import(join(sources, "layouts.js"));
const module = new WebAssembly.Module(readFileSync(process.env.QN_WEB_WASM ?? join(ROOT, "web/dist/quern.wasm")));

/** @type {GPU} */
let gpu;
before(async () => {
  gpu = await openDawn();
});
after(() => {
  gpu = null;
});

/** A file as a source of bytes; every second read is late, as those of a network are. */
function fileSource(path) {
  const file = openSync(path, "r");
  let reads = 0, wanted = -1;
  return {
    size: statSync(path).size,
    take(offset, bytes) {
      if (offset === wanted || reads++ % 2 === 0) return readSync(file, bytes, 0, bytes.length, offset) === bytes.length;
      wanted = offset;
      return new Promise((resolve) => setTimeout(resolve));
    },
    close: () => closeSync(file),
  };
}

/** An engine with the built-in model; `use` gets them, and afterwards nothing may be left. */
async function withModel(options, use) {
  const core = await Core.create({ module, gpu });
  const engine = await core.openEngine(options), before = core.gpuMemory(engine).gpuBytes;
  const source = fileSource(MODEL);
  const model = await core.openModel(engine, source);
  await core.settled(engine);
  source.close();
  await use(core, model, engine);
  core.call("qn_model_close", model);
  assert.equal(core.gpuMemory(engine).gpuBytes, before, "GPU memory is left");
  core.call("qn_engine_close", engine);
  assert.equal(core.held.objects, 0, "handles are left");
  await settle();
  core.call("qn_version"); // no callback came into memory that was freed: the module did not trap
}

/** Lets promises of what was closed settle. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 50));

/** Computes the tokens; logits of the last position. */
async function logitsOf(core, session, tokens, nVocab) {
  core.setTokens(session, tokens);
  let step;
  do step = await core.step(session);
  while (step.state === "chunk");
  assert.equal(step.state, "ready");
  const { address, rows } = core.logits(session);
  return core.floats(address + 4 * nVocab * (rows - 1), nVocab);
}

function assertClose(logits, file) {
  const bytes = readFileSync(join(ROOT, "models/quern-tales", file));
  const golden = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  assert.equal(logits.length, golden.length);
  const worst = logits.reduce((most, logit, i) => Math.max(most, Math.abs(logit - golden[i])), 0);
  assert.ok(worst < TOLERANCE, `logits differ by ${worst}`);
  return worst;
}

/** Tokens until the generation ends or n are there. */
async function generate(core, session, n) {
  core.startGeneration(session, { sampler: { temperature: 0 }, max_tokens: n });
  const tokens = [];
  for (;;) {
    const { state, token } = await core.step(session);
    if (state === "end") return tokens;
    if (state === "token") tokens.push(token);
  }
}

/** How many greedy tokens are decided by more than rounding. */
const decided = ({ margin }) => {
  const tie = margin.findIndex((value) => value < MIN_MARGIN);
  return tie < 0 ? margin.length : tie;
};

test("the same logits and greedy tokens as natively", async (t) => {
  await withModel({}, async (core, model, engine) => {
    const { nVocab } = core.modelInfo(model);
    const session = core.openSession(model, { precision: enums.qn_precision.QN_PRECISION_EXACT });
    await core.settled(engine);
    for (const prompt of GOLDEN.prompts) {
      assert.deepEqual(core.encode(core.tokenizer(model), prompt.text, { bos: true }), prompt.ids);
      const worst = assertClose(await logitsOf(core, session, prompt.ids, nVocab), prompt.last);
      const n = decided(prompt), start = performance.now();
      assert.deepEqual(await generate(core, session, n), prompt.greedy_ids.slice(0, n));
      const ms = (performance.now() - start) / n;
      t.diagnostic(`${prompt.name}: logits within ${worst.toExponential(1)}, ${n} tokens, ${ms.toFixed(1)} ms a token`);
    }
    // Everything is closed while the GPU works on an answer.
    core.startGeneration(session, { sampler: { temperature: 0 } });
    assert.equal((await core.step(session)).state, "token");
    core.call("qn_session_close", session);
  });
});

test("a device that is lost in the middle of an answer", async () => {
  const core = await Core.create({ module, gpu });
  const engine = await core.openEngine({});
  const source = fileSource(MODEL);
  const model = await core.openModel(engine, source);
  source.close();
  const session = core.openSession(model, {});
  core.setTokens(session, GOLDEN.prompts[1].ids);
  core.startGeneration(session, { sampler: { temperature: 0 }, max_tokens: 50 });
  let tokens = 0;
  await assert.rejects(async () => {
    for (;;) {
      const { state } = await core.step(session);
      assert.notEqual(state, "end");
      if (state === "token" && ++tokens === 5) core.call("qn_engine_lose_device", engine);
    }
  }, /the device was lost/);
  core.call("qn_session_close", session);
  core.call("qn_model_close", model);
  core.call("qn_engine_close", engine);
  await settle();
  assert.equal(core.held.objects, 0);
  core.call("qn_version");
});

test("opening and loading may be given up", async () => {
  const core = await Core.create({ module, gpu }), early = new AbortController(), later = new AbortController();
  const opening = core.openEngine({}, early.signal);
  early.abort();
  await assert.rejects(opening);
  const engine = await core.openEngine({}), source = fileSource(MODEL);
  await assert.rejects(core.openModel(engine, source, { signal: later.signal, onProgress: () => later.abort() }));
  source.close();
  core.call("qn_engine_close", engine);
  await settle();
  assert.equal(core.held.objects, 0);
  core.call("qn_version");
});

test("loading and closing again and again takes no more memory", async () => {
  const core = await Core.create({ module, gpu }), sizes = [];
  for (let round = 0; round < 60; round++) {
    const engine = await core.openEngine({}), source = fileSource(MODEL);
    const model = await core.openModel(engine, source);
    source.close();
    core.call("qn_model_close", model);
    core.call("qn_engine_close", engine);
    assert.equal(core.held.objects, 0);
    sizes.push(core.held.wasmBytes);
  }
  // How the heap falls apart differs with the reads' timing, by one growth; 20 KB that stayed each time are more.
  assert.ok(sizes.at(-1) - sizes[9] < 1e6, `${sizes}`);
});
