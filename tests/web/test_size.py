"""quern.wasm, the build for browsers, is small, imports only what docs/web.md says, starts, and has every kernel row's
shaders (the latter two in Node)."""
import os
import subprocess

import web
from web import root

MOST = 400 * 1000  # bytes, raw

wasm = os.path.join(root, "web", "dist", "quern.wasm")
START = """
const module = new WebAssembly.Module(require("fs").readFileSync(process.argv[1]));
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
for (const from in imports) console.log(from, Object.keys(imports[from]).sort().join(" "));
const x = new WebAssembly.Instance(module, imports).exports;
x._initialize();
const bytes = () => new Uint8Array(x.memory.buffer);
const word = (at) => new DataView(x.memory.buffer).getUint32(at, true);
const text = (at) => Buffer.from(bytes().slice(at, bytes().indexOf(0, at))).toString();
console.log("version", text(x.qn_version()));
const ROUTE = 16; // sizeof(qn_route_info)
const info = x.malloc(4096), status = x.malloc(512), spec = x.malloc(256), source = x.malloc(4), none = info;
const target = x.malloc(8);
bytes().fill(0, info, info + 4096);
bytes().fill(0, spec, spec + 256);
new DataView(x.memory.buffer).setUint32(target, none, true);
new DataView(x.memory.buffer).setUint32(target + 4, 1, true);
const n = x.qn_routes(info, 0, 0), routes = x.malloc(n * ROUTE);
x.qn_routes(info, routes, n);
console.log("routes", n);
for (let i = 0; i < n; i++) {
    const name = word(routes + i * ROUTE);
    x.qn_row_source(status, 0, x.qn_row_find(name), spec, target, source);
    if (word(status) !== 0) throw new Error(`${text(name)}: ${text(status + 4)}`);
    x.free(word(source));
}
"""
QUERN = "kept_read kept_replace log math_cos math_exp math_log math_pow math_sin now progress read regex_close regex_open regex_scan"

web.need_module()
size = os.path.getsize(wasm)
print(f"{size} bytes, at most {MOST}")
assert size <= MOST, "quern.wasm is too large"
web.need_node()
said = subprocess.run([web.NODE, "node", "-e", START, wasm], check=True, stdout=subprocess.PIPE, text=True).stdout
facts = dict(line.split(" ", 1) for line in said.splitlines())
print(said, end="")
with open(os.path.join(root, "include", "quern.h"), encoding="utf-8") as f:
    assert f'#define QN_VERSION "{facts["version"]}"' in f.read()
assert int(facts["routes"]) > 50
assert facts["quern"] == QUERN, facts["quern"]
assert all(name.startswith("wgpu") for name in facts["env"].split()), facts["env"]
assert set(facts) == {"version", "routes", "quern", "env"}, "an import from elsewhere"
