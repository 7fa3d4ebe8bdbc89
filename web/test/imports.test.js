// imports.test.js - JavaScript has every function that the core imports, with as many parameters.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT, buildSources } from "./support/build.js";
import { importedFunctions } from "./support/wasm.js";

const sources = buildSources();
const { Memory } = await import(join(sources, "memory.js"));
const { createWebGPU } = await import(join(sources, "webgpu.js"));
const imports = importedFunctions(readFileSync(process.env.QN_WEB_WASM ?? join(ROOT, "web/dist/quern.wasm")));
const env = createWebGPU({ gpu: undefined, memory: new Memory(), onEvent() {} }).imports;

test("the functions of webgpu.h", () => {
  const wanted = imports.filter(({ module }) => module === "env");
  assert.ok(wanted.length > 40);
  for (const { name, parameters } of wanted) {
    assert.equal(typeof env[name], "function", `${name} is missing`);
    assert.equal(env[name].length, parameters, `parameters of ${name}`);
  }
});

test("no other modules than docs/web.md has", () => {
  const modules = new Set(imports.map(({ module }) => module));
  assert.deepEqual([...modules].sort(), ["env", "quern"]);
});
