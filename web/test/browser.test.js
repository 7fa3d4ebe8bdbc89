// browser.test.js - the whole of it in Chromium on SwiftShader: the demo page over web/dist from a plain server, and the
// API in a page. Pictures of the demo are kept in build-web/screenshots.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT } from "./support/build.js";
import { openChromium } from "./support/chromium.js";
import { PROMPT, SAMPLED, short, worstOf } from "./support/golden.js";
import { MOST, SYSTEM, TALK, answersOf, chatModel, hasNative } from "./support/native.js";
import { bytesOf } from "./support/process.js";
import { broken, serveFolder } from "./support/server.js";

const MODEL = join(ROOT, "web/dist/models/quern-tales-q4_0.gguf");
const BUILT_IN = "/models/quern-tales-q4_0.gguf";
const PICTURES = join(ROOT, "build-web/screenshots");
const ROUNDS = Number(process.env.QN_ROUNDS ?? 16); // of loading and closing
const LOAD = { timeout: 120_000 }; // kernels are compiled one after another, on the processor

let context, server, page;
const chat = hasNative ? { model: chatModel(), answers: null } : null;
const withChat = { skip: chat ? false : "no native build: scripts/build.sh" };
let whole; // the seeded answer of 160 tokens, undisturbed
const faults = []; // what the pages said of errors

async function openPage(path) {
  const opened = await context.newPage();
  opened.on("pageerror", (error) => faults.push(error.message));
  opened.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await opened.goto(new URL(path, server.url).href);
  return opened;
}

const ready = () => page.waitForFunction(() => !document.getElementById("send").disabled, null, LOAD);
const idle = () => page.waitForFunction(() => document.getElementById("log").ariaBusy === "false", null, LOAD);
const answer = () => page.locator("#log .story").last();
const letters = (n) =>
  page.waitForFunction((least) => [...document.querySelectorAll("#log .story")].at(-1)?.textContent.length >= least, n, LOAD);
/** In the page, so that it happens in the middle of the answer however slow this test is. */
const atLetters = (n, act) =>
  page.evaluate(([least, act]) => {
    const acts = {
      stop: () => document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true })),
      lose: () => globalThis.quern.loseDevice(),
    };
    const watch = new MutationObserver(() => {
      if (!([...document.querySelectorAll("#log .story")].at(-1)?.textContent.length >= least)) return;
      watch.disconnect();
      acts[act]();
    });
    watch.observe(document.getElementById("log"), { subtree: true, childList: true, characterData: true });
  }, [n, act]);
const picture = (name) => page.screenshot({ path: join(PICTURES, `${name}.png`) });
const settle = () => page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
/** Of a state in both themes, and at two widths. */
async function pictures(state, sizes = { desktop: [1280, 800], phone: [390, 844] }) {
  for (const [name, [width, height]] of Object.entries(sizes))
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      await settle();
      await picture([state, name, colorScheme].filter(Boolean).join("-"));
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} scrolls sideways`);
    }
  await page.setViewportSize({ width: 1280, height: 800 });
}
const unfold = (id, open) => page.evaluate(([name, yes]) => void (document.getElementById(name).open = yes), [id, open]);
const asked = (path) => server.requests.filter((request) => request === path).length;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  const blank = { bytes: Buffer.from("<!doctype html><title>blank</title>"), headers: { "content-type": "text/html" } };
  server = await serveFolder(join(ROOT, "web/dist"), { "/blank.html": blank, "/models/cut.gguf": broken(readFileSync(MODEL), 3_000_000) });
  context = await openChromium({ viewport: { width: 1280, height: 800 } });
});
after(async () => {
  await context?.close();
  await server?.close();
});

test("the demo loads the built-in model at once, in a worker", async () => {
  page = await openPage("demo/");
  await picture("loading");
  await ready();
  assert.equal(page.workers().length, 1);
  assert.equal(asked(BUILT_IN), 1);
  assert.match(await page.textContent("#where"), /quern-tales on /);
  assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
  assert.match(await page.textContent("#models"), /quern-tales-q4_0\.gguf, 6\.3 MB/);
});

test("every control has a name, and the keyboard reaches it", async () => {
  for (const id of ["kept", "kernels", "settings"]) await page.locator(`#${id} > summary`).click();
  for (const kind of ["url", "file"]) {
    await page.selectOption("#source", kind);
    const cdp = await context.newCDPSession(page);
    const { nodes } = await cdp.send("Accessibility.getFullAXTree");
    const roles = /^(button|textbox|combobox|spinbutton|link|checkbox|DisclosureTriangle|progressbar|list|region|complementary|main)$/;
    const controls = nodes.filter(({ ignored, role }) => !ignored && roles.test(role?.value));
    assert.ok(controls.length > 15);
    const nameless = controls.filter(({ name, role }) => !name?.value && role.value !== "list");
    assert.deepEqual(nameless.map(({ role }) => role.value), []);
  }
  await page.selectOption("#source", "builtin");
  const seen = [];
  await page.locator(".skip").focus();
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => document.activeElement.id || document.activeElement.name || document.activeElement.tagName);
    if (at === "BODY") break;
    seen.push(at);
  }
  for (const id of ["theme", "log", "prompt", "send", "source", "load", "measure", "temperature", "kv"]) assert.ok(seen.includes(id), `${id}: ${seen}`);
  await picture("settings");
});

test("a file that the user picks, with settings: the seeded text of a native run", async () => {
  await page.fill("[name=seed]", "7");
  await page.fill("[name=maxTokens]", "160");
  await page.selectOption("[name=precision]", "exact");
  await page.selectOption("#source", "file");
  await page.setInputFiles("#file", MODEL);
  await page.click("#load");
  await page.waitForSelector("#loading:not([hidden])");
  await ready();
  assert.equal(asked(BUILT_IN), 1);
  await page.evaluate(() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
    }).observe({ entryTypes: ["longtask"] });
  });
  await page.fill("#prompt", "Once");
  await page.keyboard.press("Shift+Enter");
  assert.equal(await page.inputValue("#prompt"), "Once\n");
  await page.fill("#prompt", PROMPT);
  await page.keyboard.press("Enter");
  await idle();
  whole = await answer().textContent();
  assert.ok(whole.startsWith(PROMPT + SAMPLED), whole);
  assert.match(await page.textContent("#s-rate"), /tok\/s/);
  assert.match(await page.textContent("#s-context"), /^16[45] of \d+$/);
  // On a busy machine a task may also be long because others had the processor: then the answer is asked for again.
  const tasks = [await page.evaluate(() => globalThis.longest)];
  while (tasks.at(-1) >= 50 && tasks.length < 4) {
    await page.evaluate(() => (globalThis.longest = 0));
    await page.fill("#prompt", PROMPT);
    await page.keyboard.press("Enter");
    await letters(60);
    await idle();
    tasks.push(await page.evaluate(() => globalThis.longest));
  }
  console.log(`# longest task of the page during an answer: ${tasks.join(", ")} ms`);
  assert.ok(tasks.at(-1) < 50);
});

test("stop, and on from there", async () => {
  await atLetters(50, "stop");
  await page.fill("#prompt", PROMPT);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#resume:not([hidden])", LOAD);
  await idle();
  const part = await answer().textContent();
  assert.ok(part.length < whole.length && whole.startsWith(part), part);
  await picture("stopped");
  await page.click("#resume");
  await letters(part.length + 10);
  await picture("writing");
  await idle();
  assert.match(await page.textContent("#s-prompt"), /^[\d.]+ tok\/s$/);
  assert.equal(await answer().textContent(), whole);
});

test("a device that is lost in the middle of an answer", async () => {
  await atLetters(50, "lose");
  await page.fill("#prompt", PROMPT);
  await page.click("#send");
  await page.waitForSelector("#recover:not([hidden])", LOAD);
  await idle();
  assert.match(await page.textContent("#problem"), /^\s*device lost: /);
  await picture("lost");
  await page.click("#recover");
  await page.waitForSelector("#problem[hidden]", { state: "attached" });
  await idle();
  assert.equal(await answer().textContent(), whole);
});

test("kernel times", async () => {
  await page.click("#measure");
  await page.waitForSelector("#chart table", LOAD);
  await idle();
  assert.match(await page.textContent("#measured"), /^pp128: [\d.]+ tok\/s, tg32: [\d.]+ tok\/s$/);
  const rows = await page.locator("#chart tbody tr").allTextContents();
  assert.ok(rows.length > 5 && rows.every((row) => /^\w+\.\w+ .+[\d.]+ %[\d.]+$/.test(row)), rows.join("\n"));
});

test("perplexity, and all of it as a table", async () => {
  await page.click("#judge");
  await page.waitForFunction(() => document.getElementById("measured").textContent.startsWith("perplexity"), null, LOAD);
  await idle();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.click("#copy");
  await page.waitForFunction(() => document.getElementById("measured").textContent === "copied");
  const table = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(table, /^\| quern-tales on .+ \| \|\n.*\n\| pp128 \| [\d.]+ tok\/s \|\n\| tg32 .*\n\| perplexity, 1\d\d tokens \| [\d.]+ \|\n\n\| kernel /);
});

test("pictures: both themes, desktop and phone", () => pictures(""));

test("a look at a file before it is loaded", withChat, async () => {
  await page.selectOption("#source", "file");
  await page.setInputFiles("#file", chat.model);
  await page.waitForSelector("#look:not([hidden])");
  assert.equal(await page.textContent("#look-name"), "random llama");
  assert.match(await page.textContent("#look-facts"), /754 KB, Q4_0, F32.*1\.3 million.*chat.*\d MB.*for 512 tokens/);
  assert.match(await page.textContent("#where"), /quern-tales/, "the other one is still there");
});

test("what does not fit is refused with the numbers, and nothing is lost", withChat, async () => {
  for (const id of ["kept", "kernels"]) await unfold(id, false);
  await unfold("settings", true);
  await page.fill("[name=gpuMemory]", "1");
  await page.click("#load");
  await page.waitForSelector("#problem:not([hidden])");
  assert.match(await page.textContent("#problem"), /^\s*gpu memory: [^]*Needed, at least\d\.\d MB[^]*settings1\.0 MB[^]*shorter context/);
  assert.match(await page.textContent("#where"), /quern-tales/);
  await pictures("refused");
});

test("a chat: two turns as quern chat has them", withChat, async () => {
  chat.answers = answersOf(chat.model);
  await unfold("settings", true);
  await page.fill("[name=gpuMemory]", "");
  await page.selectOption("[name=precision]", "exact");
  await page.fill("[name=temperature]", "0");
  await page.fill("[name=maxTokens]", String(MOST));
  await page.click("#load");
  await page.waitForFunction(() => document.getElementById("where").textContent.startsWith("random llama on"), null, LOAD);
  await ready();
  assert.equal(await page.textContent("#prompt-label"), "Your message");
  await page.fill("[name=system]", SYSTEM);
  await unfold("settings", false);
  for (const line of TALK) {
    await page.fill("#prompt", line);
    await page.keyboard.press("Enter");
    await idle();
  }
  const bubbles = await page.locator("#log > li").evaluateAll((items) =>
    items.filter(({ className }) => className !== "note").map((item) => [item.className, item.firstChild.textContent, item.lastChild.textContent]));
  const [first, second] = chat.answers;
  assert.deepEqual(bubbles, [
    ["user", "You", TALK[0]], ["model", "random llama", first], ["user", "You", TALK[1]], ["model", "random llama", second],
  ]);
  assert.equal(await page.getAttribute("#look", "aria-busy"), "false");
  await pictures("chat");
});

test("a second visit takes the model from storage", async () => {
  const from = server.requests.length;
  await page.reload();
  await ready();
  assert.ok(!server.requests.slice(from).includes(BUILT_IN));
  await page.close();
});

test("a download that broke goes on where it broke", async () => {
  page = await openPage("blank.html");
  const found = await page.evaluate(async () => {
    const { Quern, listModels, deleteModel } = await import("/quern.js");
    const options = { session: { ctx: 64 }, device: { selfTest: false } };
    const error = await Quern.load("/models/cut.gguf", options).catch(({ name, code, details }) => ({ name, code, ...details }));
    const part = (await listModels()).find(({ url }) => url.endsWith("cut.gguf"));
    const phases = new Set();
    const quern = await Quern.load("/models/cut.gguf", { ...options, onProgress: ({ phase }) => phases.add(phase) });
    const { fileBytes } = quern.model;
    const { objects } = await quern.close();
    const whole = (await listModels()).find(({ url }) => url.endsWith("cut.gguf"));
    return { error, part, fileBytes, objects, whole, phases: [...phases], deleted: await deleteModel(whole.url) };
  });
  assert.deepEqual([found.error.name, found.error.code, found.error.status], ["QuernError", "network", 404]);
  const { complete, stored } = found.part; // of what was sent before the cut, as much as the page was given
  assert.ok(!complete && stored > 0 && stored <= 3_000_000, `${stored} bytes`);
  assert.deepEqual([found.fileBytes, found.objects, found.whole.complete], [6345184, 0, true]);
  assert.deepEqual([found.phases, found.deleted], [["download", "load"], true]);
  assert.deepEqual(server.ranges["/models/cut.gguf"], ["all", `bytes=${stored}-`, `bytes=${stored}-`]);
});

test("kernels are tried at the first visit only", async () => {
  page = await openPage("blank.html");
  const visit = () => page.evaluate(async () => {
    const { Quern } = await import("/quern.js");
    // An adapter that says it is a GPU, as software has no kernels to try; with core WebGPU, so that there are few.
    const getters = { info: () => ({ vendor: "pretended", architecture: "none" }), features: () => new Set() };
    for (const [name, get] of Object.entries(getters)) Object.defineProperty(GPUAdapter.prototype, name, { get, configurable: true });
    const { createComputePipeline } = GPUDevice.prototype;
    let pipelines = 0;
    GPUDevice.prototype.createComputePipeline = function (descriptor) {
      pipelines++;
      return createComputePipeline.call(this, descriptor);
    };
    const { code } = await Quern.load(new Uint8Array(64), { worker: false }).catch((error) => error);
    return { code, pipelines };
  });
  const known = () => page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("quern");
    return JSON.parse(await (await (await folder.getFileHandle("kernels")).getFile()).text());
  });
  const first = await visit();
  assert.equal(first.code, "format");
  assert.ok(first.pipelines > 4, `${first.pipelines} pipelines`);
  await page.reload();
  assert.deepEqual(await visit(), { code: "format", pipelines: 0 });
  const { by, texts } = await known();
  assert.equal(by, await page.evaluate(() => navigator.userAgent));
  assert.match(Object.values(texts).join(), /^quern kernels\nversion .*\nright linear\..*\nend \d+\n$/s);
  await page.reload(); // with the adapter as it is
  await page.evaluate(() => {
    const code = `import { Kept } from "${location.origin}/kept.js";
      (await Kept.open({}, () => {})).set("of a worker", "text");
      postMessage(null);`;
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
    return new Promise((resolve) => (worker.onmessage = resolve));
  });
  await page.waitForFunction(async () => {
    const { Kept } = await import("/kept.js");
    return (await Kept.open({}, () => {})).get("of a worker") === "text";
  });
  assert.deepEqual((await known()).texts, { ...texts, "of a worker": "text" });
});

test("logits and greedy tokens are the reference's", async () => {
  const { logits, tokens } = await page.evaluate(async ([model, ids, n]) => {
    const { Quern } = await import("/quern.js");
    const quern = await Quern.load(model, { session: { ctx: 256, precision: "exact" }, device: { selfTest: false } });
    const { data } = await quern.session.logits(ids);
    const tokens = [];
    for await (const { token } of quern.generate(ids, { sampling: { temperature: 0 }, maxTokens: n })) if (token >= 0) tokens.push(token);
    await quern.close();
    return { logits: Array.from(data), tokens };
  }, [BUILT_IN, short.ids, short.greedy.length]);
  assert.equal(logits.length, 4096);
  assert.ok(worstOf(logits) < 2e-3, `off by ${worstOf(logits)}`);
  assert.deepEqual(tokens, short.greedy);
});

test("memory that runs out is told with the numbers, and something smaller loads afterwards", async () => {
  const found = await page.evaluate(async (model) => {
    const { Quern } = await import("/quern.js");
    const session = { ctx: 1024, precision: "exact" };
    const load = (device, more) => Quern.load(model, { session, ...more, device: { selfTest: false, ...device } });
    const errorOf = (device) => load(device).then((quern) => quern.close(), ({ name, code, message, details }) => ({ name, code, message, details }));
    const first = await load({}, { session: { ctx: 64 } });
    const { memory } = await Quern.inspect(model, { session, deviceInfo: first.device });
    const errors = [];
    for (const device of [{ gpuMemory: 1e6 }, { gpuMemory: memory.total - 1e6 }, { failAllocationAfter: 1e6 }]) errors.push(await errorOf(device));
    const smaller = await load({ gpuMemory: memory.total - 1e6 }, { session: { ctx: 128 } });
    const text = await smaller.generate("Once upon a time", { sampling: { temperature: 0 }, maxTokens: 4 }).text();
    await smaller.close();
    const whole = await load({});
    const { memory: taken } = await whole.info();
    await Promise.all([first.close(), whole.close()]);
    return { memory, errors, text, taken: taken.gpuBytes };
  }, BUILT_IN);
  assert.equal(found.taken, found.memory.total, "as it was predicted");
  assert.ok(found.text.length > 0);
  for (const { name, code, details } of found.errors) {
    assert.deepEqual([name, code], ["QuernError", "gpu memory"]);
    assert.ok(details.neededBytes > (details.gpuLimitBytes ?? 1e6) && details.neededBytes <= found.memory.total, JSON.stringify(details));
  }
  assert.deepEqual(found.errors.map(({ details }) => details.gpuLimitBytes), [1e6, found.memory.total - 1e6, null]);
});

/** What the GPU process and the page's heap hold, after collection. */
async function held(cdp, browser) {
  await page.evaluate(() => globalThis.gc());
  const { usedSize, backingStorageSize } = await cdp.send("Runtime.getHeapUsage");
  const { processInfo } = await browser.send("SystemInfo.getProcessInfo");
  const { id } = processInfo.find(({ type }) => type === "GPU");
  return { heap: usedSize + backingStorageSize, gpu: bytesOf(id) };
}

test("loading and closing, again and again, leaves nothing behind", async () => {
  await page?.close();
  page = await openPage("blank.html");
  const cdp = await context.newCDPSession(page);
  const browser = await context.browser().newBrowserCDPSession();
  // The heap's size is without the memory of modules: whether they are collected, their instances tell.
  await page.evaluate(() => {
    globalThis.instances = [];
    const { instantiate } = WebAssembly;
    WebAssembly.instantiate = async (...options) => {
      const made = await instantiate(...options);
      globalThis.instances.push(new WeakRef(made.instance ?? made));
      return made;
    };
  });
  const rounds = [];
  for (let i = 0; i < ROUNDS; i++) {
    const text = await page.evaluate(async ([model, prompt]) => {
      const { Quern } = await import("/quern.js");
      // In the page's own thread, so that its heap is the one that is measured.
      const options = { worker: false, cache: false, session: { ctx: 64, precision: "exact" }, device: { selfTest: false } };
      globalThis.quern = await Quern.load(model, options);
      return globalThis.quern.generate(prompt, { sampling: { temperature: 0 }, maxTokens: 4 }).text();
    }, [BUILT_IN, PROMPT]);
    assert.ok(text.length > 0);
    const open = await held(cdp, browser);
    assert.deepEqual(await page.evaluate(async () => {
      const left = await globalThis.quern.close();
      delete globalThis.quern;
      return left;
    }), { objects: 0 });
    rounds.push({ open, ...(await held(cdp, browser)) });
  }
  const instances = await page.evaluate(() => globalThis.instances.map((instance) => instance.deref() === undefined));
  assert.equal(instances.length, rounds.length);
  assert.ok(instances.every(Boolean), "instances of the module are kept");
  const mb = (bytes) => (bytes / 1e6).toFixed(1);
  for (const part of ["heap", "gpu"])
    console.log(`# ${part}, MB when loaded/closed: ${rounds.map((round) => `${mb(round.open[part])}/${mb(round[part])}`).join(" ")}`);
  const [, second] = rounds; // the first one fills caches
  const last = rounds.at(-1);
  assert.ok(last.heap - second.heap < 1e6, "the page's heap grows");
  assert.ok(last.open.gpu - last.gpu > 10e6, "closing frees too little"); // a model and its session are 13 MB
  assert.ok(last.gpu - second.gpu < 5e6, "the GPU process grows");
});

test("no page complained", () => {
  // of the address that answered 404 above, Chromium tells the console
  assert.deepEqual(faults.filter((text) => !/404/.test(text)), []);
});
