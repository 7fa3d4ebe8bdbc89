// webgpu.js - the functions of webgpu.h that the core calls, over the browser's WebGPU.
//
// Handles are numbers of a table. Structs are read at the offsets that layouts.js has from the compiler. Structs by
// value arrive as addresses, but for WGPUFuture, whose one member is the value itself: uint64_t, a BigInt.
// JavaScript's exceptions never pass through C: they become errors of the device (device.js).
import { enums, offsets, types } from "./layouts.js";
import { Buffer } from "./webgpu/buffer.js";
import { Device } from "./webgpu/device.js";
import { Caller, Requests, readCallbackInfo } from "./webgpu/futures.js";
import { Handles } from "./webgpu/handles.js";
import { FEATURES, LIMITS, Reader, UNDEFINED, WORD } from "./webgpu/reader.js";

const SUCCESS = enums.WGPUStatus.Success;

const REFERENCE_COUNTED = [
  "Adapter", "BindGroup", "BindGroupLayout", "Buffer", "CommandBuffer", "CommandEncoder", "ComputePassEncoder",
  "ComputePipeline", "Device", "Instance", "PipelineLayout", "QuerySet", "Queue", "ShaderModule",
];

/** Architectures of GPUAdapterInfo that are programs. */
const SOFTWARE = new Set(["swiftshader", "llvmpipe", "warp"]);

/** What an instance of webgpu.h holds. */
class Instance {
  /** @type {(() => void)[]} callbacks for wgpuInstanceProcessEvents */
  ready = [];
  /** Those that C has not released. @type {Set<Device>} */
  devices = new Set();

  /** @param {Caller} caller @param {(error?: unknown) => void} onEvent */
  constructor(caller, onEvent) {
    this.requests = new Requests(caller, this.ready, onEvent);
  }

  processEvents() {
    for (const call of this.ready.splice(0)) call();
  }

  /** Calls back everything that is owed, its devices' callbacks too; a device that comes later is destroyed. */
  close() {
    this.requests.cancel();
    for (const device of this.devices) device.cancel();
    this.processEvents();
  }

  /** Calls nobody. */
  abandon() {
    this.requests.forget();
    for (const device of this.devices) device.abandon();
  }
}

/**
 * @typedef {object} WebGPU
 * @property {Record<string, Function>} imports the functions, by their names in webgpu.h
 * @property {() => number} live handles that C has not released
 * @property {() => Promise<void>} settled resolves when the GPU process answered for all that was asked of it so far, and
 *     what it had to say of errors was said
 * @property {() => void} abandon frees all GPU memory and calls C never again: for a module that trapped
 */

/**
 * @param {object} options
 * @param {GPU | undefined} options.gpu navigator.gpu, or the one of the npm package `webgpu`; without it there is no
 *     adapter
 * @param {import("./memory.js").Memory} options.memory attached before the module runs
 * @param {(error?: unknown) => void} options.onEvent called after every callback that a promise or an event brought; with
 *     the error when the module trapped in it
 * @returns {WebGPU}
 */
export function createWebGPU({ gpu, memory, onEvent }) {
  const handles = new Handles();
  const reader = new Reader(memory, handles);
  const caller = new Caller(memory);
  /** @type {Set<Instance>} */
  const instances = new Set();
  const context = { gpu, memory, onEvent, handles, reader, caller, instances, futures: 0n };
  const imports = {
    ...instanceFunctions(context),
    ...adapterFunctions(context),
    ...deviceFunctions(context),
    ...objectFunctions(context),
    ...bufferFunctions(context),
    ...encoderFunctions(context),
    ...passFunctions(context),
    ...queueFunctions(context),
  };
  for (const type of REFERENCE_COUNTED) {
    imports[`wgpu${type}AddRef`] = (handle) => handles.addRef(handle);
    imports[`wgpu${type}Release`] = (handle) => handles.release(handle);
  }
  const abandon = () => {
    for (const instance of instances) instance.abandon();
    instances.clear();
    handles.clear();
  };
  const settled = async () => {
    const devices = [...instances].flatMap((instance) => [...instance.devices]);
    await Promise.all(devices.map((device) => device.settled()));
  };
  return { imports, live: () => handles.live, settled, abandon };
}

function instanceFunctions(context) {
  const { gpu, memory, onEvent, handles, reader, caller, instances } = context;
  const { Success, Unavailable, Error: Failed, CallbackCancelled } = enums.WGPURequestAdapterStatus;
  return {
    wgpuCreateInstance(_descriptor) {
      const instance = new Instance(caller, onEvent);
      instances.add(instance);
      return handles.add(instance, instance, () => {
        if (instance.devices.size === 0) instances.delete(instance);
        instance.close();
      });
    },

    wgpuInstanceProcessEvents(handle) {
      handles.object(handle).processEvents();
    },

    wgpuInstanceRequestAdapter(handle, options, callbackInfo) {
      const instance = handles.object(handle);
      const info = readCallbackInfo(memory, callbackInfo, offsets.WGPURequestAdapterCallbackInfo);
      const request = instance.requests.open(info, [CallbackCancelled, 0]);
      const ask = async () => gpu && gpu.requestAdapter(reader.adapterOptions(options));
      const resolved = (adapter) => {
        if (adapter) return [[Success, handles.add(adapter, instance)], ""];
        return [[Unavailable, 0], gpu ? "there is no WebGPU adapter" : "there is no WebGPU here"];
      };
      const rejected = (error) => [[Failed, 0], error.message];
      instance.requests.follow(request, ask(), resolved, rejected);
      return ++context.futures;
    },
  };
}

function adapterFunctions(context) {
  const { memory, handles, reader, caller } = context;
  const { Success, Error: Failed, CallbackCancelled } = enums.WGPURequestDeviceStatus;
  const { FailedCreation } = enums.WGPUDeviceLostReason;
  const texts = ["vendor", "architecture", "device", "description"];

  /** @param {number} address where the WGPUStringView is @param {string} text */
  function giveText(address, text) {
    const given = text ? memory.allocateText(text) : { address: 0, size: 0 };
    memory.setWord(address + offsets.WGPUStringView.data, given.address);
    memory.setWord(address + offsets.WGPUStringView.length, given.size);
  }

  return {
    wgpuAdapterGetInfo(handle, out) {
      const { info, isFallbackAdapter } = handles.object(handle);
      const at = offsets.WGPUAdapterInfo;
      const software = info.isFallbackAdapter || isFallbackAdapter || SOFTWARE.has(info.architecture);
      for (const name of texts) giveText(out + at[name], info[name] ?? "");
      memory.setWord(out + at.backendType, enums.WGPUBackendType.WebGPU);
      memory.setWord(out + at.adapterType, software ? enums.WGPUAdapterType.CPU : enums.WGPUAdapterType.Unknown);
      memory.setWord(out + at.vendorID, 0);
      memory.setWord(out + at.deviceID, 0);
      memory.setWord(out + at.subgroupMinSize, info.subgroupMinSize ?? 0);
      memory.setWord(out + at.subgroupMaxSize, info.subgroupMaxSize ?? 0);
      return SUCCESS;
    },

    wgpuAdapterInfoFreeMembers(info) {
      for (const name of texts) {
        memory.free(memory.word(info + offsets.WGPUAdapterInfo[name] + offsets.WGPUStringView.data));
      }
    },

    /** Limits that this browser does not know stay undefined. */
    wgpuAdapterGetLimits(handle, out) {
      const { limits } = handles.object(handle);
      for (const name of LIMITS) {
        const value = limits[name], at = out + offsets.WGPULimits[name];
        if (types.WGPULimits[name] === "u32") {
          memory.setWord(at, value ?? UNDEFINED);
        } else {
          memory.setLong(at, value ?? 0);
          if (value === undefined) memory.bytes(at, 2 * WORD).fill(0xff);
        }
      }
      return SUCCESS;
    },

    wgpuAdapterHasFeature(handle, feature) {
      const name = FEATURES[feature];
      return name && handles.object(handle).features.has(name) ? 1 : 0;
    },

    wgpuAdapterRequestDevice(handle, descriptor, callbackInfo) {
      const { object: adapter, owner: instance } = handles.get(handle);
      const info = readCallbackInfo(memory, callbackInfo, offsets.WGPURequestDeviceCallbackInfo);
      const at = offsets.WGPUDeviceDescriptor;
      const lostAt = offsets.WGPUDeviceLostCallbackInfo, uncapturedAt = offsets.WGPUUncapturedErrorCallbackInfo;
      const nobody = { mode: info.mode, callback: 0, userdata1: 0, userdata2: 0 };
      const callbacks = {
        lost: descriptor ? readCallbackInfo(memory, descriptor + at.deviceLostCallbackInfo, lostAt) : nobody,
        uncaptured: descriptor
          ? readCallbackInfo(memory, descriptor + at.uncapturedErrorCallbackInfo, uncapturedAt)
          : nobody,
      };
      const request = instance.requests.open(info, [CallbackCancelled, 0]);
      const ask = async () => adapter.requestDevice(descriptor ? reader.device(descriptor) : undefined);
      const resolved = (object) => {
        const device = new Device(object, instance.requests.sibling(), caller, callbacks);
        instance.devices.add(device);
        device.handle = handles.add(object, device, () => {
          instance.devices.delete(device);
          device.close();
        });
        return [[Success, device.handle], ""];
      };
      const rejected = (error) => {
        caller.callOfDevice(callbacks.lost, 0, FailedCreation, error.message);
        return [[Failed, 0], error.message];
      };
      instance.requests.follow(request, ask(), resolved, rejected, (object) => object.destroy());
      return ++context.futures;
    },
  };
}

function deviceFunctions(context) {
  const { memory, handles } = context;
  const { WGPUPopErrorScopeStatus: Popped, WGPUErrorType: ErrorType } = enums;
  return {
    wgpuDeviceGetQueue(handle) {
      const { object, owner } = handles.get(handle);
      return handles.add(object.queue, owner);
    },

    wgpuDeviceDestroy(handle) {
      handles.object(handle).destroy();
    },

    wgpuDevicePushErrorScope(handle, filter) {
      handles.get(handle).owner.pushErrorScope(filter);
    },

    wgpuDevicePopErrorScope(handle, callbackInfo) {
      const { owner: device } = handles.get(handle);
      const info = readCallbackInfo(memory, callbackInfo, offsets.WGPUPopErrorScopeCallbackInfo);
      const request = device.requests.open(info, [Popped.CallbackCancelled, ErrorType.Unknown]);
      const resolved = ([type, text]) => [[Popped.Success, type], text];
      const rejected = (error) => [[Popped.Error, ErrorType.Unknown], error.message];
      device.requests.follow(request, device.popErrorScope(), resolved, rejected);
      return ++context.futures;
    },
  };
}

/** What a device makes, but for buffers and encoders. */
function objectFunctions(context) {
  const { memory, handles, reader } = context;

  /** A function (device, descriptor) -> handle. @param {(device: GPUDevice, descriptor: number) => any} make */
  function maker(make) {
    return (handle, descriptor) => {
      const { object, owner } = handles.get(handle);
      return owner.attempt(() => handles.add(make(object, descriptor), owner));
    };
  }

  return {
    wgpuDeviceCreateShaderModule: maker((device, desc) => device.createShaderModule(reader.shaderModule(desc))),
    wgpuDeviceCreateBindGroupLayout: maker((device, desc) =>
      device.createBindGroupLayout(reader.bindGroupLayout(desc)),
    ),
    wgpuDeviceCreatePipelineLayout: maker((device, desc) => device.createPipelineLayout(reader.pipelineLayout(desc))),
    wgpuDeviceCreateComputePipeline: maker((device, desc) =>
      device.createComputePipeline(reader.computePipeline(desc)),
    ),
    wgpuDeviceCreateBindGroup: maker((device, desc) => device.createBindGroup(reader.bindGroup(desc))),
    wgpuDeviceCreateQuerySet: maker((device, desc) => device.createQuerySet(reader.querySet(desc))),

    wgpuDeviceCreateComputePipelineAsync(handle, descriptor, callbackInfo) {
      const { Success, ValidationError, InternalError, CallbackCancelled } = enums.WGPUCreatePipelineAsyncStatus;
      const { object, owner: device } = handles.get(handle);
      const info = readCallbackInfo(memory, callbackInfo, offsets.WGPUCreateComputePipelineAsyncCallbackInfo);
      const request = device.requests.open(info, [CallbackCancelled, 0]);
      const ask = async () => object.createComputePipelineAsync(reader.computePipeline(descriptor));
      const resolved = (pipeline) => [[Success, handles.add(pipeline, device)], ""];
      const rejected = (error) => [[error.reason === "internal" ? InternalError : ValidationError, 0], error.message];
      device.requests.follow(request, ask(), resolved, rejected);
      return ++context.futures;
    },
  };
}

function bufferFunctions(context) {
  const { memory, handles, reader } = context;

  /** @param {number} handle @returns {Buffer} */
  const bufferOf = (handle) => handles.get(handle).state;

  function range(handle, offset, size, write) {
    const { owner } = handles.get(handle);
    return owner.attempt(() => bufferOf(handle).range(offset >>> 0, size >>> 0, write));
  }

  return {
    wgpuDeviceCreateBuffer(handle, descriptor) {
      const { object, owner: device } = handles.get(handle);
      return device.attempt(() => {
        const desc = reader.buffer(descriptor);
        const made = object.createBuffer(desc);
        const buffer = new Buffer(made, device, memory, desc.mappedAtCreation ? desc.size : 0);
        return handles.add(made, device, () => buffer.close(), buffer);
      });
    },

    wgpuBufferMapAsync(handle, mode, offset, size, callbackInfo) {
      const info = readCallbackInfo(memory, callbackInfo, offsets.WGPUBufferMapCallbackInfo);
      const flags = Number(mode), from = offset >>> 0;
      const length = size >>> 0 === UNDEFINED ? handles.object(handle).size - from : size >>> 0;
      const write = (flags & enums.WGPUMapMode.Write) !== 0;
      bufferOf(handle).map(info, { mode: flags, write, offset: from, size: length });
      return ++context.futures;
    },

    wgpuBufferGetMappedRange: (handle, offset, size) => range(handle, offset, size, true),
    wgpuBufferGetConstMappedRange: (handle, offset, size) => range(handle, offset, size, false),
    wgpuBufferUnmap: (handle) => bufferOf(handle).unmap(),
    wgpuBufferDestroy: (handle) => bufferOf(handle).destroy(),
  };
}

function encoderFunctions(context) {
  const { handles, reader } = context;

  /** The label of a descriptor that has nothing else, and that may be NULL. */
  const labelled = (address, at) => (address ? { label: reader.text(address + at.label) } : undefined);

  return {
    wgpuDeviceCreateCommandEncoder(handle, descriptor) {
      const { object, owner } = handles.get(handle);
      return handles.add(object.createCommandEncoder(labelled(descriptor, offsets.WGPUCommandEncoderDescriptor)), owner);
    },

    wgpuCommandEncoderBeginComputePass(handle, descriptor) {
      const { object, owner } = handles.get(handle);
      return owner.attempt(() => handles.add(object.beginComputePass(reader.computePass(descriptor)), owner));
    },

    wgpuCommandEncoderCopyBufferToBuffer(handle, source, sourceOffset, destination, destinationOffset, size) {
      const from = handles.object(source), to = handles.object(destination);
      handles
        .object(handle)
        .copyBufferToBuffer(from, Number(sourceOffset), to, Number(destinationOffset), Number(size));
    },

    wgpuCommandEncoderClearBuffer(handle, buffer, offset, size) {
      const length = size < 0n ? undefined : Number(size); // WGPU_WHOLE_SIZE arrives as -1n
      handles.object(handle).clearBuffer(handles.object(buffer), Number(offset), length);
    },

    wgpuCommandEncoderResolveQuerySet(handle, querySet, first, count, destination, offset) {
      const to = handles.object(destination);
      handles.object(handle).resolveQuerySet(handles.object(querySet), first, count, to, Number(offset));
    },

    wgpuCommandEncoderFinish(handle, descriptor) {
      const { object, owner } = handles.get(handle);
      return owner.attempt(() =>
        handles.add(object.finish(labelled(descriptor, offsets.WGPUCommandBufferDescriptor)), owner),
      );
    },
  };
}

/** The functions of the token loop: they make nothing. */
function passFunctions({ memory, handles }) {
  const MAX_DYNAMIC_OFFSETS = 16; // core WebGPU has at most 8 + 4 in a pipeline layout
  const dynamicOffsets = new Uint32Array(MAX_DYNAMIC_OFFSETS);
  return {
    wgpuComputePassEncoderSetPipeline(pass, pipeline) {
      handles.object(pass).setPipeline(handles.object(pipeline));
    },

    wgpuComputePassEncoderSetBindGroup(pass, index, group, count, address) {
      const { u32 } = memory;
      for (let i = 0; i < count; i++) dynamicOffsets[i] = u32[(address >>> 2) + i];
      handles.object(pass).setBindGroup(index, handles.object(group), dynamicOffsets, 0, count);
    },

    wgpuComputePassEncoderDispatchWorkgroups(pass, x, y, z) {
      handles.object(pass).dispatchWorkgroups(x, y, z);
    },

    wgpuComputePassEncoderEnd(pass) {
      handles.object(pass).end();
    },
  };
}

function queueFunctions(context) {
  const { memory, handles, reader } = context;
  const { Success, Error: Failed, CallbackCancelled } = enums.WGPUQueueWorkDoneStatus;
  return {
    wgpuQueueSubmit(handle, count, commands) {
      handles.object(handle).submit(reader.list(commands, count, WORD, (item) => reader.object(item)));
    },

    wgpuQueueWriteBuffer(handle, buffer, offset, data, size) {
      const { object, owner } = handles.get(handle);
      owner.attempt(() => {
        object.writeBuffer(handles.object(buffer), Number(offset), memory.bytes(data, size));
        return 0;
      });
    },

    wgpuQueueOnSubmittedWorkDone(handle, callbackInfo) {
      const { object, owner } = handles.get(handle);
      const info = readCallbackInfo(memory, callbackInfo, offsets.WGPUQueueWorkDoneCallbackInfo);
      const request = owner.requests.open(info, [CallbackCancelled]);
      const resolved = () => [[Success], ""];
      const rejected = (error) => [[Failed], error.message];
      owner.requests.follow(request, object.onSubmittedWorkDone(), resolved, rejected);
      return ++context.futures;
    },
  };
}
