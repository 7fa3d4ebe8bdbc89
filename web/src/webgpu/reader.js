// reader.js - the descriptors of webgpu.h as WebGPU in JavaScript wants them.
import { enums, offsets, sizes, types } from "../layouts.js";

/** WGPU_STRLEN, WGPU_WHOLE_MAP_SIZE, WGPU_QUERY_SET_INDEX_UNDEFINED, WGPU_LIMIT_U32_UNDEFINED. */
export const UNDEFINED = 0xffffffff;
/** Bytes of a pointer, a handle, a size_t, an enum. */
export const WORD = 4;

/** Feature names of webgpu.h that the core knows. */
export const FEATURES = {
  [enums.WGPUFeatureName.ShaderF16]: "shader-f16",
  [enums.WGPUFeatureName.Subgroups]: "subgroups",
  [enums.WGPUFeatureName.TimestampQuery]: "timestamp-query",
};
const BINDING_TYPES = {
  [enums.WGPUBufferBindingType.Uniform]: "uniform",
  [enums.WGPUBufferBindingType.Storage]: "storage",
  [enums.WGPUBufferBindingType.ReadOnlyStorage]: "read-only-storage",
};
const QUERY_TYPES = { [enums.WGPUQueryType.Timestamp]: "timestamp", [enums.WGPUQueryType.Occlusion]: "occlusion" };
const POWER = {
  [enums.WGPUPowerPreference.LowPower]: "low-power",
  [enums.WGPUPowerPreference.HighPerformance]: "high-performance",
};
const LEVELS = {
  [enums.WGPUFeatureLevel.Compatibility]: "compatibility",
  [enums.WGPUFeatureLevel.Core]: "core",
};
/** @type {string[]} */
export const LIMITS = Object.keys(offsets.WGPULimits).filter((name) => name !== "nextInChain");

export class Reader {
  /** @param {import("./memory.js").Memory} memory @param {Handles} handles */
  constructor(memory, handles) {
    this.memory = memory;
    this.handles = handles;
  }

  /** A WGPUStringView at an address. @param {number} address @returns {string} */
  text(address) {
    const { memory } = this;
    const data = memory.word(address + offsets.WGPUStringView.data);
    const length = memory.word(address + offsets.WGPUStringView.length);
    if (data === 0 || length === 0) return "";
    return length === UNDEFINED ? memory.text(data) : memory.text(data, length);
  }

  /** The object of a handle field, null for NULL. @param {number} address */
  object(address) {
    const handle = this.memory.word(address);
    return handle ? this.handles.object(handle) : null;
  }

  /** @param {number} address @param {number} count @param {number} size @param {(item: number) => any} read */
  list(address, count, size, read) {
    return Array.from({ length: count }, (_, i) => read(address + i * size));
  }

  /** A limit, undefined where it is not asked for. @param {number} address @param {string} name */
  limit(address, name) {
    const at = address + offsets.WGPULimits[name];
    const low = this.memory.word(at);
    if (types.WGPULimits[name] === "u32") return low === UNDEFINED ? undefined : low;
    return low === UNDEFINED && this.memory.word(at + WORD) === UNDEFINED ? undefined : this.memory.long(at);
  }

  limits(address) {
    const limits = {};
    for (const name of LIMITS) {
      const value = this.limit(address, name);
      if (value !== undefined) limits[name] = value;
    }
    return limits;
  }

  features(address, count) {
    return this.list(address, count, WORD, (item) => {
      const name = FEATURES[this.memory.word(item)];
      if (!name) throw new TypeError(`feature ${this.memory.word(item)} is not one that WebGPU in JavaScript has`);
      return name;
    });
  }

  /** @param {number} address a WGPUDeviceDescriptor */
  device(address) {
    const at = offsets.WGPUDeviceDescriptor;
    const { memory } = this;
    const limits = memory.word(address + at.requiredLimits);
    const count = memory.word(address + at.requiredFeatureCount);
    return {
      label: this.text(address + at.label),
      requiredFeatures: this.features(memory.word(address + at.requiredFeatures), count),
      requiredLimits: limits ? this.limits(limits) : {},
    };
  }

  /** @param {number} address a WGPURequestAdapterOptions or 0 */
  adapterOptions(address) {
    if (!address) return {};
    const at = offsets.WGPURequestAdapterOptions;
    const { memory } = this;
    const power = POWER[memory.word(address + at.powerPreference)];
    const level = LEVELS[memory.word(address + at.featureLevel)];
    return {
      ...(power && { powerPreference: power }),
      ...(level && { featureLevel: level }),
      forceFallbackAdapter: memory.word(address + at.forceFallbackAdapter) !== 0,
    };
  }

  /** @param {number} address a WGPUBufferDescriptor */
  buffer(address) {
    const at = offsets.WGPUBufferDescriptor;
    const { memory } = this;
    return {
      label: this.text(address + at.label),
      size: memory.long(address + at.size),
      usage: memory.word(address + at.usage), // flags have the same bits in both APIs
      mappedAtCreation: memory.word(address + at.mappedAtCreation) !== 0,
    };
  }

  /** @param {number} address a WGPUBindGroupLayoutDescriptor */
  bindGroupLayout(address) {
    const at = offsets.WGPUBindGroupLayoutDescriptor, { memory } = this;
    const entries = memory.word(address + at.entries), count = memory.word(address + at.entryCount);
    return {
      label: this.text(address + at.label),
      entries: this.list(entries, count, sizes.WGPUBindGroupLayoutEntry, (item) => this.#bindGroupLayoutEntry(item)),
    };
  }

  #bindGroupLayoutEntry(address) {
    const at = offsets.WGPUBindGroupLayoutEntry, buffer = address + at.buffer;
    const of = offsets.WGPUBufferBindingLayout;
    const { memory } = this;
    const type = BINDING_TYPES[memory.word(buffer + of.type)];
    if (!type) throw new TypeError("a bind group layout holds something besides buffers");
    return {
      binding: memory.word(address + at.binding),
      visibility: memory.word(address + at.visibility),
      buffer: {
        type,
        hasDynamicOffset: memory.word(buffer + of.hasDynamicOffset) !== 0,
        minBindingSize: memory.long(buffer + of.minBindingSize),
      },
    };
  }

  /** @param {number} address a WGPUPipelineLayoutDescriptor */
  pipelineLayout(address) {
    const at = offsets.WGPUPipelineLayoutDescriptor, { memory } = this;
    const layouts = memory.word(address + at.bindGroupLayouts), count = memory.word(address + at.bindGroupLayoutCount);
    return {
      label: this.text(address + at.label),
      bindGroupLayouts: this.list(layouts, count, WORD, (item) => this.object(item)),
    };
  }

  /** @param {number} address a WGPUBindGroupDescriptor */
  bindGroup(address) {
    const at = offsets.WGPUBindGroupDescriptor, { memory } = this;
    const entries = memory.word(address + at.entries), count = memory.word(address + at.entryCount);
    return {
      label: this.text(address + at.label),
      layout: this.object(address + at.layout),
      entries: this.list(entries, count, sizes.WGPUBindGroupEntry, (item) => this.#bindGroupEntry(item)),
    };
  }

  #bindGroupEntry(address) {
    const at = offsets.WGPUBindGroupEntry, { memory } = this;
    const buffer = this.object(address + at.buffer);
    if (!buffer) throw new TypeError("a bind group holds something besides buffers");
    const whole = memory.word(address + at.size) === UNDEFINED && memory.word(address + at.size + WORD) === UNDEFINED;
    return {
      binding: memory.word(address + at.binding),
      resource: {
        buffer,
        offset: memory.long(address + at.offset),
        size: whole ? undefined : memory.long(address + at.size),
      },
    };
  }

  /** @param {number} address a WGPUShaderModuleDescriptor: WGSL is the one language here */
  shaderModule(address) {
    const { memory } = this;
    const chain = memory.word(address + offsets.WGPUShaderModuleDescriptor.nextInChain);
    const kind = chain && memory.word(chain + offsets.WGPUChainedStruct.sType);
    if (kind !== enums.WGPUSType.ShaderSourceWGSL) throw new TypeError("a shader module needs WGSL");
    return {
      label: this.text(address + offsets.WGPUShaderModuleDescriptor.label),
      code: this.text(chain + offsets.WGPUShaderSourceWGSL.code),
    };
  }

  /** @param {number} address a WGPUQuerySetDescriptor */
  querySet(address) {
    const at = offsets.WGPUQuerySetDescriptor;
    return {
      label: this.text(address + at.label),
      type: QUERY_TYPES[this.memory.word(address + at.type)],
      count: this.memory.word(address + at.count),
    };
  }

  /** @param {number} address a WGPUComputePipelineDescriptor */
  computePipeline(address) {
    const at = offsets.WGPUComputePipelineDescriptor, stage = address + at.compute;
    const of = offsets.WGPUComputeState, constant = offsets.WGPUConstantEntry;
    const { memory } = this;
    const entryPoint = this.text(stage + of.entryPoint);
    const constants = this.list(
      memory.word(stage + of.constants),
      memory.word(stage + of.constantCount),
      sizes.WGPUConstantEntry,
      (item) => [this.text(item + constant.key), memory.view.getFloat64((item + constant.value) >>> 0, true)],
    );
    return {
      label: this.text(address + at.label),
      layout: this.object(address + at.layout) ?? "auto",
      compute: {
        module: this.object(stage + of.module),
        ...(entryPoint && { entryPoint }),
        constants: Object.fromEntries(constants),
      },
    };
  }

  /** @param {number} address a WGPUComputePassDescriptor or 0 */
  computePass(address) {
    if (!address) return undefined;
    const at = offsets.WGPUComputePassDescriptor, of = offsets.WGPUPassTimestampWrites;
    const { memory } = this;
    const label = this.text(address + at.label);
    const writes = memory.word(address + at.timestampWrites);
    if (!writes) return { label };
    const index = (field) => {
      const value = memory.word(writes + field);
      return value === UNDEFINED ? undefined : value;
    };
    return {
      label,
      timestampWrites: {
        querySet: this.object(writes + of.querySet),
        beginningOfPassWriteIndex: index(of.beginningOfPassWriteIndex),
        endOfPassWriteIndex: index(of.endOfPassWriteIndex),
      },
    };
  }
}
