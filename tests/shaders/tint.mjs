// Compiles the kernels that tests/shaders/test_sources.c wrote with Tint, through Dawn for Node:
//
//   node tint.mjs FOLDER PACKAGE [BACKEND]
//
// PACKAGE: the unpacked npm package webgpu. BACKEND: "null" (default) checks as every backend does, has all features
// and needs no driver; "vulkan" compiles with the driver that VK_ICD_FILENAMES names.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, webgpu, backend = "null"] = process.argv.slice(2);
const { create, globals } = await import(pathToFileURL(join(webgpu, "index.js")));
Object.assign(globalThis, globals);

const gpu = create([`backend=${backend}`]);
/** A device with core limits, or with the adapter's own (an adapter makes one device only). */
async function open(limits) {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error(`Dawn has no adapter for backend=${backend}`);
  return adapter.requestDevice({
    requiredFeatures: ["shader-f16", "subgroups"].filter((f) => adapter.features.has(f)),
    requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
  });
}
const core = await open([]);
const large = await open(["maxComputeWorkgroupStorageSize", "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX"]);
const fits = (kernel, { limits }) =>
  kernel.invocations <= limits.maxComputeInvocationsPerWorkgroup &&
  kernel.workgroup_bytes <= limits.maxComputeWorkgroupStorageSize;

/** As src/gpu/kernel.c lays bindings out. */
function layout(on, access) {
  const entries = [{ binding: 0, buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: 256 } }];
  for (const letter of access)
    entries.push({ binding: entries.length, buffer: { type: letter === "w" ? "storage" : "read-only-storage" } });
  for (const entry of entries) entry.visibility = GPUShaderStage.COMPUTE;
  return on.createPipelineLayout({ bindGroupLayouts: [on.createBindGroupLayout({ entries })] });
}

/** What is wrong with a kernel (lines of text, none when nothing is), and what could not be tried. */
async function compile(kernel) {
  const code = readFileSync(join(folder, kernel.file), "utf8");
  for (const [line, feature] of [["enable f16;", "shader-f16"], ["enable subgroups;", "subgroups"]])
    if (code.includes(line) && !core.features.has(feature)) return { wrong: [], skipped: `without ${feature}` };
  const device = fits(kernel, core) ? core : large;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const wrong = messages.map((m) => `${kernel.file}:${m.lineNum}:${m.linePos}: ${m.type}: ${m.message}`);
  if (fits(kernel, device) && !messages.some((m) => m.type === "error"))
    device.createComputePipeline({
      layout: layout(device, kernel.access),
      compute: { module, entryPoint: kernel.entry },
    });
  const error = await device.popErrorScope();
  if (error && wrong.length === 0) wrong.push(`${kernel.file}: ${error.message}`);
  return { wrong, skipped: fits(kernel, device) ? null : "module only, the pipeline passes this adapter's limits" };
}

/** Asserts that the compiler refuses what Chromium refuses: else it would check nothing. */
async function refuses(what, code, invocations = 1) {
  core.pushErrorScope("validation");
  const module = core.createShaderModule({ code: `@compute @workgroup_size(${invocations}) fn main(${code}` });
  core.createComputePipeline({ layout: layout(core, ""), compute: { module, entryPoint: "main" } });
  if (!(await core.popErrorScope())) throw new Error(`this Dawn takes ${what}`);
}
await refuses("unlike operators without parentheses", ") { let x = 1u | 2u << 3u; }");
await refuses("a barrier that some may miss",
  "@builtin(local_invocation_index) i: u32) { if (i == 0u) { workgroupBarrier(); } }", 64);
await refuses("512 invocations", ") {}", 512);

const kernels = JSON.parse(readFileSync(join(folder, "kernels.json"), "utf8"));
const failed = new Map(), skipped = new Map();
for (const kernel of kernels) {
  const { wrong, skipped: why } = await compile(kernel);
  if (wrong.length) failed.set(kernel.row, [...(failed.get(kernel.row) ?? []), wrong.join("\n")]);
  if (why) skipped.set(why, (skipped.get(why) ?? new Set()).add(kernel.row));
}
for (const [row, texts] of failed) console.log(`${row} (${texts.length} of its kernels), the first:\n${texts[0]}\n`);
for (const [why, rows] of skipped) console.log(`${why}: ${[...rows].join(" ")}`);
console.log(`Dawn, backend ${backend}: ${kernels.length} kernels, ${failed.size} rows fail`);
process.exitCode = failed.size ? 1 : 0;
