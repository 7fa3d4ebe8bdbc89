// dist.js - the package as a page gets it: web/src, layouts.js and quern.wasm in one folder.
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT, buildSources } from "./build.js";

export const MODEL = join(ROOT, "models/quern-tales/quern-tales-q4_0.gguf");

/** The folder; quern.wasm is in it where scripts/build_web.sh was run. */
export const dist = buildSources();
const wasm = join(ROOT, "web/dist/quern.wasm");
export const hasCore = existsSync(wasm);
if (hasCore) copyFileSync(wasm, join(dist, "quern.wasm"));

export const load = (name) => import(join(dist, name));
