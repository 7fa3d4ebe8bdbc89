// native.js - programs of the native build, which the browser's part is compared with: the command line, and the tool
// that writes models with random weights.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT, temporaryFolder } from "./build.js";

const BUILD = process.env.QN_BUILD_DIR ?? join(ROOT, "build");
const QUERN = process.env.QUERN ?? join(BUILD, "quern");
const GENERATOR = join(BUILD, "tools/gen_gguf");

export const hasNative = existsSync(QUERN) && existsSync(GENERATOR);

/** What the command prints; a line of its standard input each. On the native software driver, not Chromium's. */
export function quern(args, lines = []) {
  const { VK_ICD_FILENAMES, ...env } = process.env;
  return execFileSync(QUERN, args.map(String), { input: lines.join("\n"), env, encoding: "utf8", stdio: ["pipe", "pipe", "ignore"] });
}

/**
 * The path of a small model with Llama 3's tokenizer and chat template, removed when the process ends. Its weights are
 * random, and so is what it says; of this seed it ends its answer to TALK's first line by itself.
 */
export function chatModel() {
  const path = join(temporaryFolder(), "random-llama.gguf");
  execFileSync(GENERATOR, ["--seed", "11", "-o", path]);
  return path;
}

export const TALK = ["Tell me a story.", "And then?"];
export const SYSTEM = "Be brief.";
export const MOST = 24; // tokens of an answer
export const EXACT = ["--precision", "exact", "--temp", 0, "-n", MOST];

/** What `quern chat` answers to TALK: the first line alone tells where its answer, which may have line breaks, ends. */
export function answersOf(model) {
  const talk = (lines) => quern(["chat", "-m", model, ...EXACT, "--system", SYSTEM], lines);
  const first = talk(TALK.slice(0, 1));
  return [first, talk(TALK).slice(first.length)].map((text) => text.replace(/\n$/, ""));
}
