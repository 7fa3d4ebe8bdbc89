// kept.test.js - what is known of a device's kernels is kept between visits: the store's file, and the core on Dawn.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openDawn } from "./support/dawn.js";
import { dist, hasCore, load } from "./support/dist.js";
import { fakeOpfs } from "./support/opfs.js";
import { pretendGpu } from "./support/pretend.js";

const { Kept } = await load("kept.js");
const { Core } = await load("core.js");
const { Quern } = await load("quern.js");
const { listModels } = await load("cache.js");

const cacheDir = mkdtempSync(join(tmpdir(), "quern-kept-"));
after(() => rmSync(cacheDir, { recursive: true, force: true }));
const file = join(cacheDir, "kernels");
const lines = [];
const open = (options) => Kept.open({ cacheDir, ...options }, (level, line) => lines.push(line));
const turns = () => new Promise((resolve) => setTimeout(resolve, 20));

// ---- the file -------------------------------------------------------------------------------------

test("texts stay, but for another browser", async () => {
  const first = await open();
  assert.equal(first.get("a"), undefined);
  first.set("a", "one\n");
  first.set("b", "zwei \u00fc\n");
  await turns();
  const second = await open();
  assert.deepEqual([second.get("a"), second.get("b"), second.get("c")], ["one\n", "zwei \u00fc\n", undefined]);
  assert.deepEqual(await listModels({ cacheDir }), []);
  assert.equal((await open({ cache: "reload" })).get("a"), undefined);
  const without = await open({ cache: false });
  assert.equal(without.get("a"), undefined);
  without.set("a", "two\n");
  assert.equal(without.get("a"), "two\n", "while it lives, for recover");
  await turns();
  const text = readFileSync(file, "utf8");
  assert.deepEqual(JSON.parse(text).texts, { a: "one\n", b: "zwei \u00fc\n" });
  assert.match(JSON.parse(text).by, /^Node v\d+\.\d+\.\d+ on \w+ \w+, webgpu /);
  writeFileSync(file, text.replace("Node v", "Node v9"));
  assert.equal((await open()).get("a"), undefined);
  writeFileSync(file, text);
  assert.equal((await open()).get("a"), "one\n");
});

test("a file that is torn or of something else is as none", async () => {
  const text = readFileSync(file, "utf8");
  const { by } = JSON.parse(text);
  for (let cut = 0; cut < text.length; cut++) {
    writeFileSync(file, text.slice(0, cut));
    assert.equal((await open()).get("a"), undefined);
  }
  for (const value of [null, 7, [], {}, { by }, { by, texts: null }, { by, texts: "ab" }, { by, texts: { a: 7, b: null } }]) {
    writeFileSync(file, JSON.stringify(value));
    const kept = await open();
    assert.deepEqual([kept.get("a"), kept.get("b")], [undefined, undefined]);
  }
  const kept = await open();
  kept.set("a", "again\n");
  await turns();
  assert.equal((await open()).get("a"), "again\n");
  rmSync(file);
});

test("where nothing can be written it is said, and goes on", async () => {
  lines.length = 0;
  const folder = join(cacheDir, "not-a-folder");
  writeFileSync(folder, "");
  const kept = await open({ cacheDir: folder });
  kept.set("a", "one\n");
  assert.equal(kept.get("a"), "one\n");
  assert.match(lines.join("\n"), /^what is known of the kernels is not kept: .*not-a-folder/);
});

test("in a browser's storage, with the ways of writing that there are", async () => {
  const { process } = globalThis;
  for (const writable of [true, false]) {
    const opfs = fakeOpfs({ writable });
    Object.defineProperty(globalThis, "process", { value: undefined, configurable: true, writable: true });
    const start = (options) => Kept.open({ ...options }, (level, line) => lines.push(line));
    try {
      (await start()).set("a", "a longer one\n");
      await turns();
      (await start()).set("a", "one\n");
      await turns();
      assert.equal((await start()).get("a"), "one\n");
      navigator.userAgent = "Test/2";
      assert.equal((await start()).get("a"), undefined);
    } finally {
      globalThis.process = process;
      opfs.remove();
    }
  }
});

// ---- the core -------------------------------------------------------------------------------------

let gpu, module;
before(async () => {
  if (!hasCore) return;
  gpu = pretendGpu(await openDawn());
  module = new WebAssembly.Module(readFileSync(join(dist, "quern.wasm")));
});
after(() => {
  gpu = null; // Dawn ends its threads with it
});
const onCore = (name, body) => test(name, { skip: hasCore ? false : "no quern.wasm: run scripts/build_web.sh" }, body);

/** Opens an engine: the pipelines that its self-test made, and the rows that it knows. */
async function visit(kept, options = {}) {
  gpu.pipelines = 0;
  const core = await Core.create({ module, gpu, kept, onLog: (level, line) => lines.push(line) });
  const engine = await core.openEngine({ cache_dir: "storage", self_test: true, ...options });
  const { pipelines } = gpu;
  const tested = core.routes(engine).filter((route) => route.tested);
  core.call("qn_engine_close", engine);
  await turns();
  return { pipelines, tested, wrong: tested.filter((route) => route.wrong).map(({ name }) => name) };
}

onCore("kernels are tried at the first visit, and a damaged text is replaced", async () => {
  lines.length = 0;
  const kept = await open();
  const names = [];
  const damaged = {
    get: (name) => (names.push(name), "quern kernels\nversion 0.0.0 torn"),
    set: (name, text) => kept.set(name, text),
  };
  const { pipelines, tested, wrong } = await visit(damaged);
  assert.ok(pipelines > 4 && tested.length > 2, `${pipelines} pipelines, ${tested.length} rows`);
  assert.deepEqual(wrong, []);
  assert.equal(lines.filter((line) => /is damaged and not used/.test(line)).length, 1);
  const { texts } = JSON.parse(readFileSync(file, "utf8"));
  assert.deepEqual(Object.keys(texts), names);
  assert.match(texts[names[0]], new RegExp(`^quern kernels\nversion .*\n(right .*\n){${tested.length}}end ${tested.length}\n$`, "s"));
});

onCore("and not at the next one, also through the API", async () => {
  const { pipelines, tested } = await visit(await open());
  assert.equal(pipelines, 0);
  assert.ok(tested.length > 2);
  await assert.rejects(Quern.load(new Uint8Array(64), { gpu, cacheDir }), { code: "format" });
  assert.equal(gpu.pipelines, 0);
});

/** The kept file with the line of one row made another. */
function edit(row, line) {
  const all = JSON.parse(readFileSync(file, "utf8"));
  const [name] = Object.keys(all.texts);
  const text = all.texts[name].replace(`right ${row}\n`, line);
  all.texts[name] = text.replace(/end \d+/, `end ${text.split("\n").length - 6}`);
  writeFileSync(file, JSON.stringify(all));
  return all.texts[name];
}

onCore("a row that was wrong stays wrong; one that is not known is tried alone; breakRoute is not remembered", async () => {
  const row = (await visit(await open())).tested.at(-1).name;
  const good = readFileSync(file, "utf8");
  edit(row, `wrong ${row}\n`);
  assert.deepEqual((({ pipelines, wrong }) => [pipelines, wrong])(await visit(await open())), [0, [row]]);
  writeFileSync(file, good);
  const text = edit(row, "");
  const broken = await visit(await open(), { break_route: row });
  assert.ok(broken.pipelines > 0);
  assert.deepEqual(broken.wrong, [row]);
  assert.deepEqual(Object.values(JSON.parse(readFileSync(file, "utf8")).texts), [text]);
  const again = await visit(await open());
  assert.ok(again.pipelines > 0);
  assert.deepEqual(again.wrong, []);
  assert.equal(readFileSync(file, "utf8"), good);
});
