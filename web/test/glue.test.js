// glue.test.js - the functions of webgpu.h over WebGPU in JavaScript, called from C (glue.c), on Dawn.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openDawn } from "./support/dawn.js";
import { Program, enums, offsets } from "./support/program.js";

const { CopyDst, CopySrc, MapRead, MapWrite, QueryResolve, Storage, Uniform } = enums.WGPUBufferUsage;
const { WGPUErrorType: ErrorType, WGPUMapAsyncStatus: MapStatus, WGPUDeviceLostReason: Lost, WGPUErrorFilter } = enums;
const N = 1000;

/** @type {GPU} */
let gpu;
before(async () => {
  gpu = await openDawn();
});
after(() => {
  gpu = null; // Dawn ends its threads with it
});

/** A test on an opened program, which it has to leave without handles. */
function onDevice(name, body) {
  test(name, async () => {
    const program = await new Program(gpu).open();
    await body(program, program.c);
    program.close();
    assert.equal(program.webgpu.live(), 0, "handles are left");
    assert.deepEqual(program.errors, []);
  });
}

/** Lets promises that have settled call back. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

function addBuffers(program) {
  const a = program.floats(Array.from({ length: N }, (_, i) => i), Storage);
  const b = program.floats(Array.from({ length: N }, (_, i) => 2 * i), Storage);
  const scales = new Array(128).fill(0);
  [scales[0], scales[64]] = [1, 10]; // slots 0 and 1
  const k = program.floats(scales, Uniform);
  const out = program.c.make_buffer(4 * N, Storage | CopySrc | CopyDst, 0);
  program.c.add_open(k, a, b, out);
  return { k, a, b, out };
}

function releaseAll(program, buffers) {
  for (const buffer of Object.values(buffers)) program.c.release_buffer(buffer);
}

onDevice("an adapter tells what it is", async ({ memory, c }) => {
  const info = c.adapter_info(), at = offsets.WGPUAdapterInfo;
  const text = (field) => {
    const view = info + at[field];
    return memory.text(memory.word(view), memory.word(view + offsets.WGPUStringView.length));
  };
  assert.equal(text("architecture"), "swiftshader");
  assert.equal(memory.word(info + at.adapterType), enums.WGPUAdapterType.CPU);
  assert.equal(memory.word(info + at.backendType), enums.WGPUBackendType.WebGPU);
  const adapter = await gpu.requestAdapter();
  assert.equal(c.max_buffer(), adapter.limits.maxBufferSize);
});

onDevice("vector add, with dynamic offsets and timestamps", async (program, c) => {
  const buffers = addBuffers(program);
  const resolved = c.make_buffer(16, QueryResolve | CopySrc, 0);
  for (const [slot, k] of [[0, 1], [1, 10]]) {
    c.add_run(N, slot, 1, resolved);
    const sums = await program.read(buffers.out, N);
    assert.ok(sums.every((sum, i) => sum === i + 2 * i * k));
  }
  assert.equal(program.answer("error").calls, 0, program.answer("error").message);
  c.add_close();
  releaseAll(program, { ...buffers, resolved });
});

onDevice("memory grows between calls and in callbacks", async (program, c) => {
  const buffers = addBuffers(program);
  c.grow_in_callbacks(3);
  c.grow(5);
  c.add_run(N, 0, 1, 0);
  const sums = await program.read(buffers.out, N);
  assert.ok(sums.every((sum, i) => sum === 3 * i));
  c.grow_in_callbacks(0);
  c.add_close();
  releaseAll(program, buffers);
});

onDevice("memory over 2 GiB, whose addresses are negative to JavaScript", async (program, c) => {
  for (let i = 0; i < 2; i++) assert.notEqual(program.memory.allocate(0x44000000), 0);
  assert.ok(program.memory.allocate(1 << 20) > 2 ** 31);
  const buffers = addBuffers(program);
  c.add_run(N, 1, 1, 0);
  const sums = await program.read(buffers.out, N);
  assert.ok(sums.every((sum, i) => sum === i + 20 * i));
  const label = program.string("fn broken( {");
  assert.ok(label > 2 ** 31);
  c.compile(label);
  assert.match((await program.until("error")).message, /WGSL/);
  c.add_close();
  releaseAll(program, buffers);
});

onDevice("queue writes, clears, and work that is done", async (program, c) => {
  const buffer = program.floats([1, 2, 3, 4], CopyDst | CopySrc);
  const data = program.memory.allocate(8);
  program.memory.setWord(data, 0x40a00000); // 5.0
  program.memory.setWord(data + 4, 0x40c00000); // 6.0
  c.write_buffer(buffer, 4, data, 8);
  assert.deepEqual(await program.read(buffer, 4), [1, 5, 6, 4]);
  c.clear(buffer, 8, 4);
  assert.deepEqual(await program.read(buffer, 4), [1, 5, 0, 4]);
  c.clear(buffer, 4, -1);
  assert.deepEqual(await program.read(buffer, 4), [1, 0, 0, 0]);
  c.when_done();
  assert.equal((await program.until("finished")).status, enums.WGPUQueueWorkDoneStatus.Success);
  c.write_buffer(buffer, 0, data, 6); // not a multiple of 4: an exception in JavaScript
  assert.equal((await program.until("error")).type, ErrorType.Validation);
  c.release_buffer(buffer);
});

onDevice("a part of a buffer is mapped for writing and the rest keeps its value", async (program, c) => {
  const ring = c.make_buffer(64, MapWrite | CopySrc, 1);
  const first = c.range(ring, 0, 64);
  new Float32Array(program.memory.u8.buffer, first, 16).fill(1);
  assert.equal(c.range(ring, 0, 64), first, "the same range is the same memory");
  c.unmap(ring);
  assert.equal(c.range(ring, 0, 64), 0, "not mapped any more");
  c.map(ring, enums.WGPUMapMode.Write, 16, 32);
  assert.equal(c.range(ring, 16, 32), 0, "not mapped yet");
  assert.equal((await program.until("mapped")).status, MapStatus.Success);
  assert.equal(c.range(ring, 0, 64), 0, "more than is mapped");
  new Float32Array(program.memory.u8.buffer, c.range(ring, 24, 8), 2).fill(2);
  c.unmap(ring);
  const out = c.make_buffer(64, CopyDst | CopySrc, 0);
  c.copy(ring, 0, out, 0, 64);
  assert.deepEqual(await program.read(out, 16), [1, 1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
  releaseAll(program, { ring, out });
});

onDevice("a mapping for reading is not one for writing, and one mapping at a time", async (program, c) => {
  const buffer = c.make_buffer(16, MapRead | CopyDst, 0);
  c.map(buffer, enums.WGPUMapMode.Read, 0, 16);
  c.map(buffer, enums.WGPUMapMode.Read, 0, 16);
  await program.until("mapped", 2);
  assert.equal(c.range(buffer, 0, 16), 0);
  assert.notEqual(c.const_range(buffer, 0, 16), 0);
  c.unmap(buffer);
  c.release_buffer(buffer);
});

onDevice("unmapping, destroying and releasing end a mapping under way at once", async (program, c) => {
  for (const end of ["unmap", "destroy_buffer", "release_buffer"]) {
    const buffer = c.make_buffer(16, MapRead | CopyDst, 0), { calls } = program.answer("mapped");
    c.map(buffer, enums.WGPUMapMode.Read, 0, 16);
    c[end](buffer);
    assert.equal(program.answer("mapped").calls, calls + 1, end);
    assert.equal(program.answer("mapped").status, MapStatus.Aborted, end);
    if (end !== "release_buffer") c.release_buffer(buffer);
    await settle();
    assert.equal(program.answer("mapped").calls, calls + 1, `${end}: called once`);
  }
});

onDevice("bad WGSL, and commands that are not allowed, reach the error callback", async (program, c) => {
  c.compile(program.string("fn broken( {"));
  const bad = await program.until("error");
  assert.equal(bad.type, ErrorType.Validation);
  assert.match(bad.message, /WGSL/);
  const small = c.make_buffer(16, CopySrc, 0), large = c.make_buffer(64, CopyDst, 0);
  c.copy(small, 0, large, 0, 64);
  await program.until("error", 2);
  assert.match(program.answer("error").message, /size|range|invalid/i);
  releaseAll(program, { small, large });
});

onDevice("pipelines compiled asynchronously", async (program, c) => {
  const { Success, ValidationError } = enums.WGPUCreatePipelineAsyncStatus;
  const code = program.string("@compute @workgroup_size(1) fn main() {}");
  c.compile_async(code, program.string("main"));
  assert.equal((await program.until("pipeline")).status, Success);
  c.release_compiled();
  c.compile_async(code, program.string("other"));
  assert.equal((await program.until("pipeline", 2)).status, ValidationError);
  assert.notEqual(program.answer("pipeline").message, "");
  c.release_compiled();
});

onDevice("error scopes catch what is theirs, exceptions too", async (program, c) => {
  c.push_scope(WGPUErrorFilter.Validation);
  c.compile(program.string("fn broken( {"));
  c.pop_scope();
  assert.equal((await program.until("popped")).type, ErrorType.Validation);
  c.push_scope(WGPUErrorFilter.Validation);
  c.write_buffer(0, 0, 0, 2); // no such buffer: an exception of the glue
  c.pop_scope();
  assert.equal((await program.until("popped", 2)).type, ErrorType.Validation);
  c.push_scope(WGPUErrorFilter.OutOfMemory);
  c.pop_scope();
  assert.equal((await program.until("popped", 3)).type, ErrorType.NoError);
  assert.equal(program.answer("error").calls, 0);
});

onDevice("a buffer that is too large is an error and no exception", async (program, c) => {
  const buffer = c.make_buffer(2 ** 52, Storage, 0);
  await program.until("error");
  if (buffer) c.release_buffer(buffer);
});

onDevice("device.destroy() while a mapping is pending", async (program, c) => {
  const buffer = c.make_buffer(16, MapRead | CopyDst, 0);
  c.map(buffer, enums.WGPUMapMode.Read, 0, 16);
  c.destroy_device();
  assert.notEqual((await program.until("mapped")).status, MapStatus.Success);
  const lost = await program.until("lost");
  assert.equal(lost.status, Lost.Destroyed);
  assert.equal(lost.type, 1, "the device's handle is still C's");
  c.map(buffer, enums.WGPUMapMode.Read, 0, 16); // of a lost device
  assert.notEqual((await program.until("mapped", 2)).status, MapStatus.Success);
  assert.equal(c.const_range(buffer, 0, 16), 0);
  c.when_done();
  await program.until("finished");
  c.release_buffer(buffer);
});

onDevice("a lost device with a mapped buffer", async (program, c) => {
  const buffer = c.make_buffer(16, MapWrite | CopySrc, 1);
  const at = c.range(buffer, 0, 16);
  c.destroy_device();
  await program.until("lost");
  program.memory.setWord(at, 1); // still C's memory
  c.unmap(buffer);
  c.release_buffer(buffer);
});

test("releasing the device calls back all it owes, once, before it returns", async () => {
  const program = await new Program(gpu).open(), { c } = program;
  const buffer = c.make_buffer(16, MapRead | CopyDst, 0);
  c.map(buffer, enums.WGPUMapMode.Read, 0, 16);
  c.when_done();
  c.push_scope(WGPUErrorFilter.Validation);
  c.pop_scope();
  c.compile_async(program.string("@compute @workgroup_size(1) fn main() {}"), program.string("main"));
  c.release_device();
  const kinds = ["mapped", "finished", "popped", "pipeline", "lost"];
  const told = () => kinds.map((kind) => [kind, program.answer(kind).calls]);
  assert.deepEqual(told(), kinds.map((kind) => [kind, 1]));
  assert.equal(program.answer("finished").status, enums.WGPUQueueWorkDoneStatus.CallbackCancelled);
  assert.equal(program.answer("lost").type, 0, "no handle any more");
  c.release_buffer(buffer); // objects may outlive their device
  c.release_instance();
  await settle();
  assert.deepEqual(told(), kinds.map((kind) => [kind, 1]));
  assert.equal(program.webgpu.live(), 0);
});

test("releasing the instance cancels what it was asked for", async () => {
  const asked = new Program(gpu);
  asked.c.open_instance();
  asked.c.request_adapter(enums.WGPUCallbackMode.AllowSpontaneous);
  asked.c.release_instance();
  assert.equal(asked.answer("adapter").status, enums.WGPURequestAdapterStatus.CallbackCancelled);

  const program = new Program(gpu);
  program.c.open_instance();
  program.c.request_adapter(enums.WGPUCallbackMode.AllowSpontaneous);
  await program.until("adapter");
  program.c.request_device(0);
  program.c.release_instance();
  assert.equal(program.answer("device").status, enums.WGPURequestDeviceStatus.CallbackCancelled);
  await settle();
  for (const { answer, webgpu } of [asked, program]) assert.equal(webgpu.live(), 0, answer);
  assert.equal(asked.answer("adapter").calls, 1);
  assert.equal(program.answer("device").calls, 1);
});

test("callbacks of AllowProcessEvents wait for wgpuInstanceProcessEvents", async () => {
  const program = new Program(gpu), { c } = program;
  c.open_instance();
  c.request_adapter(enums.WGPUCallbackMode.AllowProcessEvents);
  while (program.events === 0) await settle();
  assert.equal(program.answer("adapter").calls, 0);
  c.process_events();
  assert.equal(program.answer("adapter").status, enums.WGPURequestAdapterStatus.Success);
  c.release_instance();
  assert.equal(program.webgpu.live(), 0);
});

test("no WebGPU, no adapter, no such device", async () => {
  const { Unavailable, Success } = enums.WGPURequestAdapterStatus;
  for (const none of [undefined, { requestAdapter: async () => null }]) {
    const program = new Program(none);
    program.c.open_instance();
    program.c.request_adapter(enums.WGPUCallbackMode.AllowSpontaneous);
    assert.equal((await program.until("adapter")).status, Unavailable);
    assert.notEqual(program.answer("adapter").message, "");
    program.c.release_instance();
  }
  const program = new Program(gpu);
  program.c.open_instance();
  program.c.request_adapter(enums.WGPUCallbackMode.AllowSpontaneous);
  assert.equal((await program.until("adapter")).status, Success);
  program.c.request_device(1);
  const refused = await program.until("device");
  assert.equal(refused.status, enums.WGPURequestDeviceStatus.Error);
  assert.match(refused.message, /limit/i);
  assert.equal(program.answer("lost").status, Lost.FailedCreation);
  program.c.release_instance();
  assert.equal(program.webgpu.live(), 0);
});

test("a module that is given up is never called again", async () => {
  const program = await new Program(gpu).open(), { c } = program;
  const buffer = c.make_buffer(16, MapRead | CopyDst, 0);
  c.map(buffer, enums.WGPUMapMode.Read, 0, 16);
  c.when_done();
  program.webgpu.abandon();
  await settle();
  assert.deepEqual(["mapped", "finished", "lost"].map((kind) => program.answer(kind).calls), [0, 0, 0]);
  assert.equal(program.webgpu.live(), 0);
});

onDevice("after settled() the errors of what was called are there", async (program, c) => {
  c.compile(program.string("fn broken( {"));
  await program.webgpu.settled();
  assert.equal(program.answer("error").calls, 1);
  c.destroy_device();
  await program.webgpu.settled();
});

/** WebGPU that does nothing: what is left is the glue's own time. */
function nullGpu() {
  const nothing = () => {};
  const pass = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
  const encoder = { beginComputePass: () => pass, finish: () => ({}) };
  const device = {
    lost: new Promise(nothing),
    queue: {},
    destroy: nothing,
    createCommandEncoder: () => encoder,
    createBuffer: ({ size }) => ({ getMappedRange: () => new ArrayBuffer(size), unmap: nothing }),
  };
  for (const name of ["BindGroupLayout", "PipelineLayout", "ShaderModule", "ComputePipeline", "BindGroup", "QuerySet"])
    device[`create${name}`] = () => ({});
  const adapter = { limits: {}, features: new Set(), requestDevice: async () => device };
  return { requestAdapter: async () => adapter };
}

test("the glue itself takes less than 2 us a dispatch", async (t) => {
  const program = await new Program(nullGpu()).open(), { c } = program;
  const buffers = addBuffers(program), dispatches = 150, rounds = 1000;
  c.encode(dispatches * rounds);
  const start = performance.now();
  for (let i = 0; i < rounds; i++) c.encode(dispatches);
  const us = ((performance.now() - start) * 1000) / (rounds * dispatches);
  t.diagnostic(`${us.toFixed(3)} us a dispatch`);
  assert.ok(us < 2, `${us} us`);
  c.add_close();
  releaseAll(program, buffers);
  program.close();
  assert.equal(program.webgpu.live(), 0);
});
