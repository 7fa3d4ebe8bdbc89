// A model before it is loaded: what the head of its file says, and the GPU memory that it would take. Without a GPU.

import { QuernError, packError } from "./errors.js";
import { sizes } from "./layouts.js";
import { readStruct, writeStruct } from "./structs.js";
import { sessionOptions } from "./session.js";

/**
 * @param {import("./core.js").Core} core one that has no engine will do
 * @param {{size: number, take: Function}} source of which the first bytes are read
 * @param {{session?: object, device?: {gpuMemory?: number}, deviceInfo?: object}} options
 * @returns an Inspection of quern.d.ts, `problem` as packError has it
 */
export function inspectModel(core, source, options, signal) {
  return core.reading(source, async (struct, scratch) => {
    const out = scratch.words([0]);
    core.check("qn_inspector_open", 0, struct, out);
    const inspection = await core.made("inspector", core.memory.word(out), signal);
    try {
      const model = readStruct(core.memory, core.call("qn_inspect_info", inspection), "qn_model_info");
      const { memory, problem } = plan(core, inspection, scratch, options);
      const refused = problem ?? storageProblem(source.storage);
      return {
        model, types: typesOf(core, inspection), memory, storage: source.storage ?? null,
        problem: refused && packError(refused),
      };
    } finally {
      core.call("qn_inspect_close", inspection);
    }
  });
}

/** Bytes of the file by the type of its tensors. */
function typesOf(core, inspection) {
  const types = {};
  const n = core.call("qn_inspect_n_tensors", inspection);
  for (let i = 0; i < n; i++) {
    const { type, fileBytes } = readStruct(core.memory, core.call("qn_inspect_tensor", inspection, i), "qn_tensor_info");
    const name = core.memory.text(type);
    types[name] = (types[name] ?? 0) + fileBytes;
  }
  return types;
}

function plan(core, inspection, scratch, { session = {}, device = {}, deviceInfo }) {
  const { memory } = core;
  const wanted = scratch.struct("qn_session_options", sessionOptions(session));
  const info = deviceInfo ? scratch.bytes(sizes.qn_device_info) : 0;
  if (deviceInfo) writeStruct(memory, info, "qn_device_info", deviceInfo);
  const out = scratch.bytes(sizes.qn_memory_plan);
  const limit = device.gpuMemory ?? 0;
  let problem = null;
  try {
    core.check("qn_inspect_memory", inspection, info, wanted, BigInt(limit), out);
  } catch (error) {
    problem = error;
  }
  const found = readStruct(memory, out, "qn_memory_plan");
  if (problem?.code === "gpu memory")
    problem = new QuernError(problem.code, problem.message, { details: { neededBytes: found.total, gpuLimitBytes: limit } });
  return { memory: found.total ? found : null, problem };
}

const storageProblem = (storage) =>
  storage && storage.available !== null && storage.needed > storage.available
    ? new QuernError("quota", `it needs ${storage.needed} more bytes of storage, ${storage.available} are left`, { details: storage })
    : null;
