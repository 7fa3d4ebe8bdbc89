"""Makes the case folders of tests/data/executorch that are not from elsewhere: small modules exported by ExecuTorch
with the Vulkan partitioner, and what PyTorch computes for them.

    pip install executorch==1.5.1 torch==2.13.0 torchao==0.18.0
    make_pte_cases.py OUT [NAME ...]     writes OUT/NAME/ (all cases of pte_case_table.py without names)

A folder has model.pte, case.json and the inputs and golden outputs as raw little-endian arrays. Every model.pte is read
again: the operators that the case names must be in the graph of its one delegate, and the graph, run call by call with
PyTorch's own operators, must give the golden outputs; so a case cannot be about something else than it says.
The same versions of the packages give the same bytes.
"""
import argparse
import dataclasses
import functools
import json
import logging
import os
import pathlib
import shutil
import sys
import warnings
import zlib

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import torch
from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner
from executorch.backends.vulkan.patterns import fusable_patterns
from executorch.exir import EdgeCompileConfig, to_edge, to_edge_transform_and_lower

from pte_case_table import CASES
from pte_graph import Graph, run_graph

DTYPE_NAMES = {torch.float32: "f32", torch.int64: "i64", torch.int32: "i32", torch.int8: "i8", torch.uint8: "u8",
               torch.bool: "bool"}


# The patterns that the partitioner looks for do not depend on the module: exporting them once, not at every use, makes
# an export several times faster.
for pattern in fusable_patterns.values():
    if pattern.get_graphs_fn is not None:
        pattern.get_graphs_fn = functools.cache(pattern.get_graphs_fn)


class Function(torch.nn.Module):
    """A plain function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def make_module(case):
    torch.manual_seed(zlib.crc32(case.name.encode()))
    module = case.make()
    module = module if isinstance(module, torch.nn.Module) else Function(module)
    return module.eval()


def make_inputs(case):
    """The tensors of every call, then of every call that must fail: one generator for all, in order."""
    generator = torch.Generator().manual_seed(zlib.crc32(case.name.encode()) + 1)
    wrong = [inputs for _, inputs in case.errors]
    drawn = [tuple(spec.draw(generator) for spec in call) for call in case.calls + wrong]
    return drawn[:len(case.calls)], drawn[len(case.calls):]


def dynamic_shapes(case, module):
    if not case.dims:
        return None
    names = {}
    shapes = []
    for sizes in case.dims:
        shape = {}
        for dim, (name, most, *least) in sizes.items():
            if name not in names:
                names[name] = torch.export.Dim(name, min=least[0] if least else 1, max=most)
            shape[dim] = names[name]
        shapes.append(shape)
    return (tuple(shapes),) if isinstance(module, Function) else tuple(shapes)


def flat(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


def xnnpack(**changes):
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (XNNPACKQuantizer,
                                                                         get_symmetric_quantization_config)
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
    return XNNPACKQuantizer().set_global(dataclasses.replace(config, **changes))


def vulkan(**config):
    from executorch.backends.vulkan.quantizer.vulkan_quantizer import VulkanQuantizer, get_symmetric_quantization_config
    return VulkanQuantizer().set_global(get_symmetric_quantization_config(**config))


SCHEMES = {"static": xnnpack, "static_float_output": lambda: xnnpack(output_activation=None),
           "weights4": lambda: vulkan(weight_bits=4), "weights8": lambda: vulkan(weight_bits=8)}


def quantize(case, module, samples):
    """Post-training quantization by torchao's flow, calibrated with the first call."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    prepared = prepare_pt2e(torch.export.export(module, samples, strict=True).module(), SCHEMES[case.quantize]())
    prepared(*samples)
    return convert_pt2e(prepared)


def export(case, module, samples):
    program = torch.export.export(module, samples, dynamic_shapes=dynamic_shapes(case, module), strict=True)
    options = {"external_constants_max_data_bytes": case.external} if case.external else {}
    partitioner = VulkanPartitioner(options)
    edge = dict(case.edge or {})
    if "preserve_ops" in edge:
        edge["preserve_ops"] = [getattr(torch.ops.aten, name).default for name in edge["preserve_ops"].split()]
        return to_edge(program, compile_config=EdgeCompileConfig(**edge)).to_backend(partitioner).to_executorch()
    config = EdgeCompileConfig(**edge)
    return to_edge_transform_and_lower(program, compile_config=config, partitioner=[partitioner]).to_executorch()


def check_rejected(case, graph):
    if case.rejected not in graph.kernels:
        raise RuntimeError(f"{case.rejected} is not in the plan: {graph.kernels}")


def check_graph(case, graph, calls, goldens):
    missing = [op for op in case.ops if op not in graph.names]
    if missing:
        raise RuntimeError(f"not in the delegate: {missing}; there is {sorted(set(graph.names))}"
                           f", kernels {graph.kernels}")
    if graph.kernels:
        raise RuntimeError(f"not fully delegated: {graph.kernels}")
    for inputs, golden in zip(calls, goldens):
        for got, want in zip(run_graph(graph, inputs), golden):
            if list(got.shape) != list(want.shape):
                raise RuntimeError(f"the graph's chain gives {list(got.shape)}, the module {list(want.shape)}")
            difference = (got.double() - want.double()).abs()
            same = (got == want) | (got.isnan() & want.isnan()) if got.dtype.is_floating_point else got == want
            bad = ~same & ~(difference <= case.abs) & ~(difference <= case.rel * want.double().abs().clamp(min=1e-6))
            if bad.any():
                raise RuntimeError(f"the graph's chain differs by {difference[bad].max():g} from the module")


def write_array(folder, name, tensor):
    tensor.detach().contiguous().numpy().tofile(folder / name)


def describe_arrays(folder, letter, tensors, call, single):
    entries = []
    for i, tensor in enumerate(tensors):
        file = f"{letter}{i}.bin" if single else f"{letter}{i}.c{call}.bin"
        write_array(folder, file, tensor)
        entry = {"dtype": DTYPE_NAMES[tensor.dtype], "shape": list(tensor.shape), "file": file}
        if letter == "out":
            entry["role"] = f"user_output:{i}"
        entries.append(entry)
    return entries


def describe_errors(folder, case, wrong):
    listed = []
    for i, ((why, _), inputs) in enumerate(zip(case.errors, wrong)):
        entries = []
        for k, tensor in enumerate(inputs):
            file = f"ein{k}.e{i}.bin"
            write_array(folder, file, tensor)
            entries.append({"dtype": DTYPE_NAMES[tensor.dtype], "shape": list(tensor.shape), "file": file})
        listed.append({"why": why, "inputs": entries})
    return listed


def write_case(case, folder, graph, calls, goldens, wrong):
    """All that is not there already: case.json and the arrays."""
    rule = "bit-exact" if case.abs == 0 and case.rel == 0 else "abs or rel"
    text = {"name": case.name, "kind": "op", "source": f"tools/pte_case_table.py: {case.source}",
            "tolerance": {"abs": case.abs, "rel": case.rel, "rule": rule}, "dynamic": bool(case.dims),
            "vk_ops": graph.names}
    if case.rejected:
        text.update({"expect": "reject", "inputs": [], "outputs": []})
        (folder / "case.json").write_text(json.dumps(text, indent=1) + "\n")
        return
    single = len(calls) == 1
    listed = [{"inputs": describe_arrays(folder, "in", inputs, i, single),
               "outputs": describe_arrays(folder, "out", golden, i, single)}
              for i, (inputs, golden) in enumerate(zip(calls, goldens))]
    text.update(listed[0])
    if not single:
        text["calls"] = listed
    if wrong:
        text["error_calls"] = describe_errors(folder, case, wrong)
    data_files = sorted(path.name for path in folder.glob("*.ptd"))
    if data_files:
        text["data_files"] = data_files
    (folder / "case.json").write_text(json.dumps(text, indent=1) + "\n")


def make_case(case, folder):
    """Makes one folder."""
    calls, wrong = make_inputs(case)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    with torch.no_grad():
        module = make_module(case)
        if case.quantize is not None:
            module = quantize(case, module, calls[0])
        goldens = [[t.detach().clone() for t in flat(module(*[x.clone() for x in inputs]))] for inputs in calls]
        program = export(case, module, calls[0])
        (folder / "model.pte").write_bytes(program.buffer)
        program.write_tensor_data_to_file(str(folder))
        graph = Graph(program.buffer, [path.read_bytes() for path in sorted(folder.glob("*.ptd"))])
        if case.rejected:
            check_rejected(case, graph)
        else:
            check_graph(case, graph, calls, goldens)
    write_case(case, folder, graph, calls, goldens, wrong)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    assert len({case.name for case in CASES}) == len(CASES), "two cases of one name"
    failures = []
    for case in CASES:
        if arguments.names and case.name not in arguments.names:
            continue
        try:
            make_case(case, arguments.out / case.name)
            print(f"{case.name}: ok", flush=True)
        except Exception as error:  # every case is tried, then all failures are told
            failures.append(case.name)
            shutil.rmtree(arguments.out / case.name, ignore_errors=True)
            print(f"{case.name}: {type(error).__name__}: {str(error)[:600]}", flush=True)
            if os.environ.get("PTE_TRACE"):
                raise
    if failures:
        sys.exit(f"{len(failures)} failed: {' '.join(failures)}")


if __name__ == "__main__":
    main()
