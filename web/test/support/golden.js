// golden.js - what the built-in model says: its numbers from another program (models/quern-tales/logits.json), its text
// from a native run.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./build.js";

const MODELS = join(ROOT, "models/quern-tales");
const TIE = 0.01; // logits that are no further apart may change places
const MOST = 24; // tokens

/** `quern run -p "Once upon a time" --precision exact --temp 0.8 --top-p 0.9 --seed 7 -n 32` */
export const PROMPT = "Once upon a time";
export const SAMPLING = { temperature: 0.8, topP: 0.9, seed: 7 };
export const SAMPLED = " there was a mother and a daughter, a girl who had a mattress. The girl was so beautiful that she could neither eat nor drink. All";

const { prompts } = JSON.parse(readFileSync(join(MODELS, "logits.json"), "utf8"));
const { ids, last, greedy_ids: greedy, margin } = prompts.find(({ name }) => name === "short");
const bytes = readFileSync(join(MODELS, last));
const logits = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
const tie = margin.slice(0, MOST).findIndex((apart) => apart < TIE);

/** A prompt, the logits after it, and the greedy tokens up to the first tie. */
export const short = { ids, logits, greedy: greedy.slice(0, tie < 0 ? MOST : tie) };

/** How far logits are from the reference's, at most. @param {ArrayLike<number>} found of the model's vocabulary */
export const worstOf = (found) => Math.max(...logits.map((logit, i) => Math.abs(logit - found[i])));
