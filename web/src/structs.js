// C structs by name, as layouts.js describes them.

import { offsets, sizes, types } from "./layouts.js";

const scalars = {
  bool: [1, (v, a) => v.getUint8(a) !== 0, (v, a, x) => v.setUint8(a, x ? 1 : 0)],
  char: [1, (v, a) => v.getUint8(a), (v, a, x) => v.setUint8(a, x)],
  u8: [1, (v, a) => v.getUint8(a), (v, a, x) => v.setUint8(a, x)],
  u16: [2, (v, a) => v.getUint16(a, true), (v, a, x) => v.setUint16(a, x, true)],
  u32: [4, (v, a) => v.getUint32(a, true), (v, a, x) => v.setUint32(a, x, true)],
  i32: [4, (v, a) => v.getInt32(a, true), (v, a, x) => v.setInt32(a, x, true)],
  u64: [8, (v, a) => Number(v.getBigUint64(a, true)), (v, a, x) => v.setBigUint64(a, BigInt(x), true)],
  i64: [8, (v, a) => Number(v.getBigInt64(a, true)), (v, a, x) => v.setBigInt64(a, BigInt(x), true)],
  f32: [4, (v, a) => v.getFloat32(a, true), (v, a, x) => v.setFloat32(a, x, true)],
  f64: [8, (v, a) => v.getFloat64(a, true), (v, a, x) => v.setFloat64(a, x, true)],
  pointer: [4, (v, a) => v.getUint32(a, true), (v, a, x) => v.setUint32(a, x, true)],
};

const sizeOf = (type) => scalars[type]?.[0] ?? sizes[type];

function readField(memory, address, type) {
  const array = /^(\w+)\[(\d+)\]$/.exec(type);
  if (array?.[1] === "char") return memory.text(address);
  if (array)
    return Array.from({ length: Number(array[2]) }, (_, i) =>
      readField(memory, address + i * sizeOf(array[1]), array[1]));
  const scalar = scalars[type];
  return scalar ? scalar[1](memory.view, address) : readStruct(memory, address, type);
}

const camel = (field) => field.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** A struct as an object; names become camelCase, text arrays strings, 64-bit numbers plain ones. */
export function readStruct(memory, address, name) {
  const object = {};
  for (const [field, type] of Object.entries(types[name]))
    object[camel(field)] = readField(memory, (address >>> 0) + offsets[name][field], type);
  return object;
}

function writeField(memory, address, type, value) {
  const array = /^(\w+)\[(\d+)\]$/.exec(type);
  if (array?.[1] === "char") new TextEncoder().encodeInto(value, memory.bytes(address, Number(array[2]) - 1));
  else if (array) value.forEach((item, i) => writeField(memory, address + i * sizeOf(array[1]), array[1], item));
  else if (scalars[type]) scalars[type][2](memory.view, address, value);
  else writeStruct(memory, address, type, value);
}

/** Writes the fields that `values` names (as C does, or as readStruct) into a struct of zeros. */
export function writeStruct(memory, address, name, values) {
  for (const [field, type] of Object.entries(types[name])) {
    const value = values[field] ?? values[camel(field)];
    if (value !== undefined) writeField(memory, (address >>> 0) + offsets[name][field], type, value);
  }
}

/** Memory of the module for the length of one call. */
export class Scratch {
  #memory;
  #held = [];

  constructor(memory) {
    this.#memory = memory;
  }

  /** Bytes set to zero. */
  bytes(size) {
    const address = this.#memory.allocate(Math.max(1, size));
    if (!address) throw new RangeError(`the module has no memory for ${size} bytes`);
    this.#held.push(address);
    this.#memory.bytes(address, size).fill(0);
    return address;
  }

  /** A zero-terminated string. */
  text(text) {
    const { address, size } = this.utf8(text);
    this.#memory.u8[address + size] = 0;
    return address;
  }

  utf8(text) {
    const { address, size } = this.#memory.allocateText(text);
    if (!address) throw new RangeError("the module has no memory for a text");
    this.#held.push(address);
    return { address, size };
  }

  /** An array of 32-bit numbers. */
  words(numbers) {
    const address = this.bytes(4 * numbers.length);
    this.#memory.u32.set(numbers, address >>> 2); // negative numbers wrap as in C
    return address;
  }

  struct(name, values) {
    const address = this.bytes(sizes[name]);
    writeStruct(this.#memory, address, name, values);
    return address;
  }

  free() {
    for (const address of this.#held.splice(0)) this.#memory.free(address);
  }
}
