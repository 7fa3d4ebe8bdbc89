// package.test.js - what is published: the files, the types, the size.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { ROOT } from "./support/build.js";

const dist = join(ROOT, "web/dist");
const manifest = JSON.parse(readFileSync(join(ROOT, "web/package.json")));
const tsc = join(ROOT, "web/test/node_modules/typescript/bin/tsc");
const MOST_WASM = 400_000;
const MOST_GZIPPED = 500_000;

const filesUnder = (folder) =>
  readdirSync(folder, { recursive: true }).filter((name) => statSync(join(folder, name)).isFile()).sort();

const options = { skip: existsSync(join(dist, "package.json")) ? false : "no web/dist: run scripts/build_web.sh" };

test("the package has all of its files and no other", options, () => {
  const [{ files }] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: dist, stdio: ["ignore", "pipe", "ignore"] }));
  const sources = filesUnder(join(ROOT, "web/src"));
  const expected = [...sources, "LICENSE", "README.md", "layouts.js", "package.json", "quern.wasm"].sort();
  assert.deepEqual(files.map(({ path }) => path).sort(), expected);
});

test("what it exports is there", options, async () => {
  for (const target of Object.values(manifest.exports).flatMap((entry) => Object.values(typeof entry === "string" ? [entry] : entry)))
    assert.ok(existsSync(join(dist, target)), target);
  const quern = await import(join(dist, "quern.js"));
  for (const name of ["Quern", "QuernError", "listModels", "deleteModel"]) assert.equal(typeof quern[name], "function", name);
});

test("it is small", options, () => {
  assert.ok(statSync(join(dist, "quern.wasm")).size < MOST_WASM);
  const published = [...filesUnder(join(ROOT, "web/src")), "layouts.js", "quern.wasm"];
  const sizes = published.map((name) => gzipSync(readFileSync(join(dist, name)), { level: 9 }).length);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  console.log(`# ${Math.round(total / 1000)} KB gzipped in ${published.length} files`);
  assert.ok(total < MOST_GZIPPED);
});

test("the version is the core's", () => {
  const [, version] = /#define QN_VERSION "(.*)"/.exec(readFileSync(join(ROOT, "include/quern.h"), "utf8"));
  assert.equal(manifest.version, version);
});

test("the types hold", { skip: existsSync(tsc) ? false : "no TypeScript: npm ci in web/test" }, () => {
  const project = join(ROOT, "web/test/tsconfig.json");
  try {
    execFileSync(process.execPath, [tsc, "--project", project], { encoding: "utf8" });
  } catch (error) {
    assert.fail(`${relative(ROOT, project)}:\n${error.stdout}`);
  }
});

/** Methods and fields that quern.d.ts names are there, and the other way round. */
test("the types name what there is", options, async () => {
  const { Quern, Session } = await import(join(dist, "quern.js"));
  const text = readFileSync(join(dist, "quern.d.ts"), "utf8");
  for (const [name, { prototype }] of Object.entries({ Quern, Session })) {
    const [, body] = new RegExp(`(?:class|interface) ${name} \\{\\n([^]*?)\\n\\}`).exec(text);
    const declared = new Set([...body.matchAll(/^ {2}(?:readonly )?(\w+)[(:]/gm)].map(([, member]) => member));
    for (const member of Object.getOwnPropertyNames(prototype).filter((member) => member !== "constructor"))
      assert.ok(declared.has(member), `${name}.${member} is not declared`);
    const fields = ["device", "model", "ctx", "chunk"]; // set by the constructors
    for (const member of declared) assert.ok(member in prototype || fields.includes(member), `${name}.${member} is not there`);
  }
});
