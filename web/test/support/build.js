// build.js - what the tests of the glue run: web/src with its layouts.js, and test programs compiled as the core is.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const CLANG = process.env.QN_WEB_CLANG ?? "clang-19";

/** Removed when the process ends. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), "quern-web-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes layouts.js. @param {string} out @param {string[]} [options] of layouts.py */
export function writeLayouts(out, options = []) {
  execFileSync("python3", [join(ROOT, "web/tools/layouts.py"), out, "--clang", CLANG, ...options], { stdio: "pipe" });
}

/** A folder with the sources of web/src and layouts.js, as web/dist has them. */
export function buildSources() {
  const folder = temporaryFolder();
  cpSync(join(ROOT, "web/src"), folder, { recursive: true });
  writeLayouts(join(folder, "layouts.js"));
  return folder;
}

/** Compiles a test program of one C file on webgpu.h to wasm. @param {string} source @param {string} out */
export function compileProgram(source, out) {
  const exports = ["--allow-undefined", "--export-table", "--export=malloc", "--export=free"];
  execFileSync(CLANG, [
    "--target=wasm32-wasi", "-mexec-model=reactor", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror",
    `-I${join(ROOT, "third_party/wgpu")}`, source, "-o", out, ...exports.map((option) => `-Wl,${option}`),
  ], { stdio: ["ignore", "pipe", "inherit"] });
}
