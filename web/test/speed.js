// speed.js - a browser against the native build on the same software Vulkan: time of a token and of a prompt, and how long a
// page takes to its first token. Not a test; prints a table for docs/performance.md:
//   scripts/with_node.sh node web/test/speed.js [chromium|firefox] [runs of each side, in turns]
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./support/build.js";
import { openChromium } from "./support/chromium.js";
import { RemotePage, openFirefox, softwareDriver } from "./support/firefox.js";
import { serveFolder } from "./support/server.js";

const SWIFTSHADER = process.env.QN_SWIFTSHADER ?? "/usr/lib/chromium/vk_swiftshader_icd.json";
const BROWSERS = {
  chromium: { name: "Chromium", driver: () => ({ VK_ICD_FILENAMES: SWIFTSHADER, VK_DRIVER_FILES: SWIFTSHADER }), inPage: inChromium },
  firefox: { name: "Firefox", driver: softwareDriver, inPage: inFirefox },
};
const MODEL = join(ROOT, "models/quern-tales/quern-tales-q4_0.gguf");
const [PROMPT, TOKENS, TURNS] = [128, 64, Number(process.argv[3] ?? 2)];
const { name, driver, inPage } = BROWSERS[process.argv[2] ?? "chromium"];
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

function native() {
  const options = ["bench", "-m", MODEL, "-p", PROMPT, "-n", TOKENS, "-r", 3, "--precision", "exact", "--json"];
  const env = { ...process.env, ...driver(), XDG_RUNTIME_DIR: "/tmp" };
  const { tests, device } = JSON.parse(execFileSync(join(ROOT, "build/quern"), options, { env }));
  return { device, rates: tests.map((test) => test.median_tokens_per_second) };
}

async function inChromium(dist) {
  const blank = { bytes: Buffer.from("<!doctype html><title>blank</title>"), headers: { "content-type": "text/html" } };
  const server = await serveFolder(dist, { "/blank.html": blank });
  const context = await openChromium();
  const page = await context.newPage();
  await page.goto(new URL("blank.html", server.url).href);
  const found = await measure(page);
  await context.close();
  await server.close();
  return found;
}

async function inFirefox(dist) {
  const page = new RemotePage();
  const server = await serveFolder(dist, {}, page.routes);
  const firefox = openFirefox(page, server);
  const found = await measure(page);
  await firefox.close();
  await server.close();
  return found;
}

const measure = (page) =>
  page.evaluate(async ([prompt, generate]) => {
    const started = performance.now();
    const { Quern } = await import("/quern.js");
    const quern = await Quern.load("/models/quern-tales-q4_0.gguf", { session: { precision: "exact" } });
    const loaded = performance.now() - started;
    const first = await new Promise((resolve) => quern.generate("Once", { maxTokens: 1, onToken: () => resolve(performance.now() - started) }));
    const { device, results } = await quern.bench({ prompt: [prompt], generate: [generate], runs: 3, precision: "exact" });
    await quern.close();
    return { device, loaded, first, rates: results.map((result) => result.tokensPerSecond) };
  }, [PROMPT, TOKENS]);

for (const file of Object.values(driver() ?? { none: "Mesa's software driver" }))
  if (!existsSync(file)) throw new Error(`${file} is missing (Chromium's SwiftShader driver may be named in QN_SWIFTSHADER)`);
const turns = [];
for (let i = 0; i < TURNS; i++) turns.push({ native: native(), page: await inPage(join(ROOT, "web/dist")) });
console.log(`${turns[0].native.device} natively, ${turns[0].page.device} in ${name}; medians of ${TURNS} x 3 runs`);
console.log(`| test | native tok/s | ${name} tok/s | native / ${name} |\n| --- | --- | --- | --- |`);
[`prompt ${PROMPT}`, `generation ${TOKENS}`].forEach((test, i) => {
  const [n, p] = ["native", "page"].map((side) => median(turns.map((turn) => turn[side].rates[i])));
  console.log(`| ${test} | ${n.toFixed(1)} | ${p.toFixed(1)} | ${(n / p).toFixed(2)} |`);
});
const seconds = (key) => (median(turns.map((turn) => turn.page[key])) / 1000).toFixed(2);
console.log(`in ${name}: loaded after ${seconds("loaded")} s, first token after ${seconds("first")} s`);
