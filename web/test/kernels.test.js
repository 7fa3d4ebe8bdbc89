// kernels.test.js - the texts of tests/shaders/test_sources.c in Firefox, whose naga is not the one of wgpu-native.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT, temporaryFolder } from "./support/build.js";
import { RemotePage, openFirefox } from "./support/firefox.js";
import { serveFolder } from "./support/server.js";

const PROGRAM = join(process.env.QN_BUILD_DIR ?? join(ROOT, "build"), "tests/shaders/test_sources");

test("every kernel compiles", async (t) => {
  const folder = temporaryFolder();
  execFileSync(PROGRAM, [folder], { stdio: "ignore" });
  const read = (file) => readFileSync(join(folder, file), "utf8");
  const kernels = JSON.parse(read("kernels.json"));
  const page = new RemotePage();
  const server = await serveFolder(join(ROOT, "tests/shaders"), {}, {
    ...page.routes,
    "/kernels.json": (_, response) => response.end(JSON.stringify(kernels.map((kernel) => [kernel, read(kernel.file)]))),
  });
  t.after(server.close);
  const firefox = openFirefox(page, server);
  t.after(firefox.close);
  const { failed, skipped } = await page.evaluate(async () => {
    const { compileAll } = await import("/compile.mjs");
    const kernels = await (await fetch("/kernels.json")).json();
    const texts = new Map(kernels.map(([{ file }, text]) => [file, text]));
    const refused = [["a name that is none", ") { let x = y; }"], ["512 invocations", ") {}", 512]];
    const options = { text: (file) => texts.get(file), refused, everyPipeline: false }; // the driver's compiler is slow
    return compileAll(navigator.gpu, kernels.map(([kernel]) => kernel), options);
  });
  for (const [why, rows] of skipped) console.log(`# ${why}: ${rows.join(" ")}`);
  assert.ok(kernels.length > 1000);
  assert.deepEqual(failed.map(([row, [first]]) => `${row}: ${first}`), []);
});
