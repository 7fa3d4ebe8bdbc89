"""The #include lines respect the layers, WebGPU stays in src/gpu, and the library neither prints nor exits.

LAYERS is the whole rule: what a folder may include besides its own headers and include/*.h. An entry is a
folder (all its headers but internal.h) or one header. A new edge is a decision: change docs/architecture.md
together with this table.
"""
import os
import re
import sys

LAYERS = {
    "base": [],
    "gpu": ["base"],
    "format": ["base"],
    "text": ["base", "format"],
    # an op sees the graph only through the plan's types, and the device only as facts about it
    "ops": ["base", "format", "gpu/gpu.h", "gpu/shaders.h", "graph/plan.h"],
    "graph": ["base", "gpu", "format", "ops"],
    "program": ["base", "format", "graph", "ops", "gpu"],
    "model": ["base", "format", "text", "graph"],
    "run": ["base", "gpu", "format", "text", "graph", "model"],
}

# The file that knows wgpu-native: the only one that includes its extension header.
WGPU_NATIVE_FILES = 1

# Names that the library does not use, and the files that may.
FORBIDDEN = {
    # memory goes through the caller's allocator
    "malloc calloc realloc free aligned_alloc strdup strndup alloca": ["src/base/memory.c"],
    # it never prints, exits or aborts, and is not configured by environment variables
    "printf vprintf fprintf vfprintf dprintf puts fputs putchar putc fputc perror": [],
    "exit _exit _Exit quick_exit abort assert raise": [],
    "getenv secure_getenv": [],
}

root = os.environ.get("QN_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
complaints = []


def complain(path, line, text):
    complaints.append(f"{path}:{line}: {text}")


def c_files(folder):
    for at, _, names in os.walk(os.path.join(root, folder)):
        for name in sorted(names):
            if name.endswith((".c", ".h", ".def")):
                yield os.path.relpath(os.path.join(at, name), root)


def without(pattern, text):
    """Blanks what matches, keeping the line numbers."""
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def read(path):
    """The file's text without comments, and its includes as (line, name, quoted)."""
    with open(os.path.join(root, path), encoding="utf-8") as f:
        text = f.read()
    # strings first in the alternation, so that "//" inside one is no comment
    token = r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*'
    text = re.sub(token, lambda m: m.group() if m.group()[0] in "\"'" else re.sub(r"[^\n]", " ", m.group()), text,
                  flags=re.S)
    includes = [(text.count("\n", 0, m.start(1)) + 1, m.group(2), m.group(1) == '"')
                for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', text, flags=re.M)]
    return text, includes


def allowed(layer, name):
    folder, _, header = name.partition("/")
    if folder == layer or name in LAYERS[layer]:
        return True
    return folder in LAYERS[layer] and header != "internal.h"


public = {name for name in os.listdir(os.path.join(root, "include")) if name.endswith(".h")}
native = []
n_files = 0

for path in c_files("src"):
    n_files += 1
    layer = path.split("/")[1]
    text, includes = read(path)
    if layer not in LAYERS:
        complain(path, 1, f"src/{layer} is no layer: add it to LAYERS in tests/build/test_layers.py")
        continue
    for line, name, quoted in includes:
        if os.path.basename(name) in ("webgpu.h", "wgpu.h"):
            if layer != "gpu":
                complain(path, line, f"{name}: only src/gpu includes WebGPU's headers")
            if os.path.basename(name) == "wgpu.h":
                native.append(path)
        elif quoted and name not in public:
            if "/" not in name:
                complain(path, line, f'"{name}": write the folder too, "{layer}/{name}"')
            elif name.split("/")[0] not in LAYERS:
                complain(path, line, f'"{name}" is in no layer')
            elif not allowed(layer, name):
                complain(path, line, f'src/{layer} may not include "{name}"')
    code = without(r'"(?:\\.|[^"\\\n])*"', text)
    for m in re.finditer(r"\b(?:WGPU|wgpu)[A-Z]\w*", code):
        if layer != "gpu":
            complain(path, code.count("\n", 0, m.start()) + 1, f"{m.group()}: only src/gpu names WebGPU")
    for names, exempt in FORBIDDEN.items():
        if path not in exempt:
            for m in re.finditer(r"(?<![\w.>])(" + "|".join(names.split()) + r")\s*\(", code):
                complain(path, code.count("\n", 0, m.start()) + 1, f"{m.group(1)}: not in the library (see FORBIDDEN)")

for path in sorted(set(public)):
    for line, name, quoted in read("include/" + path)[1]:
        if quoted and name not in public:
            complain("include/" + path, line, f'"{name}": public headers include only each other')

for path in c_files("apps"):
    n_files += 1
    text, includes = read(path)
    for line, name, quoted in includes:
        own = os.path.exists(os.path.join(root, os.path.dirname(path), name))
        if quoted and name not in public and not own:
            complain(path, line, f'"{name}": apps use the public headers only')
        if os.path.basename(name) in ("webgpu.h", "wgpu.h"):
            complain(path, line, f"{name}: only src/gpu includes WebGPU's headers")

if n_files and len(set(native)) != WGPU_NATIVE_FILES:
    complaints.append(f"wgpu.h is included by {sorted(set(native))}; one file is to know wgpu-native")
if not n_files:
    complaints.append(f"no source files under {root}")

for text in complaints:
    print(text)
print(f"{n_files} files, {len(complaints)} complaints")
sys.exit(1 if complaints else 0)
