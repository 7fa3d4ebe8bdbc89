// A story in Node: node web/examples/node.mjs [MODEL] [PROMPT]. Needs `npm install webgpu`.
import { Quern } from "../dist/quern.js"; // installed from npm: from "quern"

const builtIn = new URL("../../models/quern-tales/quern-tales-q4_0.gguf", import.meta.url);
const [model = builtIn, prompt = "Once upon a time"] = process.argv.slice(2);

const quern = await Quern.load(model, { onLog: (_level, line) => console.error(line) });
process.stdout.write(prompt);
const answer = quern.generate(prompt, { maxTokens: 100 });
for await (const { text } of answer) process.stdout.write(text);
const { tokens, generationMs } = await answer.result;
console.error(`\n${((1000 * tokens) / generationMs).toFixed(1)} tokens/s on ${quern.device.name}`);
await quern.close();
