#!/usr/bin/env python3
"""layouts.py - writes layouts.js: sizes and offsets of C structs, and values of enums, as clang lays them out for wasm32.

Only names come from the headers' text. Every number is clang's: the generated C prints `sizeof` and `offsetof` into
the assembly of a function that is never linked.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# What JavaScript reads and writes, by header. Here and nowhere else.
STRUCTS = {
    "webgpu.h": """
        WGPUAdapterInfo WGPUBindGroupDescriptor WGPUBindGroupEntry WGPUBindGroupLayoutDescriptor
        WGPUBindGroupLayoutEntry WGPUBufferBindingLayout WGPUBufferDescriptor WGPUBufferMapCallbackInfo
        WGPUChainedStruct WGPUCommandBufferDescriptor WGPUCommandEncoderDescriptor WGPUComputePassDescriptor
        WGPUComputePipelineDescriptor WGPUComputeState WGPUConstantEntry WGPUCreateComputePipelineAsyncCallbackInfo
        WGPUDeviceDescriptor WGPUDeviceLostCallbackInfo WGPULimits WGPUPassTimestampWrites
        WGPUPipelineLayoutDescriptor WGPUPopErrorScopeCallbackInfo WGPUQuerySetDescriptor
        WGPUQueueWorkDoneCallbackInfo WGPURequestAdapterCallbackInfo WGPURequestAdapterOptions
        WGPURequestDeviceCallbackInfo WGPUShaderModuleDescriptor WGPUShaderSourceWGSL WGPUStringView
        WGPUUncapturedErrorCallbackInfo""",
    "quern.h": """
        qn_chat_message qn_device_info qn_encode_options qn_engine_options qn_generate_options qn_memory_plan
        qn_model_info qn_model_options qn_route_info qn_sampler_options qn_session_options qn_source qn_status
        qn_tensor_info qn_tokenizer_files qn_utf8_hold""",
    "quern_graph.h": "qn_trace",
}
ENUMS = {
    "webgpu.h": """
        WGPUAdapterType WGPUBackendType WGPUBufferBindingType WGPUBufferUsage WGPUCallbackMode
        WGPUCreatePipelineAsyncStatus WGPUDeviceLostReason WGPUErrorFilter WGPUErrorType WGPUFeatureLevel
        WGPUFeatureName WGPUMapAsyncStatus WGPUMapMode WGPUPopErrorScopeStatus WGPUPowerPreference WGPUQueryType
        WGPUQueueWorkDoneStatus WGPURequestAdapterStatus WGPURequestDeviceStatus WGPUShaderStage WGPUSType
        WGPUStatus""",
    "quern.h": """
        qn_adapter_type qn_code qn_kv_type qn_log_level qn_logits_mode qn_precision qn_step_state qn_stop""",
    "quern_graph.h": "qn_profile",
}

# C's scalars as JavaScript reads them. Other types are enums, flags and handles: u32 or u64 by their size.
SCALARS = {
    "bool": "bool", "char": "char", "uint8_t": "u8", "int8_t": "i8", "uint16_t": "u16", "int16_t": "i16",
    "uint32_t": "u32", "int32_t": "i32", "size_t": "u32", "uint64_t": "u64", "int64_t": "i64", "float": "f32",
    "double": "f64",
}


def plain(text):
    """A header without comments and preprocessor lines."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return re.sub(r"//[^\n]*|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", " ", text, flags=re.M)


def fields_of(body):
    """(name, base type or "pointer", is an array) of each field of a struct."""
    for declaration in filter(None, (part.strip() for part in body.split(";"))):
        function = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", declaration)
        if function:
            yield function.group(1), "pointer", False
            continue
        words = re.sub(r"\b(?:const|struct|enum|WGPU_NULLABLE)\b", " ", declaration).strip()
        base, rest = re.match(r"(\w+)(.*)", words, re.S).groups()
        for declarator in rest.split(","):
            name, array = re.search(r"(\w+)\s*(\[[^\]]*\])?\s*$", declarator).groups()
            yield name, "pointer" if "*" in declarator else base, bool(array)


def struct_fields(header, name):
    match = re.search(r"\bstruct\s+%s\s*\{([^{}]*)\}" % name, header)
    if not match:
        sys.exit(f"layouts.py: no struct {name} in the headers")
    return list(fields_of(match.group(1)))


def enum_values(header, name):
    """Names of an enum's values, or of the constants of a type of flags."""
    match = re.search(r"\benum\s+%s\s*\{([^{}]*)\}" % name, header)
    if match:
        names = re.findall(r"(?:^|,)\s*(\w+)", match.group(1))
    else:
        names = re.findall(r"\bstatic\s+const\s+%s\s+(\w+)\s*=" % name, header)
    if not names:
        sys.exit(f"layouts.py: no enum {name} in the headers")
    return [value for value in names if not value.endswith("_Force32")]


def questions(headers, structs, enums):
    """(key, C expression) of every number wanted."""
    for name in structs:
        yield f"size {name}", f"sizeof({name})"
        for field, _, array in struct_fields(headers, name):
            yield f"offset {name} {field}", f"offsetof({name}, {field})"
            yield f"bytes {name} {field}", f"sizeof((({name} *)0)->{field})"
            if array:
                yield f"each {name} {field}", f"sizeof((({name} *)0)->{field}[0])"
    for name in enums:
        for value in enum_values(headers, name):
            yield f"value {name} {value}", value


def ask_clang(clang, includes, header_names, asked):
    lines = [f"#include <{name}>" for name in header_names] + ["#include <stddef.h>", "void ask(void);", "void ask(void)", "{"]
    lines += [f'__asm__ volatile("\\n#=> {key} = %0" : : "i"((long long)({what})));' for key, what in asked] + ["}"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "ask.c"
        source.write_text("\n".join(lines) + "\n")
        command = [clang, "--target=wasm32-wasi", "-std=c11", "-O1", "-DQN_NO_BLOCKING", "-S", "-o", "-"]
        command += [f"-I{path}" for path in includes] + [str(source)]
        out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"layouts.py: {clang} failed\n{out.stderr}")
    answers = {key: int(value) for key, value in re.findall(r"#=> (.*?) = (-?\d+)", out.stdout)}
    missing = [key for key, _ in asked if key not in answers]
    if missing:
        sys.exit(f"layouts.py: no answer for {missing[0]}")
    return answers


def kind(headers, answers, name, field, base, array):
    """The type of a field: "u32", "char[64]", "pointer", or a struct's name."""
    size = answers[f"each {name} {field}" if array else f"bytes {name} {field}"]
    if base == "pointer" or base in SCALARS:
        word = SCALARS.get(base, base)
    elif re.search(r"\bstruct\s+%s\s*\{" % base, headers):
        word = base
    else:
        word = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}[size]
    return f"{word}[{answers[f'bytes {name} {field}'] // size}]" if array else word


def tables(headers, structs, enums, answers):
    def short(enum, value):
        return value.removeprefix(enum + "_")

    return {
        "sizes": {name: answers[f"size {name}"] for name in structs},
        "offsets": {name: {field: answers[f"offset {name} {field}"] for field, _, _ in struct_fields(headers, name)}
                    for name in structs},
        "types": {name: {field: kind(headers, answers, name, field, base, array)
                         for field, base, array in struct_fields(headers, name)} for name in structs},
        "enums": {name: {short(name, value): answers[f"value {name} {value}"] for value in enum_values(headers, name)}
                  for name in enums},
    }


COMMENTS = {
    "sizes": "Bytes of each struct.",
    "offsets": "Byte offset of each field.",
    "types": 'Type of each field: a scalar, "pointer", a struct\'s name, or an array of one of them ("char[64]").',
    "enums": "Values of enums and flags; webgpu.h's without the type's name in front.",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="the file to write, layouts.js; - for standard output")
    parser.add_argument("--clang", default="clang-19")
    parser.add_argument("--webgpu", default=ROOT / "third_party" / "wgpu", help="folder of webgpu.h")
    parser.add_argument("--quern", default=ROOT / "include", help="folder of quern.h and quern_graph.h")
    args = parser.parse_args()
    includes = [Path(args.webgpu), Path(args.quern)]
    headers = plain((includes[0] / "webgpu.h").read_text())
    headers += "".join(plain((includes[1] / name).read_text()) for name in STRUCTS if name != "webgpu.h")
    structs = [name for names in STRUCTS.values() for name in names.split()]
    enums = [name for names in ENUMS.values() for name in names.split()]
    answers = ask_clang(args.clang, includes, STRUCTS, list(questions(headers, structs, enums)))
    text = "// layouts.js - made by web/tools/layouts.py from webgpu.h and Quern's headers; not to be edited.\n"
    for name, table in tables(headers, structs, enums, answers).items():
        rows = ",\n".join(f"  {key}: {json.dumps(value)}" for key, value in table.items())
        text += f"\n/** {COMMENTS[name]} */\nexport const {name} = {{\n{rows},\n}};\n"
    if args.out == "-":
        sys.stdout.write(text)
    else:
        Path(args.out).write_text(text)


if __name__ == "__main__":
    main()
