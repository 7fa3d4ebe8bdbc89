// speed.js - Chromium against the native build, both on Chromium's SwiftShader: time of a token and of a prompt, and how
// long a page takes to its first token. Not a test; prints a table for docs/performance.md:
//   scripts/with_node.sh node web/test/speed.js [runs of each side, in turns]
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./support/build.js";
import { openChromium } from "./support/chromium.js";
import { serveFolder } from "./support/server.js";

const ICD = process.env.QN_SWIFTSHADER ?? "/usr/lib/chromium/vk_swiftshader_icd.json";
const MODEL = join(ROOT, "models/quern-tales/quern-tales-q4_0.gguf");
const [PROMPT, TOKENS, TURNS] = [128, 64, Number(process.argv[2] ?? 2)];
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

function native() {
  const options = ["bench", "-m", MODEL, "-p", PROMPT, "-n", TOKENS, "-r", 3, "--precision", "exact", "--json"];
  const env = { ...process.env, VK_ICD_FILENAMES: ICD, VK_DRIVER_FILES: ICD, XDG_RUNTIME_DIR: "/tmp" };
  const { tests, device } = JSON.parse(execFileSync(join(ROOT, "build/quern"), options, { env }));
  return { device, rates: tests.map((test) => test.median_tokens_per_second) };
}

async function inChromium(server) {
  const context = await openChromium();
  const page = await context.newPage();
  await page.goto(new URL("blank.html", server.url).href);
  const found = await page.evaluate(async ([prompt, generate]) => {
    const started = performance.now();
    const { Quern } = await import("/quern.js");
    const quern = await Quern.load("/models/quern-tales-q4_0.gguf", { session: { precision: "exact" } });
    const loaded = performance.now() - started;
    const first = await new Promise((resolve) => quern.generate("Once", { maxTokens: 1, onToken: () => resolve(performance.now() - started) }));
    const { device, results } = await quern.bench({ prompt: [prompt], generate: [generate], runs: 3, precision: "exact" });
    await quern.close();
    return { device, loaded, first, rates: results.map((result) => result.tokensPerSecond) };
  }, [PROMPT, TOKENS]);
  await context.close();
  return found;
}

if (!existsSync(ICD)) throw new Error(`${ICD} is missing: name Chromium's SwiftShader driver in QN_SWIFTSHADER`);
const blank = { bytes: Buffer.from("<!doctype html><title>blank</title>"), headers: { "content-type": "text/html" } };
const server = await serveFolder(join(ROOT, "web/dist"), { "/blank.html": blank });
const turns = [];
for (let i = 0; i < TURNS; i++) turns.push({ native: native(), chromium: await inChromium(server) });
await server.close();
console.log(`${turns[0].native.device} natively, ${turns[0].chromium.device} in Chromium; medians of ${TURNS} x 3 runs`);
console.log("| test | native tok/s | Chromium tok/s | native / Chromium |\n| --- | --- | --- | --- |");
[`prompt ${PROMPT}`, `generation ${TOKENS}`].forEach((name, i) => {
  const [n, c] = ["native", "chromium"].map((side) => median(turns.map((turn) => turn[side].rates[i])));
  console.log(`| ${name} | ${n.toFixed(1)} | ${c.toFixed(1)} | ${(n / c).toFixed(2)} |`);
});
const seconds = (key) => (median(turns.map((turn) => turn.chromium[key])) / 1000).toFixed(2);
console.log(`in Chromium: loaded after ${seconds("loaded")} s, first token after ${seconds("first")} s`);
