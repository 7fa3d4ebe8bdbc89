// inspect.test.js - a look at a model before it is loaded: the head of its file, wherever it lies, and the memory that it
// would take. Without a GPU.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { temporaryFolder } from "./support/build.js";
import { MODEL, hasCore, load } from "./support/dist.js";
import { serveFile } from "./support/server.js";

const { Quern, QuernError } = await load("quern.js");
const { openSource } = await load("source.js");

const look = (name, body) => test(name, { skip: hasCore ? false : "no quern.wasm: run scripts/build_web.sh" }, body);
const bytes = readFileSync(MODEL);
const HUGE = 5_000_000_000;
const HEAD = 1 << 20;

/** A server of a file that claims to be larger than anything could hold; `sent.end` is how far it was read. */
async function serveHuge(behaviour) {
  const sent = { end: 0 };
  const at = (offset, length) => {
    sent.end = Math.max(sent.end, offset + length);
    const part = Buffer.alloc(length);
    part.set(bytes.subarray(offset, offset + length));
    return part;
  };
  return { sent, ...(await serveFile({ size: HUGE, at, etag: '"one"', ...behaviour })) };
}

look("what a file says, and what it would take", async () => {
  const { model, types, memory, storage, problem } = await Quern.inspect(MODEL);
  assert.deepEqual([model.architecture, model.name, model.fileBytes], ["llama", "quern-tales", bytes.length]);
  assert.deepEqual([model.nVocab, model.nCtxTrain, model.hasTokenizer, model.chatTemplate], [4096, 1024, true, ""]);
  assert.ok(types.Q4_0 > 5e6 && types.F32 > 0 && types.Q4_0 + types.F32 < bytes.length, JSON.stringify(types));
  assert.equal(memory.ctx, 1024);
  assert.equal(memory.weights, model.weightGpuBytes);
  assert.equal(memory.total, memory.weights + memory.kv + memory.working);
  assert.deepEqual([storage, problem], [null, null]);
});

look("the session's options count", async () => {
  const plan = async (session) => (await Quern.inspect(MODEL, { session })).memory;
  const [short, long, small, packed] = await Promise.all(
    [{ ctx: 64, kv: "f32" }, { ctx: 512, kv: "f32" }, { ctx: 512, kv: "f32", chunk: 16 }, { ctx: 512, kv: "q8_0" }].map(plan));
  assert.deepEqual([short.ctx, long.ctx, small.chunk], [64, 512, 16]);
  assert.equal(long.kv, 8 * short.kv);
  assert.ok(small.working < long.working / 4);
  assert.ok(packed.kv < 0.3 * long.kv);
  await assert.rejects(plan({ kv: "f8" }), { code: "argument" });
});

look("what does not fit is said with the numbers", async () => {
  const { memory, problem, model } = await Quern.inspect(MODEL, { device: { gpuMemory: 1e6 } });
  assert.ok(problem instanceof QuernError);
  assert.equal(problem.code, "gpu memory");
  assert.deepEqual(problem.details, { neededBytes: memory.total, gpuLimitBytes: 1e6 });
  assert.equal(memory.ctx, 256, "of the shortest context that is tried");
  assert.equal(model.name, "quern-tales");
  const fits = await Quern.inspect(MODEL, { device: { gpuMemory: memory.total } });
  assert.deepEqual([fits.problem, fits.memory.ctx], [null, 256]);
  const asked = await Quern.inspect(MODEL, { device: { gpuMemory: memory.total }, session: { ctx: 1024 } });
  assert.equal(asked.problem.code, "gpu memory");
  assert.ok(asked.problem.details.neededBytes > memory.total);
});

look("files that are none, and models that do not run", async () => {
  await assert.rejects(Quern.inspect(bytes.subarray(0, 1000)), { code: "format" });
  await assert.rejects(Quern.inspect(new TextEncoder().encode("no model")), { code: "format", message: /not a GGUF file/ });
  await assert.rejects(Quern.inspect("/no/such/model.gguf"), { code: "io" });
  const other = Buffer.from(bytes);
  other.write("gemma", other.indexOf("general.architecture") + "general.architecture".length + 12);
  const { model, memory, problem } = await Quern.inspect(other);
  assert.deepEqual([model.architecture, memory, problem.code], ["gemma", null, "unsupported"]);
  assert.match(problem.message, /architecture "gemma"/);
});

look("of a server with ranges the head alone is asked for", async () => {
  const server = await serveHuge({});
  try {
    const { model, problem } = await Quern.inspect(server.url, { headers: { authorization: "Bearer x" } });
    assert.deepEqual([model.fileBytes, model.name, problem], [HUGE, "quern-tales", null]);
    assert.deepEqual(server.requests, ["bytes=0-0", `bytes=0-${HEAD - 1}`]);
    assert.equal(server.sent.end, HEAD);
  } finally {
    await server.close();
  }
});

look("a server without ranges is stopped behind the head", async () => {
  const server = await serveHuge({ ranges: false });
  try {
    assert.equal((await Quern.inspect(server.url)).model.fileBytes, HUGE);
    assert.deepEqual(server.requests, ["bytes=0-0"]);
    const { end } = server.sent;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.ok(server.sent.end < 64e6, `${server.sent.end} bytes were sent`); // what lies in buffers by the way
    assert.ok(server.sent.end - end < 16e6, "it goes on");
  } finally {
    await server.close();
  }
});

look("storage that would not do is said too; what is kept needs none", async () => {
  const cacheDir = temporaryFolder();
  const server = await serveFile({ bytes, etag: '"one"' });
  try {
    const before = await Quern.inspect(server.url, { cacheDir });
    assert.equal(before.storage.needed, bytes.length);
    assert.ok(before.storage.available > 0);
    assert.equal((await Quern.inspect(server.url, { cache: false })).storage, null);
    const source = await openSource(server.url, { cacheDir });
    await source.finished();
    source.close();
    const n = server.requests.length;
    const kept = await Quern.inspect(server.url, { cacheDir });
    assert.deepEqual([kept.storage, kept.model.fileBytes], [null, bytes.length]);
    assert.equal(server.requests.length, n, "nobody was asked");
  } finally {
    await server.close();
  }
  const huge = await serveHuge({ size: 2 ** 52 });
  try {
    const { problem, storage, memory } = await Quern.inspect(huge.url, { cacheDir });
    assert.equal(problem.code, "quota");
    assert.deepEqual(problem.details, storage);
    assert.ok(storage.needed === 2 ** 52 && storage.available < 2 ** 52 && memory.total > 0);
  } finally {
    await huge.close();
  }
});

look("it can be given up", async () => {
  const server = await serveHuge({ delay: 50 });
  try {
    const abort = new AbortController();
    const found = Quern.inspect(server.url, { signal: abort.signal });
    setTimeout(() => abort.abort(), 30);
    await assert.rejects(found, { name: "AbortError" });
    await assert.rejects(Quern.inspect(server.url, { signal: abort.signal }), { name: "AbortError" });
  } finally {
    await server.close();
  }
});
