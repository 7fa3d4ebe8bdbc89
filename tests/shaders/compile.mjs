// compile.mjs - compiles the kernels that tests/shaders/test_sources.c wrote, with whatever WebGPU there is: in Node and in
// pages.

/** As src/gpu/kernel.c lays bindings out. */
function layout(on, access) {
  const entries = [{ binding: 0, buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: 256 } }];
  for (const letter of access)
    entries.push({ binding: entries.length, buffer: { type: letter === "w" ? "storage" : "read-only-storage" } });
  for (const entry of entries) entry.visibility = GPUShaderStage.COMPUTE;
  return on.createPipelineLayout({ bindGroupLayouts: [on.createBindGroupLayout({ entries })] });
}

const fits = (kernel, { limits }) =>
  kernel.invocations <= limits.maxComputeInvocationsPerWorkgroup &&
  kernel.workgroup_bytes <= limits.maxComputeWorkgroupStorageSize;

/** A device with core limits, or with the adapter's own (an adapter makes one device only). */
async function open(gpu, limits) {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("there is no adapter");
  return adapter.requestDevice({
    requiredFeatures: ["shader-f16", "subgroups"].filter((f) => adapter.features.has(f)),
    requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
  });
}

/** What is wrong with a kernel (lines of text, none when nothing is), and what could not be tried. */
async function compile(kernel, code, { core, large, pipeline }) {
  for (const [line, feature] of [["enable f16;", "shader-f16"], ["enable subgroups;", "subgroups"]])
    if (code.includes(line) && !core.features.has(feature)) return { wrong: [], skipped: `without ${feature}` };
  const device = fits(kernel, core) ? core : large;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const wrong = messages.map((m) => `${kernel.file}:${m.lineNum}:${m.linePos}: ${m.type}: ${m.message}`);
  if (pipeline && fits(kernel, device) && !messages.some((m) => m.type === "error"))
    device.createComputePipeline({
      layout: layout(device, kernel.access),
      compute: { module, entryPoint: kernel.entry },
    });
  const error = await device.popErrorScope();
  if (error && wrong.length === 0) wrong.push(`${kernel.file}: ${error.message}`);
  return { wrong, skipped: fits(kernel, device) ? null : "module only, the pipeline passes this adapter's limits" };
}

/** Throws unless a kernel is refused: a compiler that takes it checks nothing. */
async function refuse(device, [what, code, invocations = 1]) {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: `@compute @workgroup_size(${invocations}) fn main(${code}` });
  device.createComputePipeline({ layout: layout(device, ""), compute: { module, entryPoint: "main" } });
  if (!(await device.popErrorScope())) throw new Error(`this WebGPU takes ${what}`);
}

/**
 * @param {GPU} gpu
 * @param {object[]} kernels of kernels.json
 * @param {object} options
 * @param {(file: string) => string} options.text
 * @param {[string, string, number?][]} options.refused what it is, code behind `fn main(`, invocations: none may compile
 * @param {boolean} options.everyPipeline of each kernel, not of one kernel a row
 * @returns {Promise<{failed: [string, string[]][], skipped: [string, string[]][]}>} rows and what is wrong with their
 *     kernels; what could not be tried, and the rows
 */
export async function compileAll(gpu, kernels, { text, refused, everyPipeline }) {
  const core = await open(gpu, []);
  const large = await open(gpu, ["maxComputeWorkgroupStorageSize", "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX"]);
  for (const kernel of refused) await refuse(core, kernel);
  const failed = new Map(), skipped = new Map(), seen = new Set();
  for (const kernel of kernels) {
    const pipeline = everyPipeline || !seen.has(kernel.row);
    seen.add(kernel.row);
    const { wrong, skipped: why } = await compile(kernel, text(kernel.file), { core, large, pipeline });
    if (wrong.length) failed.set(kernel.row, [...(failed.get(kernel.row) ?? []), wrong.join("\n")]);
    if (why) skipped.set(why, (skipped.get(why) ?? new Set()).add(kernel.row));
  }
  return { failed: [...failed], skipped: [...skipped].map(([why, rows]) => [why, [...rows]]) };
}
