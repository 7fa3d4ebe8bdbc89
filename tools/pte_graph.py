"""Reads the graph that ExecuTorch's Vulkan partitioner put into a .pte file, with ExecuTorch's own readers, and runs it
with PyTorch's operators: make_pte_cases.py's proof of what is in a file.
"""
import math
import operator

import torch
import executorch.backends.vulkan.custom_ops_lib  # noqa: F401  (registers et_vk operators)
from executorch.backends.vulkan.serialization.vulkan_graph_schema import VkDataType
from executorch.backends.vulkan.serialization.vulkan_graph_serialize import (VulkanDelegateHeader,
                                                                              flatbuffer_to_vk_graph)
from executorch.exir._serialize._cord import Cord
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

TORCH_TYPES = {VkDataType.FLOAT32: torch.float32, VkDataType.INT32: torch.int32, VkDataType.INT8: torch.int8,
               VkDataType.UINT8: torch.uint8, VkDataType.BOOL: torch.bool, VkDataType.INT64: torch.int64,
               VkDataType.FLOAT64: torch.float64}


class Graph:
    """The VkGraph of a program's one delegate, and the execution plan around it."""

    def __init__(self, pte, data_files=()):
        file = deserialize_pte_binary(pte)
        self.plan = file.program.execution_plan[0]
        self.named = {}
        if file.named_data:
            self.named.update((key, file.named_data.buffers[entry.buffer_index])
                              for key, entry in file.named_data.pte_data.items())
        for data in data_files:
            blobs = FlatTensorSerializer().deserialize(Cord(data))
            self.named.update((key, blobs.buffers[entry.buffer_index]) for key, entry in blobs.named_data.items())
        if len(self.plan.delegates) != 1:
            raise RuntimeError(f"{len(self.plan.delegates)} delegates; kernels: "
                               + ", ".join(f"{o.name}.{o.overload}" for o in self.plan.operators))
        blob = bytes(file.program.backend_delegate_data[self.plan.delegates[0].processed.index].data)
        header = VulkanDelegateHeader.from_bytes(blob[:30])
        self.inline = blob[header.bytes_offset:]
        self.graph = flatbuffer_to_vk_graph(
            blob[header.flatbuffer_offset:header.flatbuffer_offset + header.flatbuffer_size])
        self.chain = self.graph.chain
        self.names = [call.name for call in self.chain]
        self.kernels = [f"{o.name}.{o.overload}" for o in self.plan.operators]

    def constant(self, tensor):
        stored = self.graph.constants[tensor.constant_id]
        if stored.offset == 2 ** 64 - 1:
            data = bytes(self.named[stored.named_key])
        else:
            data = self.inline[stored.offset:stored.offset + stored.length]
        array = torch.frombuffer(bytearray(data), dtype=TORCH_TYPES[tensor.datatype])
        return array[:math.prod(tensor.dims)].reshape(tensor.dims).clone()


def linear_qcs4w(x, weight, scales):
    """PyTorch's own version forgets that 8 was added to the weights. The even columns are in the high nibbles."""
    codes = torch.stack((weight >> 4, weight & 15), -1).reshape(weight.shape[0], -1).to(torch.float32) - 8
    return x @ (codes * scales.reshape(-1, 1)).t()


def q8ta_conv2d(operator_name, kernel_at):
    """The rows of the weights are (kernel row, kernel column, input channel) in the files; PyTorch's own version of
    these operators takes them as (input channel, kernel row, kernel column)."""

    def run(x, *args):
        args = list(args)
        weight, (height, width), groups = args[2], args[kernel_at], args[-2]
        channels = x.shape[1] // groups
        weight = weight[:, :height * width * channels].reshape(-1, height, width, channels)
        args[2] = weight.permute(0, 3, 1, 2).reshape(weight.shape[0], -1)
        return getattr(torch.ops.et_vk, operator_name)(x, *args)

    return run


def linear_q8ta_q8csw(x, scale, zero, weight, _sums, scales, bias):
    """PyTorch's own version forgets the scale and the zero point of x."""
    y = ((x.to(torch.float32) - zero) * scale) @ (weight.to(torch.float32) * scales[:weight.shape[0], None]).t()
    return y if bias is None else y + bias[:y.shape[-1]]


class Interpreter:
    """Runs a Graph's chain with PyTorch's operators, at the live shapes of the inputs."""

    PYTHON = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv}
    OVERRIDES = {"et_vk.linear_qcs4w.default": linear_qcs4w, "et_vk.linear_q8ta_q8csw.default": linear_q8ta_q8csw,
                 "et_vk.q8ta_conv2d.default": q8ta_conv2d("q8ta_conv2d", 8),
                 "et_vk.q8ta_conv2d_pw.default": q8ta_conv2d("q8ta_conv2d_pw", 8),
                 "et_vk.q8ta_conv2d_transposed.default": q8ta_conv2d("q8ta_conv2d_transposed", 8)}
    COPIES = ("et_vk.prepack", "aten.clone", "aten._to_copy", "dim_order_ops._to_dim_order_copy")  # to out's type

    def __init__(self, graph):
        self.g = graph
        self.values = {}

    FIELDS = {"Int": "int_val", "Double": "double_val", "Bool": "bool_val", "String": "string_val", "IntList": "items",
              "DoubleList": "items", "BoolList": "items"}

    def read(self, index):
        value = self.g.graph.values[index].value
        kind = type(value).__name__
        if index in self.values:
            return self.values[index]
        if kind == "VkTensor" and value.constant_id >= 0:
            return self.values.setdefault(index, self.g.constant(value))
        if kind == "ValueList":
            return [self.read(i) for i in value.items]
        if kind == "Null":
            return None
        if kind not in self.FIELDS:
            raise RuntimeError(f"value {index}, {kind}, is read before it is written")
        return getattr(value, self.FIELDS[kind])

    def write(self, index, result):
        value = self.g.graph.values[index].value
        if type(value).__name__ == "ValueList":
            for i, item in zip(value.items, result):
                self.write(i, item)
            return
        if type(value).__name__ == "VkTensor":
            if result.dim() != len(value.dims) or any(a > b for a, b in zip(result.shape, value.dims)):
                raise RuntimeError(f"value {index}: {list(result.shape)} over {list(value.dims)}")
            result = result.to(TORCH_TYPES[value.datatype])
        self.values[index] = result

    def run_call(self, call):
        args = [self.read(i) for i in call.args[:-1]]
        out = call.args[-1]
        base = call.name.rsplit(".", 1)[0]
        if call.name in self.PYTHON:
            self.write(out, self.PYTHON[call.name](*args))
        elif call.name == "sym_size.int":
            self.write(out, args[0].shape[args[1]])
        elif base in self.COPIES:
            self.write(out, args[0])
        elif call.name == "et_vk.select_as_symint.default":
            self.write(out, int(args[0].select(args[1], args[2]).reshape(-1)[0]))
        else:
            self.write(out, self.torch_call(call.name, args))

    @staticmethod
    def element_type(operator_name, argument_name):
        """Element types are not written in the files: int8 is what is quantized to, float32 what from."""
        if argument_name == "out_dtype":
            return None
        from_int8 = operator_name.startswith("dequantize") and argument_name == "output_dtype"
        return torch.float32 if from_int8 else torch.int8

    @staticmethod
    def convert(argument, value):
        """A number of the file as what the operator's schema asks for: equal ones are pooled whatever their kind, and
        an infinity is written as the largest double."""
        kind = str(argument.type)
        if isinstance(value, float) and abs(value) > torch.finfo(torch.float32).max:
            return math.copysign(math.inf, value)
        if kind in ("float", "Optional[float]") and type(value) is int:
            return float(value)
        if kind in ("int", "Optional[int]") and type(value) is float:
            return int(value)
        return value

    def torch_call(self, name, args):
        namespace, operator_name, overload = (["llama"] + name.split("."))[-3:]
        if name in self.OVERRIDES:
            return self.OVERRIDES[name](*args)
        target = getattr(getattr(getattr(torch.ops, namespace), operator_name), overload)
        taken, named = [], {}
        for argument, value in zip(target._schema.arguments, args):
            if namespace in ("quantized_decomposed", "torchao") and "dtype" in argument.name:
                value = self.element_type(operator_name, argument.name)
            value = self.convert(argument, value)
            if argument.kwarg_only:
                named[argument.name] = value
            else:
                taken.append(value)
        return target(*taken, **named)

    def run(self, inputs):
        for index, tensor in zip(self.g.graph.input_ids, inputs):
            dtype = TORCH_TYPES[self.g.graph.values[index].value.datatype]
            self.values[index] = tensor.to(dtype)
        for call in self.g.chain:
            self.run_call(call)
        return [self.read(i) for i in self.g.graph.output_ids]


def run_graph(graph, inputs):
    """The method's outputs by running its delegate's chain."""
    call = graph.plan.chains[0].instructions[0].instr_args
    plan = graph.plan
    entry = {}
    for index, tensor in zip(plan.inputs, inputs):
        entry[index] = tensor
    names = call.args
    count = len(graph.graph.input_ids)
    results = Interpreter(graph).run([entry[i] for i in names[:count]])
    for index, tensor in zip(names[count:], results):
        entry[index] = tensor
    return [entry[i] for i in plan.outputs]
