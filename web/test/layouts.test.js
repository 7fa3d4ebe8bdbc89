// layouts.test.js - layouts.js has every name that the sources use, and follows the headers.
import assert from "node:assert/strict";
import { cpSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT, temporaryFolder, writeLayouts } from "./support/build.js";

const TABLES = ["sizes", "offsets", "types", "enums"];
let made = 0;
const folder = temporaryFolder();

/** layouts.js of headers of which one was changed. */
async function layoutsOf(header, change) {
  const headers = temporaryFolder(), out = join(folder, `layouts${made++}.mjs`);
  cpSync(join(ROOT, "third_party/wgpu/webgpu.h"), join(headers, "webgpu.h"));
  cpSync(join(ROOT, "include"), headers, { recursive: true });
  const text = readFileSync(join(headers, header), "utf8"), changed = change(text);
  assert.notEqual(changed, text, "the header was not changed");
  writeFileSync(join(headers, header), changed);
  writeLayouts(out, ["--webgpu", headers, "--quern", headers]);
  return import(out);
}

async function layouts() {
  const out = join(folder, "layouts.mjs");
  writeLayouts(out);
  return import(out);
}

/** What the sources name: [table, struct or enum, field or value or undefined]. */
function namesInSources() {
  const names = [];
  const source = join(ROOT, "web/src");
  const files = readdirSync(source, { recursive: true }).filter((name) => name.endsWith(".js"));
  for (const file of files) {
    const text = readFileSync(join(source, file), "utf8");
    if (!/from "\.{1,2}\/layouts\.js"/.test(text)) continue;
    for (const [, table, name, field] of text.matchAll(/(?<![.#\w])(sizes|offsets|types|enums)\.(\w+)(?:\.(\w+))?/g))
      names.push([table, name, field]);
    // const { A: B, C } = enums; and const { X, Y } = enums.WGPUThing;
    for (const [, list, table, name] of text.matchAll(/\bconst \{([^{}]*)\} = (sizes|offsets|types|enums)(?:\.(\w+))?[;,]/g))
      for (const item of list.split(",")) names.push(name ? [table, name, key(item)] : [table, key(item), undefined]);
    // const at = offsets.WGPUThing, ... at.field, until the function ends or the name means something else
    for (const { 1: variable, 2: name, 3: rest } of text.matchAll(/\b(\w+) = offsets\.(\w+)(?=([^]*?)\n {2}\}\n)/g)) {
      const [own] = rest.split(new RegExp(`\\b${variable} = `));
      for (const [, field] of own.matchAll(new RegExp(`(?<![.\\w])${variable}\\.(\\w+)`, "g")))
        names.push(["offsets", name, field]);
    }
  }
  return names;
}

const key = (item) => item.split(":")[0].trim();

function missing(tables, names) {
  return names.filter(([table, name, field]) => {
    if (table === "sizes") return tables.sizes[name] === undefined;
    return tables[table][name] === undefined || (field !== undefined && tables[table][name][field] === undefined);
  });
}

test("every struct, field and value that the sources name is there", async () => {
  const tables = await layouts(), names = namesInSources();
  assert.ok(names.length > 120, `${names.length} names found`);
  assert.deepEqual(missing(tables, names), []);
  for (const table of TABLES) assert.ok(Object.keys(tables[table]).length > 10);
});

test("a field that a header no longer has is missed", async () => {
  const tables = await layoutsOf("webgpu.h", (text) => text.replace("WGPUBool mappedAtCreation;", "WGPUBool mapped;"));
  assert.ok(missing(tables, namesInSources()).some((name) => name.join(".") === "offsets.WGPUBufferDescriptor.mappedAtCreation"));
});

test("a struct that a header no longer has fails the build", async () => {
  await assert.rejects(layoutsOf("quern.h", (text) => text.replace("struct qn_sampler_options {", "struct qn_sampler_other {")));
});

test("offsets follow the headers", async () => {
  const now = await layouts();
  const grown = await layoutsOf("quern.h", (text) => text.replace("uint64_t size; /* bytes of the file */", "uint64_t more, size;"));
  assert.equal(grown.offsets.qn_source.size, now.offsets.qn_source.size + 8);
  assert.equal(grown.sizes.qn_source, now.sizes.qn_source + 8);
  const renumbered = await layoutsOf("quern.h", (text) => text.replace("QN_ERR_ARGUMENT,", "QN_ERR_ARGUMENT = 7,"));
  assert.equal(renumbered.enums.qn_code.QN_ERR_STATE, 8);
});

test("what the compiler does not say is known from elsewhere", async () => {
  const { enums, offsets, sizes, types } = await layouts();
  assert.deepEqual(offsets.WGPUStringView, { data: 0, length: 4 });
  assert.equal(offsets.qn_status.text, 4);
  assert.equal(types.qn_status.text, `char[${sizes.qn_status - 4}]`);
  assert.equal(types.WGPULimits.maxBufferSize, "u64");
  // Flags are handed to JavaScript as they are: both APIs have the same bits.
  const usage = { MapRead: 1, MapWrite: 2, CopySrc: 4, CopyDst: 8, Uniform: 64, Storage: 128, QueryResolve: 512 };
  for (const [name, bit] of Object.entries(usage)) assert.equal(enums.WGPUBufferUsage[name], bit);
  assert.equal(enums.WGPUMapMode.Read, 1);
  assert.equal(enums.WGPUMapMode.Write, 2);
  assert.equal(enums.WGPUShaderStage.Compute, 4);
});
