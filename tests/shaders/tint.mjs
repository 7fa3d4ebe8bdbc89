// Compiles the kernels that tests/shaders/test_sources.c wrote with Tint, through Dawn for Node:
//
//   node tint.mjs FOLDER PACKAGE [BACKEND]
//
// PACKAGE: the unpacked npm package webgpu. BACKEND: "null" (default) checks as every backend does, has all features
// and needs no driver; "vulkan" compiles with the driver that VK_ICD_FILENAMES names.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { compileAll } from "./compile.mjs";

const [folder, webgpu, backend = "null"] = process.argv.slice(2);
const { create, globals } = await import(pathToFileURL(join(webgpu, "index.js")));
Object.assign(globalThis, globals);

/** What Chromium refuses. */
const refused = [
  ["unlike operators without parentheses", ") { let x = 1u | 2u << 3u; }"],
  ["a barrier that some may miss", "@builtin(local_invocation_index) i: u32) { if (i == 0u) { workgroupBarrier(); } }", 64],
  ["512 invocations", ") {}", 512],
];

const gpu = create([`backend=${backend}`]);
const text = (file) => readFileSync(join(folder, file), "utf8");
const kernels = JSON.parse(text("kernels.json"));
const { failed, skipped } = await compileAll(gpu, kernels, { text, refused, everyPipeline: true });
for (const [row, texts] of failed) console.log(`${row} (${texts.length} of its kernels), the first:\n${texts[0]}\n`);
for (const [why, rows] of skipped) console.log(`${why}: ${rows.join(" ")}`);
console.log(`Dawn, backend ${backend}: ${kernels.length} kernels, ${failed.length} rows fail`);
process.exitCode = failed.length ? 1 : 0;
