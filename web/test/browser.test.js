// browser.test.js - the whole of it in Chromium on SwiftShader: the demo page over web/dist from a plain server, and the
// API in a page. Pictures of the demo are kept in build-web/screenshots.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT } from "./support/build.js";
import { openChromium } from "./support/chromium.js";
import { serveFolder } from "./support/server.js";

const MODEL = join(ROOT, "web/dist/models/quern-tales-q4_0.gguf");
const BUILT_IN = "/models/quern-tales-q4_0.gguf";
const PICTURES = join(ROOT, "build-web/screenshots");
const PROMPT = "Once upon a time";
/** `quern run -p "Once upon a time" --precision exact --temp 0.8 --top-p 0.9 --seed 7 -n 32` */
const SAMPLED = " there was a mother and a daughter, a girl who had a mattress. The girl was so beautiful that she could neither eat nor drink. All";
const ROUNDS = Number(process.env.QN_ROUNDS ?? 16); // of loading and closing
const LOAD = { timeout: 120_000 }; // kernels are compiled one after another, on the processor

let context, server, page;
let whole; // the seeded answer of 160 tokens, undisturbed
const faults = []; // what the pages said of errors
const cutFile = {
  bytes: readFileSync(MODEL),
  etag: '"one"',
  cut: ({ n }) => (n === 1 ? 3_000_000 : undefined),
  status: (n) => (n === 2 ? 404 : 200), // and then the server forgets it for a while
};

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
const asked = (path) => server.requests.filter((request) => request === path).length;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  const blank = { bytes: Buffer.from("<!doctype html><title>blank</title>"), headers: { "content-type": "text/html" } };
  server = await serveFolder(join(ROOT, "web/dist"), { "/blank.html": blank, "/models/cut.gguf": cutFile });
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
  await letters(60);
  await picture("writing");
  await idle();
  whole = await answer().textContent();
  assert.ok(whole.startsWith(PROMPT + SAMPLED), whole);
  assert.match(await page.textContent("#s-rate"), /tok\/s/);
  assert.match(await page.textContent("#s-context"), /^16[45] of \d+$/);
  const longest = await page.evaluate(() => globalThis.longest);
  console.log(`# longest task of the page during an answer: ${longest} ms`);
  assert.ok(longest < 50);
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

test("pictures: both themes, desktop and phone", async () => {
  const settle = () => page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  for (const [name, width, height] of [["desktop", 1280, 800], ["phone", 390, 844]])
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      await settle();
      await picture(`${name}-${colorScheme}`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} scrolls sideways`);
    }
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
  assert.deepEqual([found.part.complete, found.part.stored], [false, 3_000_000]);
  assert.deepEqual([found.fileBytes, found.objects, found.whole.complete], [6345184, 0, true]);
  assert.deepEqual([found.phases, found.deleted], [["download", "load"], true]);
  assert.deepEqual(server.ranges["/models/cut.gguf"], ["all", "bytes=3000000-", "bytes=3000000-"]);
});

test("logits and greedy tokens are the reference's", async () => {
  const models = join(ROOT, "models/quern-tales");
  const golden = JSON.parse(readFileSync(join(models, "logits.json"))).prompts;
  const { ids, last, greedy_ids: greedy, margin } = golden.find(({ name }) => name === "short");
  const tie = margin.findIndex((m) => m < 0.01);
  const n = tie < 0 ? 24 : Math.min(tie, 24);
  const { logits, tokens } = await page.evaluate(async ([model, ids, n]) => {
    const { Quern } = await import("/quern.js");
    const quern = await Quern.load(model, { session: { ctx: 256, precision: "exact" }, device: { selfTest: false } });
    const { data } = await quern.session.logits(ids);
    const tokens = [];
    for await (const { token } of quern.generate(ids, { sampling: { temperature: 0 }, maxTokens: n })) if (token >= 0) tokens.push(token);
    await quern.close();
    return { logits: Array.from(data), tokens };
  }, [BUILT_IN, ids, n]);
  const bytes = readFileSync(join(models, last));
  const worst = Math.max(...logits.map((logit, i) => Math.abs(logit - bytes.readFloatLE(4 * i))));
  assert.equal(logits.length, 4096);
  assert.ok(worst < 2e-3, `off by ${worst}`);
  assert.deepEqual(tokens, greedy.slice(0, n));
});

/** What the GPU process and the page's heap hold, after collection. */
async function held(cdp, browser) {
  await page.evaluate(() => globalThis.gc());
  const { usedSize, backingStorageSize } = await cdp.send("Runtime.getHeapUsage");
  const { processInfo } = await browser.send("SystemInfo.getProcessInfo");
  const { id } = processInfo.find(({ type }) => type === "GPU");
  const [, resident] = /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, "utf8"));
  return { heap: usedSize + backingStorageSize, gpu: 1024 * Number(resident) };
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
