// wasm.js - the imports of a module with the number of their parameters, which WebAssembly.Module.imports leaves out.

const TYPE_SECTION = 1, IMPORT_SECTION = 2, FUNCTION = 0;

class Bytes {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  byte() {
    return this.bytes[this.at++];
  }

  /** LEB128, unsigned. */
  number() {
    let value = 0, shift = 0, byte;
    do {
      byte = this.byte();
      value |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte & 0x80);
    return value >>> 0;
  }

  text() {
    const length = this.number(), start = this.at;
    this.at += length;
    return new TextDecoder().decode(this.bytes.subarray(start, this.at));
  }

  list(read) {
    return Array.from({ length: this.number() }, read);
  }
}

/** @param {Uint8Array} wasm @returns {{module: string, name: string, parameters: number}[]} the imported functions */
export function importedFunctions(wasm) {
  const bytes = new Bytes(wasm);
  let types = [];
  bytes.at = 8; // magic and version
  while (bytes.at < wasm.length) {
    const section = bytes.byte(), size = bytes.number(), end = bytes.at + size;
    if (section === TYPE_SECTION) types = bytes.list(() => functionType(bytes));
    if (section === IMPORT_SECTION) return bytes.list(() => functionImport(bytes, types));
    bytes.at = end;
  }
  return [];
}

function functionType(bytes) {
  bytes.byte(); // 0x60
  const parameters = bytes.list(() => bytes.byte()).length;
  bytes.list(() => bytes.byte()); // results
  return parameters;
}

function functionImport(bytes, types) {
  const module = bytes.text(), name = bytes.text();
  if (bytes.byte() !== FUNCTION) throw new Error(`${module}.${name} is no function`);
  return { module, name, parameters: types[bytes.number()] };
}
