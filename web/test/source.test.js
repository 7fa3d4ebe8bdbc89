// source.test.js - bytes of models from everywhere: files, web servers with their faults, the cache.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { deleteModel, listModels, nameOf } from "../src/cache.js";
import { Sha256 } from "../src/sha256.js";
import { ReadAhead, openSource } from "../src/source.js";
import { openFolder, openOpfs } from "../src/store.js";
import { fakeOpfs } from "./support/opfs.js";
import { serveFile } from "./support/server.js";

const folder = mkdtempSync(join(tmpdir(), "quern-source-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const byteAt = (offset) => (Math.imul(offset % 2 ** 31, 2654435761) >>> 13) & 255;
const bytesAt = (offset, length) => Uint8Array.from({ length }, (_, i) => byteAt(offset + i));
const SIZE = 10_000_019;
const bytes = bytesAt(0, SIZE);
const hash = createHash("sha256").update(bytes).digest("hex");

/** Waits as the loader does. */
async function read(source, offset, length) {
  const target = new Uint8Array(length);
  for (;;) {
    const there = source.take(offset, target);
    if (there === true) return target;
    await there;
  }
}

async function expectWhole(source) {
  assert.equal(source.size, SIZE);
  for (let at = 0; at < SIZE; at += 3_000_000) {
    const length = Math.min(3_000_000, SIZE - at);
    assert.ok(Buffer.from(await read(source, at, length)).equals(bytes.subarray(at, at + length)), `bytes at ${at}`);
  }
  await source.finished();
  source.close();
}

let folders = 0;
const newStore = () => openFolder(join(folder, `store-${++folders}`));

/** A server for one test. */
function withServer(name, behaviour, body) {
  test(name, async () => {
    const settings = { bytes, etag: '"one"', ...behaviour };
    const server = await serveFile(settings);
    try {
      await body(server, settings);
    } finally {
      await server.close();
    }
  });
}

test("SHA-256 in pieces of any size", () => {
  for (const n of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]) {
    const part = bytes.subarray(0, n);
    const whole = createHash("sha256").update(part).digest("hex");
    for (const cut of [0, 1, 63, 64, n >> 1]) {
      const first = Math.min(cut, n);
      assert.equal(new Sha256().update(part.subarray(0, first)).update(part.subarray(first)).hex(), whole);
    }
  }
});

// ---- files ----------------------------------------------------------------------------------------

test("bytes, blobs, handles and paths are sources", async () => {
  const path = join(folder, "file.gguf");
  writeFileSync(path, bytes);
  await expectWhole(await openSource(bytes.slice().buffer));
  await expectWhole(await openSource(bytes));
  await expectWhole(await openSource(new Blob([bytes])));
  await expectWhole(await openSource({ getFile: async () => new Blob([bytes]) }));
  await expectWhole(await openSource(path, { sha256: hash, size: SIZE }));
  await expectWhole(await openSource(pathToFileURL(path)));
  const handle = await open(path);
  await expectWhole(await openSource(handle));
  await handle.close();
  await expectWhole(await openSource(URL.createObjectURL(new Blob([bytes]))));
});

test("what is no source, or not the right one, is refused", async () => {
  await assert.rejects(openSource(join(folder, "none.gguf")), { code: "io", message: /none\.gguf/ });
  await assert.rejects(openSource(7), { code: "argument" });
  await assert.rejects(openSource(bytes, { sha256: "0".repeat(64) }), { code: "hash", details: { actual: hash, expected: "0".repeat(64) } });
  await assert.rejects(openSource(bytes, { size: 5 }), { code: "io", message: /10000019 bytes, not 5/ });
  const source = await openSource(bytes);
  assert.throws(() => source.take(SIZE - 1, new Uint8Array(2)), { code: "io" });
});

test("a file is read ahead, in few pieces, and past 4 GiB", async () => {
  const asked = [];
  const far = 5 * 2 ** 30;
  const source = new ReadAhead(far + 1000, async (offset, length) => (asked.push([offset, length]), bytesAt(offset, length)), {
    piece: 256,
    ahead: 2,
  });
  assert.deepEqual(await read(source, far + 10, 300), bytesAt(far + 10, 300));
  assert.deepEqual(asked, [0, 1, 2, 3].map((i) => [far + 256 * i, i === 3 ? 1000 - 768 : 256]));
  assert.equal(source.take(far + 300, new Uint8Array(20)), true);
  assert.equal(asked.length, 4);
});

test("a piece that failed is asked for again", async () => {
  let fail = true;
  const source = new ReadAhead(1000, async (offset, length) => {
    if (fail) throw new Error("not now");
    return bytesAt(offset, length);
  });
  await assert.rejects(read(source, 0, 10), /not now/);
  fail = false;
  assert.deepEqual(await read(source, 0, 10), bytesAt(0, 10));
});

// ---- web servers, nothing kept --------------------------------------------------------------------

withServer("ranges of a file on the web", {}, async ({ url, requests }) => {
  await expectWhole(await openSource(url));
  assert.ok(requests.every((range) => /^bytes=\d+-\d+$/.test(range)), requests.join());
});

withServer("ranges past 4 GiB", { size: 6e9, at: bytesAt }, async ({ url }) => {
  const source = await openSource(url);
  assert.equal(source.size, 6e9);
  assert.deepEqual(await read(source, 5e9, 1000), bytesAt(5e9, 1000));
  source.close();
});

withServer("a server without ranges is read in order", { ranges: false }, async ({ url, requests }) => {
  const source = await openSource(url);
  assert.deepEqual(await read(source, 9_000_000, 10), bytesAt(9_000_000, 10));
  await expectWhole(source); // goes back: starts again
  assert.equal(requests.length, 2);
});

withServer("a broken connection goes on where it broke", { cut: ({ n }) => (n < 4 ? 2_500_000 : undefined) }, async ({ url, requests }) => {
  await expectWhole(await openSource(url, { sha256: hash }));
  assert.deepEqual(requests, ["all", "bytes=2500000-", "bytes=5000000-", "bytes=7500000-"]);
});

withServer("also without ranges", { ranges: false, cut: ({ n }) => (n < 3 ? 4_000_000 * n : undefined) }, async ({ url }) =>
  expectWhole(await openSource(url)));

withServer("a server that is busy is asked again", { status: (n) => (n < 3 ? 503 : 200) }, async ({ url }) =>
  expectWhole(await openSource(url)));

withServer("the hash of the whole file is checked", {}, async ({ url }) => {
  const source = await openSource(url, { sha256: "0".repeat(64) });
  await read(source, 0, 100);
  await assert.rejects(source.finished(), { code: "hash", details: { actual: hash, expected: "0".repeat(64) } });
});

withServer("the server's digest is checked", { headers: { "repr-digest": `sha-256=:${Buffer.alloc(32).toString("base64")}:` } },
  async ({ url }) => {
    const source = await openSource(url, { store: await newStore() });
    await assert.rejects(source.finished(), { code: "hash", details: { actual: hash, expected: "0".repeat(64) } });
  });

withServer("no file", { status: () => 404 }, async ({ url, requests }) => {
  await assert.rejects(openSource(url), { code: "network", message: /HTTP 404/, details: { status: 404, retry: false } });
  await assert.rejects(openSource(url, { store: await newStore() }), { code: "network" });
  assert.equal(requests.length, 2);
});

test("no server", async () => {
  const server = await serveFile({ bytes });
  await server.close();
  await assert.rejects(openSource(server.url), { code: "network" });
});

withServer("a wrong size", {}, ({ url }) => assert.rejects(openSource(url, { size: 7 }), { code: "io", details: { size: SIZE } }));

withServer("a size that nobody tells", { ranges: false, sized: false }, async ({ url }) => {
  await assert.rejects(openSource(url), { code: "unsupported", message: /how large/ });
  await expectWhole(await openSource(url, { store: await newStore() }));
});

withServer("a connection that never brings a byte more", { cut: ({ n }) => (n === 1 ? 1000 : 0) }, async ({ url }) => {
  await assert.rejects(openSource(url, { store: await newStore() }).then((source) => source.finished()), { code: "network" });
});

// ---- kept -----------------------------------------------------------------------------------------

withServer("a model is kept, and not asked for again", {}, async ({ url, requests }) => {
  const store = await newStore();
  const progress = [];
  await expectWhole(await openSource(url, { store, sha256: hash, onProgress: (p) => progress.push(p) }));
  assert.deepEqual(progress.at(-1), { phase: "download", loaded: SIZE, total: SIZE });
  await expectWhole(await openSource(url, { store, sha256: hash }));
  await expectWhole(await openSource(url, { store }));
  assert.equal(requests.length, 1);
  const [model, ...others] = await listModels({ store });
  assert.deepEqual(others, []);
  assert.deepEqual({ ...model, validator: null }, { name: nameOf(url), url, size: SIZE, stored: SIZE, validator: null, sha256: hash, complete: true });
  await expectWhole(await openSource(url, { store, cache: "reload" }));
  assert.equal(requests.length, 2);
  assert.equal(await deleteModel(url, { store }), true);
  assert.equal(await deleteModel(url, { store }), false);
  assert.deepEqual(await store.names(), []);
});

withServer("the loader reads while the file comes", { delay: 5 }, async ({ url }) => {
  const store = await newStore();
  const source = await openSource(url, { store });
  let done = false;
  source.finished().then(() => (done = true));
  assert.deepEqual(await read(source, 100_000, 100), bytesAt(100_000, 100));
  assert.equal(done, false);
  await expectWhole(source);
});

withServer("a kept part is gone on with", { cut: ({ n }) => (n === 1 ? 6_000_000 : undefined), status: (n) => (n === 2 ? 403 : 200) },
  async ({ url, requests }) => {
    const store = await newStore();
    const source = await openSource(url, { store });
    await assert.rejects(source.finished(), { code: "network", details: { status: 403, retry: false } });
    source.close();
    const [part] = await listModels({ store });
    assert.deepEqual([part.complete, part.stored, part.size], [false, 6_000_000, SIZE]);
    await expectWhole(await openSource(url, { store, sha256: hash }));
    assert.deepEqual(requests, ["all", "bytes=6000000-", "bytes=6000000-"]);
  });

withServer("a part of another version is thrown away", { delay: 1 }, async ({ url, requests }, settings) => {
  const store = await newStore();
  const abort = new AbortController();
  const source = await openSource(url, { store, signal: abort.signal });
  await read(source, 1_000_000, 10);
  abort.abort();
  await assert.rejects(source.finished(), { name: "AbortError" });
  source.close();
  assert.ok((await listModels({ store }))[0].stored > 1_000_000, "the part is kept");
  settings.etag = '"two"';
  await expectWhole(await openSource(url, { store }));
  assert.equal(requests.length, 3);
  assert.equal(requests[2], "all");
});

withServer("a file that changes during the download", { cut: ({ n }) => (n === 1 ? 6_000_000 : undefined) }, async ({ url }, settings) => {
  const store = await newStore();
  const source = await openSource(url, { store });
  settings.etag = '"two"';
  await assert.rejects(source.finished(), { code: "network", message: /changed/ });
  assert.deepEqual(await store.names(), []);
});

withServer("a wrong file is not kept", {}, async ({ url }) => {
  const store = await newStore();
  const source = await openSource(url, { store, sha256: "0".repeat(64) });
  await assert.rejects(source.finished(), { code: "hash" });
  assert.deepEqual(await store.names(), []);
});

withServer("a full store says how much is missing", {}, async ({ url }) => {
  const store = await newStore();
  store.room = async () => 1000;
  await assert.rejects(openSource(url, { store }), { code: "quota", details: { needed: SIZE, available: 1000 } });
  store.room = async () => undefined;
  const open = store.open.bind(store);
  store.open = async (name) => {
    const file = await open(name);
    const { write } = file;
    file.write = (offset, part) => {
      if (offset > 5_000_000) throw new DOMException("full", "QuotaExceededError");
      write(offset, part);
    };
    return file;
  };
  const source = await openSource(url, { store });
  await assert.rejects(source.finished(), ({ code, details }) => code === "quota" && details.needed < 5_000_000);
  source.close();
});

withServer("OPFS: kept, gone on with, and read by a second tab", { delay: 1 }, async ({ url, requests }) => {
  const opfs = fakeOpfs();
  try {
    const store = await openOpfs({ write: true });
    const first = await openSource(url, {});
    const second = await openSource(url, {}); // the file is the first's
    await expectWhole(second);
    await expectWhole(first);
    const before = requests.length;
    await expectWhole(await openSource(url, {}));
    assert.equal(requests.length, before);
    assert.equal((await listModels()).length, 1);
    assert.ok((await store.room()) > 0);
    assert.equal(await deleteModel(nameOf(url)), true);
    assert.deepEqual(await store.names(), []);
  } finally {
    opfs.remove();
  }
});

test("nothing is left open", () => {
  assert.ok(readdirSync("/proc/self/fd").length < 60);
});
