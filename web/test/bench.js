// bench.js - the build for browsers in Node, on Dawn and whatever GPU there is: what browsers' WebGPU makes of the kernels.
// Not a test:
//   scripts/with_node.sh node web/test/bench.js -m model.gguf -p 512,2048 -n 128 [--help]
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "./support/build.js";
import { createDawn } from "./support/dawn.js";
import { load } from "./support/dist.js";

const HELP = `usage: node web/test/bench.js [options]

  -m, --model FILE        GGUF file (the built-in model)
  -p, --prompt N,N..      prompts of N tokens (512; 0: none)
  -n, --generate N,N..    N tokens one by one (128; 0: none)
  -d, --depth N           after so many tokens (0)
  -r, --runs N            median of so many runs (5)
      --precision P       auto or exact (auto)
      --kv T              f32, f16 or q8_0
      --baseline          core WebGPU only
      --profile           GPU time of each kernel, of one more run
      --perplexity FILE   of a text, too
      --no-self-test      without the trial of kernels at load
      --on T, --off T     toggles of Dawn, as timestamp_quantization; may be repeated`;

const { values: given } = parseArgs({
  options: {
    model: { type: "string", short: "m", default: join(ROOT, "models/quern-tales/quern-tales-q4_0.gguf") },
    prompt: { type: "string", short: "p", default: "512" },
    generate: { type: "string", short: "n", default: "128" },
    depth: { type: "string", short: "d", default: "0" },
    runs: { type: "string", short: "r", default: "5" },
    precision: { type: "string", default: "auto" },
    kv: { type: "string" },
    baseline: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
    perplexity: { type: "string" },
    "no-self-test": { type: "boolean", default: false },
    on: { type: "string", multiple: true, default: [] },
    off: { type: "string", multiple: true, default: [] },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (given.help) {
  console.log(HELP);
  process.exit(0);
}
const numbers = (text) => text.split(",").map(Number).filter((n) => n > 0);
const bench = {
  prompt: numbers(given.prompt), generate: numbers(given.generate), depth: Number(given.depth), runs: Number(given.runs),
  precision: given.precision, kv: given.kv, profile: given.profile,
};

const toggles = [["enable", ["allow_unsafe_apis", ...given.on]], ["disable", given.off]];
const gpu = await createDawn(
  ...toggles.filter(([, names]) => names.length).map(([does, names]) => `${does}-dawn-features=${names.join(",")}`));
const { Quern } = await load("quern.js");
const file = await open(given.model);
const started = performance.now();
const seconds = () => ((performance.now() - started) / 1000).toFixed(2);
const quern = await Quern.load(file, {
  gpu, device: { baseline: given.baseline, selfTest: !given["no-self-test"] }, session: { precision: given.precision, kv: given.kv },
});
const { device } = await quern.info();
console.log(`${device.name}, ${device.driver}; loaded after ${seconds()} s`);
await quern.generate([1, 2, 3], { maxTokens: 1 }).result;
console.log(`first token after ${seconds()} s`);
if (given.perplexity) {
  const { perplexity, tokens } = await quern.perplexity(await readFile(given.perplexity, "utf8"), bench);
  console.log(`perplexity ${perplexity.toFixed(4)} over ${tokens} tokens`);
}
for (const { test, tokensPerSecond, rates, kernels } of (await quern.bench(bench)).results) {
  console.log(`${test.padEnd(8)} ${tokensPerSecond.toFixed(1).padStart(10)} tok/s  (${rates[0].toFixed(1)} to ${rates.at(-1).toFixed(1)})`);
  for (const { kernel, node, dispatches, milliseconds } of kernels ?? [])
    console.log(`  ${kernel.padEnd(26)} ${node.padEnd(28)} ${String(dispatches).padStart(6)} ${((1000 * milliseconds) / dispatches).toFixed(2).padStart(10)} us each`);
}
await quern.close();
process.exit(0); // Dawn keeps the process
