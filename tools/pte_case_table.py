"""The cases of make_pte_cases.py: what is exported, with which inputs, and the operators it is about.

A module is a Python expression in text, so that case.json can say exactly what was exported.

What ExecuTorch's registry of Vulkan operators (backends/vulkan/op_registry.py) names, and no export here contains:

aten.hardshrink: decomposed into abs, le, where and a scalar_tensor that stays on the CPU
aten.scalar_tensor: never delegated; where(x > 0, x, 1.5), masked_fill and tril leave aten::scalar_tensor.out on the CPU
aten.permute: a view, exported as permute_copy, as transpose, t and movedim are
aten.alias_copy, aten.copy, _clone_dim_order: removed before the file is written; aten.clone comes as a change of layout
llama.custom_sdpa: alone, the fusing pass fails; with update_cache it becomes sdpa_with_kv_cache
quantized_decomposed.embedding_4bit: becomes et_vk.embedding_q4gsw
et_vk.q4gsw_requant: has no out variant, to_executorch fails
et_vk.adamw_step, fused_ce, linear_dW, linear_q4gsw_backward: for training
operator.lt, gt, ge, le, eq, _assert_scalar, sym_constrain_range_for_size: they only check, and are removed

Linear layers with dynamic 8-bit quantization (dequantize_per_channel, then aten.linear) compute with activations that
were not rounded, unlike PyTorch: there is no golden for them.

Not in the registry, so on the CPU, and an error here: floor, ceil, log, log1p, erf, elu, reciprocal, maximum,
ne.Tensor, abs of integers, sum over everything, max.dim, var, cumsum, slice_scatter, index.Tensor with more than one
index or one of rank 2, mul.Scalar and any (so F.scaled_dot_product_attention), add.Scalar (so nn.RMSNorm; written out,
it becomes et_vk.rms_norm).
"""
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: F401  (used by the expressions)
from torch import nn


@dataclass
class Input:
    """What one input tensor is filled with: uniform numbers of [low, high), or given values."""
    shape: tuple
    kind: str = "f32"
    low: float = -1.0
    high: float = 1.0
    values: list = None

    def draw(self, generator):
        dtype = {"f32": torch.float32, "i64": torch.int64, "i32": torch.int32, "i8": torch.int8, "bool": torch.bool}
        if self.values is not None:
            return torch.tensor(self.values, dtype=dtype[self.kind]).reshape(self.shape)
        if self.kind == "f32":
            return torch.rand(self.shape, generator=generator) * (self.high - self.low) + self.low
        if self.kind == "bool":
            return torch.rand(self.shape, generator=generator) < 0.5
        return torch.randint(int(self.low), int(self.high), self.shape, generator=generator, dtype=dtype[self.kind])


@dataclass
class Case:
    """One export. `calls` has a tuple of Inputs a call, the first with the largest shapes; `dims` says for each input
    which dimensions are dynamic: {dim: (name, most)} or {dim: (name, most, least)}."""
    name: str
    ops: list
    source: str
    calls: list
    dims: list = None
    abs: float = 1e-4
    rel: float = 1e-4
    quantize: str = None  # the scheme of post-training quantization, a key of SCHEMES in make_pte_cases.py
    errors: list = field(default_factory=list)  # calls that must fail: (why, tuple of Inputs)
    external: int = 0  # most bytes of constants in a .ptd file; 0: they are in model.pte
    edge: dict = None  # options of EdgeCompileConfig; "preserve_ops" (text) goes the older way, to_edge and to_backend
    rejected: str = None  # a CPU kernel that the plan calls and nothing here has: the file must be refused

    def make(self):
        return eval(self.source, globals())


CASES = []


def case(name, ops, source, *calls, dims=None, exact=False, **more):
    if exact:
        more.update(abs=0, rel=0)
    CASES.append(Case(name, ops.split(), source, [c if isinstance(c, tuple) else (c,) for c in calls], dims, **more))


def f(*shape, low=-1.0, high=1.0):
    return Input(shape, "f32", low, high)


def i64(*shape, low=0, high=10):
    return Input(shape, "i64", low, high)


def i32(*shape, low=-10, high=10):
    return Input(shape, "i32", low, high)


def b(*shape):
    return Input(shape, "bool")


def of(kind, values, *shape):
    return Input(shape or (len(values),), kind, values=values)


S16 = ("s", 16)
S8 = ("s", 8)

# --- one input, element by element ----------------------------------------------------------------

UNARY = [
    ("abs", "torch.abs", -2, 2), ("cos", "torch.cos", -6, 6), ("sin", "torch.sin", -6, 6), ("exp", "torch.exp", -4, 4),
    ("hardswish", "F.hardswish", -5, 5), ("neg", "torch.neg", -2, 2), ("relu", "torch.relu", -1, 1),
    ("sqrt", "torch.sqrt", 0.01, 9), ("rsqrt", "torch.rsqrt", 0.1, 9), ("tanh", "torch.tanh", -5, 5),
    ("round", "torch.round", -9, 9), ("log10", "torch.log10", 0.01, 100),
]
for op, source, low, high in UNARY:
    tight = op in ("abs", "neg", "relu", "round")
    case(f"{op}_rank3", f"aten.{op}.default", source, f(3, 5, 7, low=low, high=high), exact=tight)
    case(f"{op}_dyn", f"aten.{op}.default", source, f(16, 12, low=low, high=high), f(3, 12, low=low, high=high),
         f(1, 12, low=low, high=high), dims=[{0: S16}], exact=tight)

case("round_ties", "aten.round.default", "torch.round",
     of("f32", [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 0.0, 0.49999997, 8388609.0, -1e10], 3, 4), exact=True)
case("gelu_tanh_dyn", "aten.gelu.default", "nn.GELU(approximate='tanh')", f(2, 16, 6, low=-5, high=5),
     f(2, 5, 6, low=-5, high=5), dims=[{1: S16}])
case("gelu_wide", "aten.gelu.default", "nn.GELU()", f(4, 33, low=-8, high=8))
case("sigmoid_rank1", "aten.sigmoid.default", "torch.sigmoid", f(37, low=-12, high=12))
case("silu_dyn", "aten.sigmoid.default aten.mul.Tensor", "nn.SiLU()", f(16, 8), f(7, 8), dims=[{0: S16}])
case("leaky_relu_rank4", "aten.leaky_relu.default", "nn.LeakyReLU()", f(1, 4, 5, 6))
case("leaky_relu_slope", "aten.leaky_relu.default", "nn.LeakyReLU(0.2)", f(16, 9), f(4, 9), dims=[{0: S16}])
case("hardtanh_unit", "aten.hardtanh.default", "nn.Hardtanh()", f(6, 7, low=-3, high=3), exact=True)
case("hardtanh_range", "aten.hardtanh.default", "nn.Hardtanh(-0.5, 2.25)", f(2, 3, 16, low=-4, high=4),
     f(2, 3, 5, low=-4, high=4), dims=[{2: S16}], exact=True)
case("relu6_rank4", "aten.hardtanh.default", "nn.ReLU6()", f(1, 3, 4, 5, low=-4, high=9), exact=True)
case("hardsigmoid_rank2", "aten.clamp.default aten.div.Tensor", "nn.Hardsigmoid()", f(5, 9, low=-5, high=5))
case("clamp_min", "aten.clamp.default", "lambda x: torch.clamp(x, min=-0.25)", f(5, 9), exact=True)
case("clamp_max", "aten.clamp.default", "lambda x: torch.clamp(x, max=0.5)", f(16, 9), f(2, 9), dims=[{0: S16}],
     exact=True)
case("clamp_both_rank4", "aten.clamp.default", "lambda x: x.clamp(-0.3, 0.7)", f(2, 3, 4, 5), exact=True)
case("clamp_int", "aten.clamp.default", "lambda x: x.clamp(-3, 4)", i32(4, 9), exact=True)
case("square_rank2", "aten.pow.Tensor_Scalar", "torch.square", f(5, 9, low=-3, high=3))
case("exp_rank0", "aten.exp.default", "torch.exp", f())
case("exp_rank1", "aten.exp.default", "torch.exp", f(13))

# --- two inputs, element by element ---------------------------------------------------------------

POSITIVE = {"low": 0.5, "high": 3}
case("add_rank5", "aten.add.Tensor", "torch.add", (f(2, 3, 2, 4, 5), f(3, 1, 4, 1)))
case("add_int", "aten.add.Tensor", "torch.add", (i32(4, 6), i32(4, 6)), exact=True)
case("add_int64", "aten.add.Tensor", "torch.add", (i64(4, 6), i64(6)), exact=True)
case("add_scalar", "aten.add.Tensor", "lambda x: x + 2.5", f(4, 6))
case("add_dyn_bcast", "aten.add.Tensor", "torch.add", (f(16, 6), f(1, 6)), (f(5, 6), f(1, 6)), dims=[{0: S16}, {}])
case("add_promote", "aten.add.Tensor", "torch.add", (f(4, 6), i32(4, 6)))
case("sub_rank5", "aten.sub.Tensor", "torch.sub", (f(2, 1, 3, 4, 5), f(2, 3, 1, 1, 5)))
case("sub_alpha_int", "aten.sub.Tensor", "lambda a, b: torch.sub(a, b, alpha=3)", (i32(4, 6), i32(6)), exact=True)
case("sub_rsub", "aten.sub.Tensor", "lambda x: 1.0 - x", f(4, 6))
case("mul_int", "aten.mul.Tensor", "torch.mul", (i32(4, 6), i32(4, 1)), exact=True)
case("mul_rank6", "aten.mul.Tensor", "torch.mul", (f(2, 1, 3, 1, 2, 5), f(1, 4, 3, 2, 1, 5)))
case("div_bcast", "aten.div.Tensor", "torch.div", (f(3, 4, 5), f(4, 1, **POSITIVE)))
case("div_dyn", "aten.div.Tensor", "torch.div", (f(16, 6), f(16, 6, **POSITIVE)), (f(3, 6), f(3, 6, **POSITIVE)),
     dims=[{0: S16}, {0: S16}])
case("div_scalar", "aten.div.Tensor", "lambda x: x / 3.0", f(4, 6))
for mode in ("trunc", "floor"):
    source = f"lambda a, b: torch.div(a, b, rounding_mode='{mode}')"
    case(f"div_{mode}", "aten.div.Tensor_mode", source, (f(5, 7, low=-9, high=9), f(5, 7, **POSITIVE)), exact=True)
    case(f"div_{mode}_int", "aten.div.Tensor_mode", source, (i32(5, 7, low=-20, high=20), i32(7, low=1, high=6)),
         exact=True)
    case(f"div_{mode}_dyn", "aten.div.Tensor_mode", source, (f(16, 3, low=-9, high=9), f(1, 3, low=-3, high=-0.5)),
         (f(2, 3, low=-9, high=9), f(1, 3, low=-3, high=-0.5)), dims=[{0: S16}, {}], exact=True)
case("floor_divide_scalar", "aten.div.Tensor_mode", "lambda x: x // 2", f(4, 6, low=-9, high=9), exact=True)
case("div_none_mode", "aten.div.Tensor_mode", "lambda a, b: torch.div(a, b, rounding_mode=None)",
     (f(4, 6), f(4, 6, **POSITIVE)))
case("minimum_bcast", "aten.minimum.default", "torch.minimum", (f(3, 4, 5), f(1, 4, 1)), exact=True)
case("minimum_dyn", "aten.minimum.default", "torch.minimum", (f(16, 5), f(16, 5)), (f(4, 5), f(4, 5)),
     dims=[{0: S16}, {0: S16}], exact=True)
case("minimum_int", "aten.minimum.default", "torch.minimum", (i32(4, 5), i32(4, 5)), exact=True)
case("pow_tensor", "aten.pow.Tensor_Tensor", "torch.pow", (f(4, 5, low=0.1, high=3), f(4, 5, low=-2, high=2)))
case("pow_tensor_bcast", "aten.pow.Tensor_Tensor", "torch.pow", (f(16, 3, 5, low=0.1, high=3), f(3, 1, low=-2, high=2)),
     (f(2, 3, 5, low=0.1, high=3), f(3, 1, low=-2, high=2)), dims=[{0: S16}, {}])
case("pow_two_negative", "aten.pow.Tensor_Scalar", "lambda x: x ** 2", f(16, 7, low=-3, high=3),
     f(4, 7, low=-3, high=3), dims=[{0: S16}])
case("pow_three_negative", "aten.pow.Tensor_Scalar", "lambda x: x ** 3", f(4, 7, low=-3, high=3))
case("pow_half", "aten.pow.Tensor_Scalar", "lambda x: x ** 0.5", f(2, 3, 4, 5, low=0.01, high=4))
case("pow_negative", "aten.pow.Tensor_Scalar", "lambda x: x ** -1.5", f(4, 7, low=0.2, high=4))
case("pow_rank5", "aten.pow.Tensor_Scalar", "lambda x: x ** 2", f(2, 3, 2, 3, 4))

for op in ("eq", "lt", "le", "gt", "ge"):
    tensor = f"lambda a, b: torch.{op}(torch.round(a), torch.round(b))"
    case(f"{op}_tensor", f"aten.{op}.Tensor", f"lambda a, b: torch.{op}(a, b)",
         (i32(5, 7, low=-2, high=3), i32(5, 7, low=-2, high=3)), exact=True)
    case(f"{op}_tensor_dyn", f"aten.{op}.Tensor", tensor, (f(16, 3, 5, low=-2, high=2), f(3, 1, low=-2, high=2)),
         (f(4, 3, 5, low=-2, high=2), f(3, 1, low=-2, high=2)), dims=[{0: S16}, {}], exact=True)

for op in ("eq", "lt", "le", "gt", "ge", "ne"):
    case(f"{op}_scalar", f"aten.{op}.Scalar", f"lambda x: torch.{op}(x, 1)", i32(5, 7, low=-2, high=3), exact=True)
    case(f"{op}_scalar_dyn", f"aten.{op}.Scalar", f"lambda x: torch.{op}(torch.round(x), 1.0)",
         f(16, 6, low=-3, high=3), f(3, 6, low=-3, high=3), dims=[{0: S16}], exact=True)

for op in ("logical_and", "logical_or"):
    case(f"{op}_rank2", f"aten.{op}.default", f"torch.{op}", (b(5, 7), b(5, 7)), exact=True)
    case(f"{op}_dyn", f"aten.{op}.default", f"lambda x, y: torch.{op}(x > 0, y < 0.25)", (f(16, 5), f(1, 5)),
         (f(3, 5), f(1, 5)), dims=[{0: S16}, {}], exact=True)
case("logical_not_rank2", "aten.logical_not.default", "torch.logical_not", b(5, 7), exact=True)
case("logical_not_dyn", "aten.logical_not.default", "lambda x: torch.logical_not(x > 0.2)", f(16, 5), f(3, 5),
     dims=[{0: S16}], exact=True)
for op in ("bitwise_and", "bitwise_or"):
    case(f"{op}_rank2", f"aten.{op}.Tensor", f"torch.{op}", (b(5, 7), b(5, 7)), exact=True)
    case(f"{op}_bcast", f"aten.{op}.Tensor", f"torch.{op}", (b(2, 3, 4, 5), b(3, 1, 5)), exact=True)
case("bitwise_not_rank2", "aten.bitwise_not.default", "torch.bitwise_not", b(5, 7), exact=True)
case("bitwise_not_dyn", "aten.bitwise_not.default", "lambda x: ~(x > 0.2)", f(16, 5), f(3, 5), dims=[{0: S16}],
     exact=True)
case("where_bcast", "aten.where.self", "torch.where", (b(4, 1), f(3, 4, 5), f(5)), exact=True)
case("where_dyn", "aten.where.self", "lambda x, y: torch.where(x > y, x, y)", (f(16, 5), f(16, 5)), (f(2, 5), f(2, 5)),
     dims=[{0: S16}, {0: S16}], exact=True)

# --- conversions and copies -----------------------------------------------------------------------

TO = "dim_order_ops._to_dim_order_copy.default"
case("to_int", TO, "lambda x: x.to(torch.int32)", f(4, 6, low=-9, high=9), exact=True)
case("to_int64_dyn", TO, "lambda x: x.to(torch.int64)", f(16, 6, low=-9, high=9), f(3, 6, low=-9, high=9),
     dims=[{0: S16}], exact=True)
case("to_float_from_int64", TO, "lambda x: x.to(torch.float32) * 0.5", i64(16, 3), i64(5, 3), dims=[{0: S16}],
     exact=True)
case("to_bool", TO, "lambda x: x.to(torch.bool)", of("f32", [0.0, -0.0, 0.25, -3.0, 1.0, 0.0], 2, 3), exact=True)
case("to_int_from_bool", TO, "lambda x: x.to(torch.int32) + 1", b(4, 6), exact=True)
case("to_rank5", TO, "lambda x: x.to(torch.int32)", f(2, 3, 2, 3, 4, low=-9, high=9), exact=True)
PLAIN_COPY = {"_skip_dim_order": True}
case("aten_to_copy_int", "aten._to_copy.default", "lambda x: x.to(torch.int32)", f(4, 6, low=-9, high=9),
     edge=PLAIN_COPY, exact=True)
case("aten_to_copy_float_dyn", "aten._to_copy.default", "lambda x: x.to(torch.float32) * 0.5", i64(16, 3), i64(5, 3),
     dims=[{0: S16}], edge=PLAIN_COPY, exact=True)
case("aten_to_copy_bool", "aten._to_copy.default", "lambda x: x.to(torch.float32) + 1", b(3, 5), edge=PLAIN_COPY,
     exact=True)
case("contiguous_permuted", "aten.permute_copy.default", "lambda x: x.transpose(0, 1).contiguous() * 2", f(4, 6))
case("where_constant", "aten.where.self et_vk.prepack.default", "lambda x: torch.where(x > 0, x, torch.tensor(-1e9))",
     f(4, 6), exact=True)
case("reject_cpu_kernel", "aten.exp.default", "lambda x: torch.floor(torch.exp(x))", f(4, 6),
     rejected="aten::floor.out")
case("detach_rank2", "aten.mul.Tensor", "lambda x: x.detach() * 2", f(4, 6))

# --- movement -------------------------------------------------------------------------------------

case("transpose_inner", "aten.permute_copy.default", "lambda x: x.transpose(1, 2)", f(2, 16, 5), f(2, 3, 5),
     dims=[{1: S16}], exact=True)
case("t_rank2", "aten.permute_copy.default", "lambda x: x.t()", f(7, 5), exact=True)
case("t_copy_rank2", "aten.t_copy.default", "torch.t_copy", f(4, 6), edge={"preserve_ops": "t_copy"}, exact=True)
case("t_copy_row", "aten.t_copy.default", "lambda x: torch.t_copy(x) * 2", f(1, 7), edge={"preserve_ops": "t_copy"},
     exact=True)
case("permute_rank5", "aten.permute_copy.default", "lambda x: x.permute(4, 0, 3, 1, 2)", f(2, 3, 4, 2, 5), exact=True)
case("permute_rank6", "aten.permute_copy.default", "lambda x: x.permute(5, 1, 0, 3, 2, 4)", f(2, 3, 2, 2, 3, 4),
     exact=True)
case("permute_bool", "aten.permute_copy.default", "lambda x: x.permute(1, 0)", b(3, 6), exact=True)
case("view_rank5", "aten.view_copy.default", "lambda x: x.reshape(2, 3, 2, 2, 5)", f(6, 20), exact=True)
case("view_dyn", "aten.view_copy.default", "lambda x: x.view(x.shape[0], 3, 4)", f(16, 12), f(5, 12), dims=[{0: S16}],
     exact=True, errors=[("rank 1", (f(12),)), ("11 columns", (f(5, 11),))])
case("view_flatten_dyn", "aten.view_copy.default", "lambda x: x.view(-1, 4)", f(16, 3, 4), f(5, 3, 4), dims=[{0: S16}],
     exact=True)
case("view_mul_symint", "sym_size.int mul aten.expand_copy.default aten.view_copy.default",
     "lambda x: x.unsqueeze(1).expand(-1, 3, -1).reshape(-1, 5)", f(16, 5), f(7, 5), f(2, 5), dims=[{0: ("s", 16, 2)}],
     exact=True)
case("view_minus_one_dyn", "aten.cat.default aten.view_copy.default", "lambda x: torch.cat([x, x], 1).view(-1, 5)",
     f(16, 5), f(3, 5), dims=[{0: S16}], exact=True)
case("view_to_scalar", "aten.view_copy.default", "lambda x: x.view(1, 1, 6)", f(2, 3), exact=True)
case("squeeze_two", "aten.squeeze_copy.dims", "lambda x: x.squeeze((0, 2))", f(1, 4, 1, 6), exact=True)
case("squeeze_dyn", "aten.squeeze_copy.dims", "lambda x: x.squeeze(1)", f(16, 1, 6), f(5, 1, 6), dims=[{0: S16}],
     exact=True)
case("squeeze_all", "aten.squeeze_copy.dims", "lambda x: x.squeeze()", f(1, 4, 1, 6), exact=True)
case("unsqueeze_last", "aten.unsqueeze_copy.default", "lambda x: x.unsqueeze(-1)", f(16, 6), f(5, 6), dims=[{0: S16}],
     exact=True)
case("unsqueeze_rank4", "aten.unsqueeze_copy.default", "lambda x: x.unsqueeze(2)", f(2, 3, 4, 5), exact=True)
case("expand_bcast", "aten.expand_copy.default", "lambda x: x.expand(3, 4, 5) + 0.0", f(4, 1), exact=True)
case("expand_same", "aten.expand_copy.default", "lambda x: x.expand(-1, 6, -1)", f(2, 1, 5), exact=True)
case("expand_rank5", "aten.expand_copy.default", "lambda x: x.expand(2, 2, 3, 4, 5)", f(3, 1, 5), exact=True)
case("expand_int", "aten.expand_copy.default", "lambda x: x.expand(4, 6)", i64(1, 6), exact=True)
case("repeat_rank3", "aten.repeat.default", "lambda x: x.repeat(2, 1, 3)", f(2, 3, 4), exact=True)
case("repeat_more_dims", "aten.repeat.default", "lambda x: x.repeat(2, 3, 2)", f(3, 4), exact=True)
case("repeat_int", "aten.repeat.default", "lambda x: x.repeat(3, 1)", i32(2, 5), exact=True)
case("flip_two", "aten.flip.default", "lambda x: x.flip(0, 2)", f(3, 4, 5), exact=True)
case("flip_last_rank4", "aten.flip.default", "lambda x: x.flip(-1)", f(2, 3, 4, 5), exact=True)
case("flip_rank1", "aten.flip.default", "lambda x: x.flip(0)", f(9), exact=True)
case("pad_last", "aten.constant_pad_nd.default", "lambda x: F.pad(x, (1, 2))", f(3, 8), exact=True)
case("pad_rank3", "aten.constant_pad_nd.default", "lambda x: F.pad(x, (1, 1, 2, 0), value=0.75)", f(2, 16, 5),
     f(2, 3, 5), dims=[{1: S16}], exact=True)
case("pad_rank4", "aten.constant_pad_nd.default", "nn.ConstantPad2d((0, 3, 1, 2), -1.5)", f(1, 3, 4, 5), exact=True)
case("pad_crop", "aten.constant_pad_nd.default", "lambda x: F.pad(x, (-1, 2, 1, -1))", f(2, 4, 5), exact=True)
case("pad_int", "aten.constant_pad_nd.default", "lambda x: F.pad(x, (1, 1), value=7)", i32(3, 4), exact=True)
case("pixel_shuffle_2", "aten.pixel_shuffle.default", "nn.PixelShuffle(2)", f(1, 12, 3, 5), exact=True)
case("pixel_shuffle_3", "aten.pixel_shuffle.default", "nn.PixelShuffle(3)", f(1, 18, 8, 3), f(1, 18, 2, 3),
     dims=[{2: S8}], exact=True)
case("pixel_shuffle_batch", "aten.pixel_shuffle.default", "nn.PixelShuffle(2)", f(2, 8, 3, 4), exact=True)
case("pixel_unshuffle_2", "aten.permute_copy.default", "nn.PixelUnshuffle(2)", f(1, 3, 4, 6), exact=True)
case("channel_shuffle", "aten.permute_copy.default", "nn.ChannelShuffle(2)", f(1, 6, 3, 4), exact=True)
case("unfold", "aten.unfold_copy.default", "lambda x: x.unfold(1, 3, 2)", f(2, 9, 4), exact=True)
case("unfold_last", "aten.unfold_copy.default", "lambda x: x.unfold(-1, 4, 1)", f(3, 10), exact=True)
case("cat_int", "aten.cat.default", "lambda a, b: torch.cat([a, b], -1)", (i32(3, 4), i32(3, 2)), exact=True)
case("cat_five", "aten.cat.default", "lambda a, b: torch.cat([a, b, a, b, a, a, b, b, a], 1)", (f(2, 3, 4), f(2, 1, 4)),
     exact=True)
case("cat_dyn", "aten.cat.default", "lambda a, b: torch.cat([a, b], 1)", (f(2, 16, 4), f(2, 3, 4)),
     (f(2, 2, 4), f(2, 3, 4)), dims=[{1: S16}, {}], exact=True,
     errors=[("17 rows", (f(2, 17, 4), f(2, 3, 4))), ("another batch", (f(1, 3, 4), f(2, 3, 4)))])
case("stack_rank2", "aten.cat.default", "lambda a, b: torch.stack([a, b], 1)", (f(3, 4), f(3, 4)), exact=True)
case("split_equal", "aten.split_with_sizes_copy.default", "lambda x: torch.split(x, 2, dim=1)", f(3, 6, 4), exact=True)
case("split_dyn", "aten.split_with_sizes_copy.default", "lambda x: torch.split(x, [1, 4, 3], dim=-1)", f(16, 8),
     f(3, 8), dims=[{0: S16}], exact=True)
case("chunk_rank4", "aten.split_with_sizes_copy.default", "lambda x: torch.chunk(x, 2, dim=1)", f(1, 6, 3, 4),
     exact=True)
case("unbind", "aten.slice_copy.Tensor aten.squeeze_copy.dims", "lambda x: torch.unbind(x, 1)", f(3, 2, 4), exact=True)
case("select_dyn_mid", "aten.select_copy.int", "lambda x: x[:, 2]", f(16, 4, 5), f(3, 4, 5), dims=[{0: S16}],
     exact=True)
case("select_bool", "aten.select_copy.int", "lambda x: x[1]", b(3, 7), exact=True)
case("slice_dyn_to_end", "aten.slice_copy.Tensor", "lambda x: x[2:]", f(16, 5), f(7, 5), f(4, 5),
     dims=[{0: ("s", 16, 3)}], exact=True, errors=[("nothing left of two rows", (f(2, 5),))])
case("slice_dyn_negative", "aten.slice_copy.Tensor", "lambda x: x[:, -2:]", f(2, 16, 5), f(2, 3, 5),
     dims=[{1: ("s", 16, 3)}], exact=True)
case("slice_sub_symint", "sym_size.int sub aten.slice_copy.Tensor", "lambda x: x[:x.shape[0] - 3]", f(16, 5), f(9, 5),
     f(4, 5), dims=[{0: ("s", 16, 4)}], exact=True)
case("slice_two_symints", "sym_size.int sub aten.slice_copy.Tensor", "lambda x, y: y[x.shape[0] - 4:x.shape[0]] * 2.0",
     (f(16, 5), f(20, 3)), (f(4, 5), f(20, 3)), (f(7, 5), f(20, 3)), dims=[{0: ("s", 16, 4)}, {}], exact=True)
case("slice_rank5", "aten.slice_copy.Tensor", "lambda x: x[:, 1:, :, 1::2, :3]", f(2, 3, 2, 4, 5), exact=True)
case("slice_int", "aten.slice_copy.Tensor", "lambda x: x[1:4:2]", i64(5, 3), exact=True)

# --- gathers --------------------------------------------------------------------------------------

case("gather_last", "aten.gather.default", "lambda x, i: torch.gather(x, 1, i)", (f(4, 6), i64(4, 3, high=6)),
     exact=True, errors=[("an index outside", (f(4, 6), i64(4, 3, low=6, high=7)))])
case("gather_first", "aten.gather.default", "lambda x, i: torch.gather(x, 0, i)", (f(5, 3, 4), i64(2, 3, 4, high=5)),
     exact=True)
case("gather_dyn", "aten.gather.default", "lambda x, i: torch.gather(x, 1, i)", (f(2, 6, 4), i64(2, 8, 4, high=6)),
     (f(2, 6, 4), i64(2, 3, 4, high=6)), dims=[{}, {1: S8}], exact=True)
case("gather_int", "aten.gather.default", "lambda x, i: torch.gather(x, -1, i)", (i32(3, 5), i64(3, 5, high=5)),
     exact=True)
case("index_select_mid", "aten.index_select.default", "lambda x, i: torch.index_select(x, 1, i)",
     (f(3, 5, 4), i64(7, high=5)), exact=True)
case("index_select_last", "aten.index_select.default", "lambda x, i: torch.index_select(x, -1, i)",
     (f(4, 6), i64(3, high=6)), exact=True)
case("index_rows", "aten.index.Tensor", "lambda x, i: x[i]", (f(6, 5), i64(8, high=6)), (f(6, 5), i64(3, high=6)),
     dims=[{}, {0: S8}], exact=True,
     errors=[("an index outside", (f(6, 5), of("i64", [0, 6]))), ("nine rows", (f(6, 5), i64(9, high=6)))])
case("index_rank1", "aten.index.Tensor", "lambda x, i: x[i]", (f(9), i64(4, high=9)), exact=True)
case("index_axis1", "aten.index.Tensor", "lambda x, i: x[:, i]", (f(3, 5, 4), i64(6, high=5)), exact=True)
case("index_last", "aten.index.Tensor", "lambda x, i: x[..., i]", (f(2, 3, 6), i64(2, high=6)), exact=True)
case("index_int", "aten.index.Tensor", "lambda x, i: x[i]", (i32(9, 2), i64(4, high=9)), exact=True)
case("embedding_dyn", "aten.embedding.default", "nn.Embedding(11, 6)", i64(2, 8, high=11), i64(2, 3, high=11),
     dims=[{1: S8}], exact=True)
case("embedding_rank1", "aten.embedding.default", "nn.Embedding(7, 5)", i64(9, high=7), exact=True,
     errors=[("an id outside", (of("i64", [0, 1, 2, 3, 4, 5, 6, 7, 0]),)),
     ("a negative id", (of("i64", [0] * 8 + [-1]),))])

# --- constants made in the graph ------------------------------------------------------------------

case("full_rank2", "aten.full.default", "lambda x: x + torch.full((4, 5), 2.5)", f(4, 5))
case("full_alone", "aten.full.default", "lambda x: (torch.full((2, 3), -1.25), x * 2)", f(3))
case("full_dyn", "aten.full.default", "lambda x: torch.full((x.shape[0], 3), 0.5) + x", f(16, 3), f(5, 3),
     dims=[{0: S16}])
case("full_like_rank3", "aten.full_like.default", "lambda x: torch.full_like(x, 3.5)", f(2, 3, 4), exact=True)
case("full_like_dyn", "aten.full_like.default", "lambda x: torch.full_like(x, 3.5) - x", f(16, 4), f(5, 4),
     dims=[{0: S16}])
case("full_int", "aten.full.default", "lambda x: x + torch.full((4, 5), 3, dtype=torch.int32)", i32(4, 5), exact=True)
case("zeros_rank2", "aten.full.default", "lambda x: x + torch.zeros(4, 5)", f(4, 5), exact=True)
case("zeros_like", "aten.full_like.default", "lambda x: torch.zeros_like(x)", f(4, 5), exact=True)
case("ones_like", "aten.full_like.default", "lambda x: torch.ones_like(x) + x", f(4, 5))
case("ones_rank2", "aten.full.default", "lambda x: x * torch.ones(5)", f(4, 5), exact=True)
case("aten_ones", "aten.ones.default", "lambda x: x + torch.ones(4, 6)", f(4, 6), edge={"preserve_ops": "ones"},
     exact=True)
case("aten_ones_alone", "aten.ones.default", "lambda x: (torch.ones(2, 3, 4), x + 1)", f(3),
     edge={"preserve_ops": "ones"}, exact=True)
case("aten_zeros", "aten.zeros.default", "lambda x: x + torch.zeros(4, 6)", f(4, 6), edge={"preserve_ops": "zeros"},
     exact=True)
case("aten_zeros_int", "aten.zeros.default", "lambda x: x + torch.zeros(3, 1, dtype=torch.int32)", i32(3, 4),
     edge={"preserve_ops": "zeros"}, exact=True)
case("aten_ones_like", "aten.ones_like.default", "lambda x: x + torch.ones_like(x)", f(4, 6),
     edge={"preserve_ops": "ones_like"}, exact=True)
case("aten_ones_like_dyn", "aten.ones_like.default", "lambda x: torch.ones_like(x) - x", f(16, 3), f(5, 3),
     dims=[{0: S16}], edge={"preserve_ops": "ones_like"}, exact=True)
case("aten_zeros_like", "aten.zeros_like.default", "lambda x: torch.zeros_like(x)", f(2, 3, 4),
     edge={"preserve_ops": "zeros_like"}, exact=True)
case("aten_zeros_like_dyn", "aten.zeros_like.default", "lambda x: torch.zeros_like(x) + x", f(16, 3), f(5, 3),
     dims=[{0: S16}], edge={"preserve_ops": "zeros_like"}, exact=True)
case("arange_int", "aten.arange.start_step", "lambda x: x + torch.arange(5)", i64(4, 5), exact=True)
case("arange_float", "aten.arange.start_step", "lambda x: x + torch.arange(1.0, 3.5, 0.5)", f(4, 5))
case("arange_dyn", "aten.arange.start_step", "lambda x: torch.arange(x.shape[0]) + x", i64(16), i64(5), dims=[{0: S16}],
     exact=True)
case("arange_dyn_float", "aten.arange.start_step",
     "lambda x: torch.arange(0, x.shape[0], dtype=torch.float32).unsqueeze(1) * x", f(16, 3), f(5, 3), dims=[{0: S16}])
case("arange_add_symint", "sym_size.int add aten.arange.start_step",
     "lambda x: torch.arange(x.shape[0] + 3, dtype=torch.float32)", f(16, 2), f(5, 2), dims=[{0: S16}], exact=True)
case("arange_half_symint", "sym_size.int floordiv aten.arange.start_step",
     "lambda x: torch.arange(x.shape[0] // 2 + 1, dtype=torch.float32)", f(16, 2), f(5, 2), dims=[{0: S16}], exact=True)
case("full_half_symint", "sym_size.int floordiv add aten.full.default",
     "lambda x: torch.full((x.shape[0] // 2 + 1, 3), 1.5)", f(16, 2), f(5, 2), dims=[{0: S16}], exact=True)
case("full_mul_symint", "sym_size.int mul aten.full.default", "lambda x: torch.full((x.shape[0] * 2, 3), 1.5)",
     f(16, 2), f(5, 2), dims=[{0: S16}], exact=True)
case("causal_scores_dyn", "aten.arange.start_step aten.le.Tensor aten.linear.default aten.where.self",
     "lambda x: torch.where(torch.arange(x.shape[0])[None] <= torch.arange(x.shape[0])[:, None], x @ x.t(), "
     "torch.tensor(-1e9))", f(16, 5), f(6, 5), dims=[{0: ("s", 16, 2)}])
case("causal_mask", "aten.arange.start_step aten.where.self",
     "lambda x: torch.where(torch.arange(6) <= torch.arange(6).unsqueeze(1), x, torch.tensor(-1e9))", f(6, 6),
     exact=True)

# --- reductions -----------------------------------------------------------------------------------

for op, name in (("sum", "aten.sum.dim_IntList"), ("mean", "aten.mean.dim"), ("amax", "aten.amax.default"),
                 ("amin", "aten.amin.default")):
    exact = op in ("amax", "amin")
    case(f"{op}_keepdim", name, f"lambda x: torch.{op}(x, dim=-1, keepdim=True)", f(16, 9), f(3, 9), dims=[{0: S16}],
         exact=exact)
    case(f"{op}_dim0", name, f"lambda x: torch.{op}(x, dim=0, keepdim=True)", f(5, 3, 4), exact=exact)
    case(f"{op}_two_dims", name, f"lambda x: torch.{op}(x, dim=(2, 3), keepdim=True)", f(1, 6, 5, 4), exact=exact)
    case(f"{op}_two_outer", name, f"lambda x: torch.{op}(x, dim=(0, 1), keepdim=True)", f(2, 3, 16), f(2, 3, 5),
         dims=[{2: S16}], exact=exact)
    case(f"{op}_long_row", name, f"lambda x: torch.{op}(x, dim=-1)", f(2, 1500), exact=exact,
         **({} if exact else {"abs": 1e-3}))
    case(f"{op}_rank5", name, f"lambda x: torch.{op}(x, dim=-1)", f(2, 3, 2, 3, 7), exact=exact)
    case(f"{op}_dyn_inner", name, f"lambda x: torch.{op}(x, dim=-1, keepdim=True)", f(3, 16), f(3, 5), dims=[{1: S16}],
         exact=exact)
case("mean_all", "aten.mean.dim", "lambda x: torch.mean(x, dim=(0, 1), keepdim=True)", f(4, 6))
case("adaptive_avg_pool", "aten.mean.dim", "nn.AdaptiveAvgPool2d(1)", f(1, 6, 5, 4))
TIES = of("f32", [1, 3, 3, 2, 0, 0, -1, -2, -2, 5, 5, 5, 0, 0, 0, 0, 0, 0], 3, 6)
for op in ("argmax", "argmin"):
    case(f"{op}_ties", f"aten.{op}.default", f"lambda x: torch.{op}(x, dim=-1)", TIES, exact=True)
    case(f"{op}_dim0", f"aten.{op}.default", f"lambda x: torch.{op}(x, dim=0, keepdim=True)", f(7, 3, 4), exact=True)
    case(f"{op}_dyn", f"aten.{op}.default", f"lambda x: torch.{op}(x, dim=-1, keepdim=True)", f(2, 16, 9), f(2, 3, 9),
         dims=[{1: S16}], exact=True)
    case(f"{op}_flat", f"aten.{op}.default", f"lambda x: torch.{op}(x)", f(13), exact=True)
for op, name in (("softmax", "aten._softmax.default"), ("log_softmax", "aten._log_softmax.default")):
    case(f"{op}_dim0", name, f"lambda x: torch.{op}(x, 0)", f(5, 3, 4, low=-4, high=4))
    case(f"{op}_dyn", name, f"lambda x: torch.{op}(x, -1)", f(2, 16, 11, low=-4, high=4), f(2, 3, 11, low=-4, high=4),
         dims=[{1: S16}])
    case(f"{op}_dyn_inner", name, f"lambda x: torch.{op}(x, -1)", f(3, 16, low=-4, high=4), f(3, 5, low=-4, high=4),
         dims=[{1: S16}])
    case(f"{op}_big", name, f"lambda x: torch.{op}(x, 1)", f(2, 700, low=-60, high=60), rel=1e-3)
    case(f"{op}_rank4", name, f"lambda x: torch.{op}(x, 1)", f(1, 5, 3, 4, low=-4, high=4))


class LayerNorm(nn.LayerNorm):
    """With weights that differ from 1 and 0."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1, 1)


class GroupNorm(nn.GroupNorm):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1, 1)


class BatchNorm2d(nn.BatchNorm2d):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1, 1)
        nn.init.uniform_(self.running_mean, -1, 1)
        nn.init.uniform_(self.running_var, 0.5, 2)


class RmsNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps) * self.weight


NORM = "aten.native_layer_norm.default"
case("layer_norm_affine", NORM, "LayerNorm(24)", f(2, 16, 24, low=-3, high=3), f(2, 5, 24, low=-3, high=3),
     dims=[{1: S16}])
case("layer_norm_no_bias", NORM, "LayerNorm(9, bias=False)", f(4, 9))
case("layer_norm_plain", NORM, "nn.LayerNorm(9, elementwise_affine=False)", f(4, 9))
case("layer_norm_two_dims", NORM, "LayerNorm((3, 8), eps=1e-3)", f(4, 3, 8))
case("layer_norm_rank4", NORM, "LayerNorm(7)", f(2, 3, 4, 7))
case("layer_norm_all_outputs", NORM,
     "lambda x: torch.native_layer_norm(x, [8], torch.linspace(0.5, 1.5, 8), torch.linspace(-1, 1, 8), 1e-5)", f(5, 8))
GROUP = "aten.native_group_norm.default"
case("group_norm_2", GROUP, "GroupNorm(2, 6)", f(1, 6, 4, 5))
case("group_norm_3_batch", GROUP, "GroupNorm(3, 9, eps=1e-3)", f(2, 9, 3, 5))
case("group_norm_plain", GROUP, "nn.GroupNorm(4, 4, affine=False)", f(1, 4, 3, 5))
case("group_norm_all_outputs", GROUP,
     "lambda x: torch.native_group_norm(x, torch.linspace(0.5, 1.5, 8), torch.linspace(-1, 1, 8), 1, 8, 20, 2, 1e-5)",
     f(1, 8, 4, 5))
case("group_norm_rank3", GROUP, "GroupNorm(2, 4)", f(2, 4, 7))
BATCH = "aten._native_batch_norm_legit_no_training.default"
case("batch_norm_affine", BATCH, "BatchNorm2d(6)", f(1, 6, 4, 5))
case("batch_norm_plain", BATCH, "BatchNorm2d(5, affine=False, eps=1e-3)", f(2, 5, 3, 4))
case("batch_norm_dyn", BATCH, "BatchNorm2d(4)", f(1, 4, 16, 3), f(1, 4, 5, 3), dims=[{2: S16}])
case("batch_norm_1d", BATCH, "nn.BatchNorm1d(6)", f(2, 6, 5))
RMS = "et_vk.rms_norm.default"
case("rms_norm_rank4", RMS, "RmsNorm(12)", f(2, 3, 4, 12))

# --- products -------------------------------------------------------------------------------------

case("mm_dyn", "aten.mm.default", "torch.mm", (f(16, 12), f(12, 7)), (f(5, 12), f(12, 7)), (f(1, 12), f(12, 7)),
     dims=[{0: S16}, {}])
case("mm_const", "aten.mm.default", "MatmulConstant(9, 5)", f(4, 9))
case("mm_self", "aten.mm.default", "lambda x: torch.mm(x, x)", f(6, 6))
case("bmm_dyn", "aten.bmm.default", "torch.bmm", (f(3, 16, 6), f(3, 6, 16)), (f(3, 5, 6), f(3, 6, 5)),
     dims=[{1: S16}, {2: S16}], errors=[("inner sizes differ", (f(3, 5, 6), f(3, 5, 5)))])
case("bmm_const", "aten.bmm.default", "BatchConstant(3, 6, 5)", f(3, 4, 6))
case("matmul_rank4", "aten.bmm.default", "torch.matmul", (f(2, 3, 4, 5), f(2, 3, 5, 6)))
case("matmul_broadcast", "aten.mm.default aten.view_copy.default", "torch.matmul", (f(2, 3, 4, 5), f(5, 6)))
case("addmm_dyn", "aten.addmm.default", "torch.addmm", (f(7), f(16, 6), f(6, 7)), (f(7), f(3, 6), f(6, 7)),
     dims=[{}, {0: S16}, {}])
case("addmm_scaled", "aten.addmm.default", "lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2.0)",
     (f(4, 7), f(4, 6), f(6, 7)))
case("addmm_const", "aten.addmm.default", "AddmmConstant(6, 7)", f(4, 6))
case("linear_rank3", "aten.linear.default", "nn.Linear(9, 5)", f(2, 16, 9), f(2, 3, 9), dims=[{1: S16}])
case("linear_rank4", "aten.linear.default", "nn.Linear(8, 12, bias=False)", f(2, 3, 4, 8))
case("linear_rank1", "aten.linear.default", "nn.Linear(8, 12)", f(8))
case("linear_input_weight", "aten.linear.default", "F.linear", (f(4, 8), f(5, 8), f(5)))
case("linear_input_weight_dyn", "aten.linear.default", "lambda a, b: a @ b.t()", (f(16, 6), f(16, 6)),
     (f(16, 6), f(3, 6)), (f(1, 6), f(7, 6)), dims=[{0: S16}, {0: ("t", 16)}])
case("linear_external_constants", "aten.linear.default", "nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 6))",
     f(16, 8), f(3, 8), dims=[{0: S16}], external=1 << 20)
case("conv2d_external_constants", "aten.convolution.default", "nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3))",
     f(1, 3, 7, 6), external=800)
case("mlp", "aten.linear.default aten.gelu.default", "nn.Sequential(nn.Linear(8, 20), nn.GELU(), nn.Linear(20, 8))",
     f(16, 8), f(5, 8), dims=[{0: S16}])
case("linear_by_addmm", "aten.linear.default", "nn.Sequential(nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 7, bias=False))",
     f(4, 9), edge={"preserve_ops": ""})
case("einsum", "aten.bmm.default", "lambda a, b: torch.einsum('bhqd,bhkd->bhqk', a, b)", (f(1, 2, 5, 4), f(1, 2, 6, 4)))


class MatmulConstant(nn.Module):
    def __init__(self, k, n):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(k, n) - 0.5)

    def forward(self, x):
        return torch.mm(x, self.weight)


class BatchConstant(nn.Module):
    def __init__(self, batch, k, n):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(batch, k, n) - 0.5)

    def forward(self, x):
        return torch.bmm(x, self.weight)


class AddmmConstant(nn.Module):
    def __init__(self, k, n):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(k, n) - 0.5)
        self.bias = nn.Parameter(torch.rand(n) - 0.5)

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


# --- attention ------------------------------------------------------------------------------------

SDPA = "et_vk.sdpa.default"
case("sdpa_mask", SDPA, "lambda q, k, v, m: torch.ops.et_vk.sdpa(q, k, v, m, None)",
     (f(1, 3, 4, 8), f(1, 3, 6, 8), f(1, 3, 6, 8), f(1, 1, 4, 6, low=-3, high=0)))
case("sdpa_mask_rank2", SDPA, "lambda q, k, v, m: torch.ops.et_vk.sdpa(q, k, v, m, None)",
     (f(1, 3, 4, 8), f(1, 3, 6, 8), f(1, 3, 6, 8), f(4, 6, low=-3, high=0)))
case("sdpa_scaled", SDPA, "lambda q, k, v: torch.ops.et_vk.sdpa(q, k, v, None, 0.5)",
     (f(2, 2, 4, 8), f(2, 2, 4, 8), f(2, 2, 4, 8)))
case("sdpa_direct_mask", SDPA, "lambda q, k, v, m: torch.ops.et_vk.sdpa(q, k, v, m, 0.25)",
     (f(1, 2, 5, 8), f(1, 2, 7, 8), f(1, 2, 7, 8), f(1, 1, 5, 7, low=-3, high=0)))
case("sdpa_direct_dyn", SDPA, "lambda q, k, v: torch.ops.et_vk.sdpa(q, k, v, None, None)",
     (f(1, 2, 16, 8), f(1, 2, 16, 8), f(1, 2, 16, 8)), (f(1, 2, 5, 8), f(1, 2, 5, 8), f(1, 2, 5, 8)),
     dims=[{2: S16}, {2: S16}, {2: S16}])
case("attention_block", "aten.linear.default aten.bmm.default aten._softmax.default", "Attention(16, 2)", f(1, 6, 16))
ROPE = "et_vk.apply_rotary_emb_interleaved.default"
case("rope_interleaved", ROPE, "lambda x, c: torch.ops.et_vk.apply_rotary_emb_interleaved(x, c)", (f(2, 5, 8), f(5, 8)))
case("rope_interleaved_rank4", ROPE, "lambda x, c: torch.ops.et_vk.apply_rotary_emb_interleaved(x, c)",
     (f(1, 6, 12), f(1, 6, 6, 2)))
case("rope_interleaved_const", ROPE, "RopeInterleaved(7, 16)", f(3, 7, 16))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        batch, rows, width = x.shape
        q, k, v = (t.view(batch, rows, self.heads, -1).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        y = torch.softmax(q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5, -1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, rows, width))


class RopeInterleaved(nn.Module):
    def __init__(self, rows, width):
        super().__init__()
        angles = torch.outer(torch.arange(rows), 0.5 ** torch.arange(width // 2))
        self.register_buffer("turns",
             torch.view_as_real(torch.polar(torch.ones_like(angles), angles)).reshape(rows, width))

    def forward(self, x):
        return torch.ops.et_vk.apply_rotary_emb_interleaved(x, self.turns)


# --- convolution and images -----------------------------------------------------------------------

CONV = "aten.convolution.default"
CLAMPED = "et_vk.conv_with_clamp.default"
case("conv2d_3x3", CONV, "nn.Conv2d(3, 5, 3, padding=1)", f(1, 3, 7, 6))
case("conv2d_stride", CONV, "nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)", f(1, 4, 9, 8))
case("conv2d_pointwise", CONV, "nn.Conv2d(6, 7, 1)", f(1, 6, 5, 4))
case("conv2d_dilated", CONV, "nn.Conv2d(2, 3, 3, dilation=2, padding=2)", f(1, 2, 8, 7))
case("conv2d_uneven", CONV, "nn.Conv2d(3, 4, (3, 5), stride=(1, 2), padding=(0, 2))", f(1, 3, 6, 9))
case("conv2d_groups", CONV, "nn.Conv2d(6, 4, 3, groups=2, padding=1)", f(1, 6, 5, 5))
case("conv2d_depthwise", CONV, "nn.Conv2d(6, 6, 3, groups=6, padding=1)", f(1, 6, 6, 5))
case("conv2d_depthwise_stride", CONV, "nn.Conv2d(5, 5, 3, groups=5, stride=2)", f(1, 5, 9, 7))
case("conv2d_depthwise_5x5_dilated", CONV, "nn.Conv2d(4, 4, 5, groups=4, padding=4, dilation=2)", f(1, 4, 9, 9))
case("conv2d_dyn", CONV, "nn.Conv2d(3, 4, 3, padding=1)", f(1, 3, 16, 5), f(1, 3, 6, 5), f(1, 3, 1, 5), dims=[{2: S16}],
     errors=[("17 rows", (f(1, 3, 17, 5),)), ("no rows", (f(1, 3, 0, 5),))])
case("conv_transpose2d", CONV, "nn.ConvTranspose2d(3, 5, 2, stride=2)", f(1, 3, 4, 5))
case("conv_transpose2d_padded", CONV, "nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1)",
     f(1, 4, 4, 3))
case("conv_transpose2d_no_bias", CONV, "nn.ConvTranspose2d(4, 6, 3, bias=False)", f(1, 4, 5, 3))
case("conv_transpose2d_groups", CONV, "nn.ConvTranspose2d(4, 6, 3, groups=2)", f(1, 4, 5, 3))
case("conv_transpose2d_dilated", CONV, "nn.ConvTranspose2d(2, 3, 3, dilation=2)", f(1, 2, 4, 3))
case("conv1d", CONV, "nn.Conv1d(3, 5, 3, padding=1)", f(1, 3, 9))
case("conv1d_pointwise", CONV, "nn.Conv1d(6, 4, 1)", f(1, 6, 9))
case("conv1d_depthwise", CONV, "nn.Conv1d(6, 6, 3, groups=6, padding=1)", f(1, 6, 9))
case("conv1d_stride_batch", CONV, "nn.Conv1d(4, 6, 5, stride=2, dilation=2, padding=3, groups=2)", f(2, 4, 13))
case("conv1d_dyn", CONV, "nn.Conv1d(4, 6, 3, padding=1)", f(1, 4, 16), f(1, 4, 9), f(1, 4, 5), dims=[{2: S16}])
case("conv1d_causal", CONV, "nn.Sequential(nn.ConstantPad1d((3, 0), 0.0), nn.Conv1d(6, 6, 4, groups=6, bias=False))",
     f(1, 6, 10))
case("conv2d_relu", CLAMPED, "nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())", f(1, 3, 6, 5))
case("conv2d_relu6", CLAMPED, "nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, bias=False), nn.ReLU6())",
     f(1, 3, 9, 8, low=-9, high=9))
case("conv2d_depthwise_hardtanh", CLAMPED,
     "nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, padding=1), nn.Hardtanh(-0.2, 0.3))", f(1, 4, 6, 5))
case("conv2d_clamp_dyn", CLAMPED, "nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())", f(1, 3, 16, 4), f(1, 3, 3, 4),
     dims=[{2: S16}])
case("conv_transpose2d_relu", CLAMPED, "nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.ReLU())", f(1, 3, 4, 4))
case("conv1d_relu", CLAMPED, "nn.Sequential(nn.Conv1d(4, 6, 3, padding=1), nn.ReLU())", f(1, 4, 9))
case("conv_with_clamp_direct", CLAMPED, "ConvWithClamp()", f(1, 3, 6, 6))
case("conv_batch_norm", CONV, "nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), BatchNorm2d(4))", f(1, 3, 5, 5))
case("linear_relu", "aten.linear.default", "nn.Sequential(nn.Linear(6, 8), nn.ReLU6())", f(4, 6))


class ConvWithClamp(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4, 3, 3, 3) - 0.5)

    def forward(self, x):
        return torch.ops.et_vk.conv_with_clamp(x, self.weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, -0.5,
             None)


case("max_pool2d", "aten.max_pool2d_with_indices.default", "nn.MaxPool2d(2)", f(1, 5, 6, 8), exact=True)
case("max_pool2d_padded", "aten.max_pool2d_with_indices.default", "nn.MaxPool2d(3, stride=2, padding=1)", f(1, 4, 7, 9),
     exact=True)
case("max_pool2d_ceil", "aten.max_pool2d_with_indices.default", "nn.MaxPool2d(3, stride=2, ceil_mode=True)",
     f(1, 3, 8, 6), exact=True)
case("max_pool2d_dilated", "aten.max_pool2d_with_indices.default", "nn.MaxPool2d(2, stride=1, dilation=2)",
     f(1, 3, 6, 7), exact=True)
case("max_pool2d_dyn", "aten.max_pool2d_with_indices.default", "nn.MaxPool2d(2)", f(1, 3, 16, 6), f(1, 3, 8, 6),
     dims=[{2: ("s", 16, 2)}], exact=True, errors=[("nothing left of one row", (f(1, 3, 1, 6),))])
case("max_pool2d_indices", "aten.max_pool2d_with_indices.default", "nn.MaxPool2d(2, return_indices=True)",
     f(1, 3, 6, 8), exact=True)
case("max_pool2d_indices_padded", "aten.max_pool2d_with_indices.default",
     "nn.MaxPool2d(3, stride=2, padding=1, return_indices=True)", f(1, 4, 7, 5), exact=True)
case("max_pool1d", "aten.max_pool2d_with_indices.default", "nn.MaxPool1d(2)", f(1, 3, 8), exact=True)
POOL = {"preserve_ops": "max_pool2d"}
case("aten_max_pool2d", "aten.max_pool2d.default", "nn.MaxPool2d(2)", f(1, 5, 6, 8), edge=POOL, exact=True)
case("aten_max_pool2d_padded", "aten.max_pool2d.default", "nn.MaxPool2d(3, stride=2, padding=1)", f(1, 4, 7, 9),
     edge=POOL, exact=True)
case("aten_max_pool2d_ceil_dilated", "aten.max_pool2d.default", "nn.MaxPool2d(2, stride=3, dilation=2, ceil_mode=True)",
     f(2, 3, 9, 8), edge=POOL, exact=True)
case("avg_pool2d", "aten.avg_pool2d.default", "nn.AvgPool2d(2)", f(1, 5, 6, 8))
case("avg_pool2d_padded", "aten.avg_pool2d.default", "nn.AvgPool2d(3, stride=2, padding=1)", f(1, 4, 7, 9))
case("avg_pool2d_no_pad_count", "aten.avg_pool2d.default",
     "nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)", f(1, 4, 7, 9))
case("avg_pool2d_ceil_divisor", "aten.avg_pool2d.default",
     "nn.AvgPool2d(3, stride=2, ceil_mode=True, divisor_override=5)", f(1, 3, 8, 6))
case("avg_pool2d_ceil", "aten.avg_pool2d.default",
     "nn.AvgPool2d((2, 3), stride=(2, 2), padding=(1, 1), ceil_mode=True)", f(1, 3, 7, 8))
case("avg_pool2d_dyn", "aten.avg_pool2d.default", "nn.AvgPool2d(2, stride=1)", f(1, 3, 16, 6), f(1, 3, 5, 6),
     dims=[{2: ("s", 16, 2)}])
UP1, UP2 = "aten.upsample_nearest2d.vec", "aten.upsample_bilinear2d.vec"
case("upsample_nearest_2", UP1, "nn.Upsample(scale_factor=2)", f(1, 3, 4, 5), exact=True)
case("upsample_nearest_scale", UP1, "nn.Upsample(scale_factor=1.6)", f(1, 2, 5, 5), exact=True)
case("upsample_nearest_size", UP1, "nn.Upsample(size=(7, 4))", f(1, 2, 3, 6), exact=True)
case("upsample_bilinear_2", UP2, "nn.Upsample(scale_factor=2, mode='bilinear')", f(1, 3, 4, 5))
case("upsample_bilinear_scale", UP2, "nn.Upsample(scale_factor=1.6, mode='bilinear')", f(1, 2, 5, 5))
case("upsample_bilinear_corners", UP2, "nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)",
     f(1, 3, 4, 5))
case("upsample_bilinear_size_corners", UP2, "nn.Upsample(size=(8, 3), mode='bilinear', align_corners=True)",
     f(1, 2, 5, 5))
case("upsample_bilinear_size", UP2, "nn.Upsample(size=(3, 9), mode='bilinear')", f(1, 2, 5, 5))
GRID = "aten.grid_sampler_2d.default"
SAMPLE = "lambda x, g: F.grid_sample(x, g, mode='bilinear', padding_mode='border', align_corners=True)"
case("grid_sampler", GRID, SAMPLE, (f(1, 3, 5, 6), f(1, 4, 7, 2, low=-1.5, high=1.5)))
case("grid_sampler_batch", GRID, SAMPLE, (f(2, 2, 4, 4), f(2, 3, 5, 2)))
case("grid_sampler_warp", GRID, "Warp(6, 5)", (f(1, 4, 6, 5), f(1, 6, 5, 2, low=-0.3, high=0.3)))
case("grid_priors", "et_vk.grid_priors.default", "lambda x: torch.ops.et_vk.grid_priors(x, 8, 0.5)", f(1, 3, 4, 5))
case("grid_priors_offset0", "et_vk.grid_priors.default", "lambda x: torch.ops.et_vk.grid_priors(x, 16, 0.0)",
     f(1, 2, 6, 3))


class Warp(nn.Module):
    def __init__(self, height, width):
        super().__init__()
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        self.register_buffer("grid", torch.stack((x, y), -1).unsqueeze(0))

    def forward(self, x, flow):
        return F.grid_sample(x, self.grid + flow, mode="bilinear", padding_mode="border", align_corners=True)


case("cnn", "et_vk.conv_with_clamp.default aten.clone.default aten.linear.default", "Cnn()", f(1, 3, 12, 12))
case("patch_transformer",
     "aten.convolution.default aten.native_layer_norm.default aten._softmax.default aten.clone.default",
     "PatchTransformer(16, 2)", f(1, 3, 8, 8))


class Cnn(nn.Module):
    """A small image classifier: convolutions with batch norm, depthwise, pooling, linear."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), BatchNorm2d(8), nn.ReLU6(),
                                  nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8), nn.Hardswish(), nn.MaxPool2d(2),
                                  nn.Conv2d(8, 12, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        return torch.softmax(self.head(self.body(x).flatten(1)), -1)


class PatchTransformer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.places = nn.Parameter(torch.rand(4, width) - 0.5)
        self.norms = nn.ModuleList([LayerNorm(width), LayerNorm(width)])
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        x = x + self.attention(self.norms[0](x))
        return x + self.mlp(self.norms[1](x))


# --- 8-bit integers -------------------------------------------------------------------------------

Q, DQ = "quantized_decomposed.quantize_per_tensor.default", "quantized_decomposed.dequantize_per_tensor.default"
EDGES = [-128, -127, -1, 0, 1, 63, 126, 127, -64, -50, 50, 100, 7, -8, 42, -42]
OTHERS = [-128, 127, 0, 1, -1, 50, -50, 100, -100, 3, -3, 42, -42, 9, -9, 63]
QUANTIZE = "lambda x: torch.ops.quantized_decomposed.quantize_per_tensor(x, {}, {}, -128, 127, torch.int8)"
case("quantize_per_tensor", Q, QUANTIZE.format(0.05, 0), f(4, 8, low=-8, high=8), exact=True)
case("quantize_per_tensor_zero_point", Q, QUANTIZE.format(0.1, 5), f(2, 2, 5, low=-16, high=16), exact=True)
case("quantize_per_tensor_ties", Q, QUANTIZE.format(0.0625, -13), of("f32", [i / 32 for i in range(-8, 8)]), exact=True)
DEQUANTIZE = "lambda x: torch.ops.quantized_decomposed.dequantize_per_tensor(x, {}, {}, -128, 127, torch.int8)"
case("dequantize_per_tensor", DQ, DEQUANTIZE.format(0.05, 0), of("i8", EDGES), rel=1e-6)
case("dequantize_per_tensor_zero_point", DQ, DEQUANTIZE.format(0.1, 7), of("i8", EDGES, 2, 8), rel=1e-6)
case("dequantize_const", DQ, "DequantizeConstant(0.05, 3)", ())
QD = "torch.ops.quantized_decomposed."
PER_CHANNEL = ", torch.tensor([0.1, 0.05, 0.2]), torch.tensor([0, 3, -5]), {}, -128, 127, torch.int8)"
PER_TOKEN = "lambda x, s, z: torch.ops.quantized_decomposed.{}(x, s, z, -128, 127, torch.int8{})"
case("quantize_per_channel", "quantized_decomposed.quantize_per_channel.default",
     f"lambda x: {QD}quantize_per_channel(x" + PER_CHANNEL.format(0), f(3, 9, low=-12, high=12), exact=True)
case("quantize_per_channel_axis1", "quantized_decomposed.quantize_per_channel.default",
     f"lambda x: {QD}quantize_per_channel(x" + PER_CHANNEL.format(1), f(2, 3, 5, low=-12, high=12), exact=True)
case("dequantize_per_channel", "quantized_decomposed.dequantize_per_channel.default",
     f"lambda x: {QD}dequantize_per_channel(x" + PER_CHANNEL.format(0), of("i8", EDGES[:15], 3, 5), rel=1e-6)
case("dequantize_per_channel_axis1", "quantized_decomposed.dequantize_per_channel.default",
     f"lambda x: {QD}dequantize_per_channel(x" + PER_CHANNEL.format(1), Input((2, 3, 4), "i8", -128, 128), rel=1e-6)
case("quantize_per_token", "quantized_decomposed.quantize_per_token.default",
     PER_TOKEN.format("quantize_per_token", ""),
     (f(4, 9, low=-20, high=20), f(4, 1, low=0.05, high=0.2), Input((4, 1), "i64", -10, 10)), exact=True)
case("quantize_per_token_dyn", "quantized_decomposed.quantize_per_token.default",
     PER_TOKEN.format("quantize_per_token", ""),
     (f(2, 16, 6, low=-9, high=9), f(2, 16, 1, low=0.05, high=0.2), Input((2, 16, 1), "i64", -10, 10)),
     (f(2, 5, 6, low=-9, high=9), f(2, 5, 1, low=0.05, high=0.2), Input((2, 5, 1), "i64", -10, 10)),
     dims=[{1: S16}, {1: S16}, {1: S16}], exact=True)
case("dequantize_per_token", "quantized_decomposed.dequantize_per_token.default",
     PER_TOKEN.format("dequantize_per_token", ", torch.float32"),
     (Input((4, 9), "i8", -128, 128), f(4, 1, low=0.05, high=0.2), Input((4, 1), "i64", -10, 10)), rel=1e-6)
case("dequantize_per_token_dyn", "quantized_decomposed.dequantize_per_token.default",
     PER_TOKEN.format("dequantize_per_token", ", torch.float32"),
     (Input((16, 6), "i8", -128, 128), f(16, 1, low=0.05, high=0.2), Input((16, 1), "i64", -10, 10)),
     (Input((3, 6), "i8", -128, 128), f(3, 1, low=0.05, high=0.2), Input((3, 1), "i64", -10, 10)),
     dims=[{0: S16}, {0: S16}, {0: S16}], rel=1e-6)
case("quantize_per_tensor_tensor", "quantized_decomposed.quantize_per_tensor.tensor",
     f"lambda x, s, z: {QD}quantize_per_tensor.tensor(x, s, z, -128, 127, torch.int8)",
     (f(4, 9, low=-9, high=9), of("f32", [0.07], 1), of("i64", [3], 1)), exact=True)
case("dequantize_per_tensor_tensor", "quantized_decomposed.dequantize_per_tensor.tensor",
     f"lambda x, s, z: {QD}dequantize_per_tensor.tensor(x, s, z, -128, 127, torch.int8)",
     (Input((4, 9), "i8", -128, 128), of("f32", [0.07], 1), of("i64", [3], 1)), rel=1e-6)
case("dequantize_per_tensor_tensor_dyn", "quantized_decomposed.dequantize_per_tensor.tensor",
     f"lambda x, s, z: {QD}dequantize_per_tensor.tensor(x, s, z, -128, 127, torch.int8)",
     (Input((16, 5), "i8", -128, 128), of("f32", [0.2], 1), of("i64", [-7], 1)),
     (Input((3, 5), "i8", -128, 128), of("f32", [0.1], 1), of("i64", [5], 1)), dims=[{0: S16}, {}, {}], rel=1e-6)
CHOOSE, CHOOSE_ROWS = (f"quantized_decomposed.{name}" for name in ("choose_qparams.tensor",
                                                                    "choose_qparams_per_token_asymmetric.default"))
case("choose_qparams", CHOOSE + " quantized_decomposed.quantize_per_tensor.tensor", "quantize_dynamic",
     f(4, 9, low=-3, high=2), exact=True)
case("choose_qparams_dyn", CHOOSE, "quantize_dynamic", f(16, 5, low=1, high=4), f(3, 5, low=-4, high=-1),
     dims=[{0: S16}], exact=True)
case("choose_qparams_per_token", CHOOSE_ROWS, "quantize_rows_dynamic", f(4, 9, low=-3, high=2), exact=True)
case("choose_qparams_per_token_dyn", CHOOSE_ROWS, "quantize_rows_dynamic", f(2, 16, 5, low=1, high=4),
     f(2, 3, 5, low=-4, high=1), dims=[{1: S16}], exact=True)
AFFINE = "lambda x, s, z: torch.ops.torchao.{}(x, {}, s, z, torch.int8, -128, 127)"
case("quantize_affine_rows", "torchao.quantize_affine.default", AFFINE.format("quantize_affine", (1, 8)),
     (f(4, 8, low=-9, high=9), f(4, low=0.05, high=0.2), i32(4)), exact=True)
case("quantize_affine_groups", "torchao.quantize_affine.default", AFFINE.format("quantize_affine", (1, 4)),
     (f(3, 12, low=-9, high=9), f(3, 3, low=0.05, high=0.2), i32(3, 3)), exact=True)
case("dequantize_affine_rows", "torchao.dequantize_affine.default", AFFINE.format("dequantize_affine", (1, 8)),
     (Input((4, 8), "i8", -128, 128), f(4, low=0.05, high=0.2), i32(4)), rel=1e-6)
case("dequantize_affine_groups", "torchao.dequantize_affine.default", AFFINE.format("dequantize_affine", (1, 4)),
     (Input((3, 12), "i8", -128, 128), f(3, 3, low=0.05, high=0.2), i32(3, 3)), rel=1e-6)
case("q8ta_add", "et_vk.q8ta_add.default",
     "lambda a, b: torch.ops.et_vk.q8ta_add(a, b, 0.05, 3, 0.0625, -4, 0.09, 7, 1.0)",
     (of("i8", EDGES, 2, 8), of("i8", OTHERS, 2, 8)), exact=True)
case("q8ta_add_alpha", "et_vk.q8ta_add.default", "AddConstant(2.0)", (), exact=True)
case("q8ta_relu", "et_vk.q8ta_relu.default", "lambda x: torch.ops.et_vk.q8ta_relu(x, 0.05, 10, 0.08, -20)",
     of("i8", EDGES, 4, 4), exact=True)
case("q8ta_relu_dyn", "et_vk.q8ta_relu.default", "lambda x: torch.ops.et_vk.q8ta_relu(x, 0.05, -3, 0.05, -3)",
     Input((16, 6), "i8", -128, 128), Input((5, 6), "i8", -128, 128), dims=[{0: S16}], exact=True)
case("q8ta_pixel_shuffle", "et_vk.q8ta_pixel_shuffle.default",
     "lambda x: torch.ops.et_vk.q8ta_pixel_shuffle(x, 0.05, -3, 1 / 0.05, -3, 2)", Input((1, 8, 2, 3), "i8", -128, 128),
     exact=True)
case("q8ta_pixel_shuffle_requantized", "et_vk.q8ta_pixel_shuffle.default",
     "lambda x: torch.ops.et_vk.q8ta_pixel_shuffle(x, 0.05, 10, 1 / 0.08, 5, 3)", Input((1, 9, 3, 2), "i8", -128, 128),
     exact=True)


class DequantizeConstant(nn.Module):
    def __init__(self, scale, zero_point):
        super().__init__()
        self.register_buffer("q", torch.tensor(EDGES, dtype=torch.int8))
        self.scale, self.zero_point = scale, zero_point

    def forward(self):
        return torch.ops.quantized_decomposed.dequantize_per_tensor(self.q, self.scale, self.zero_point, -128, 127,
             torch.int8)


def quantize_dynamic(x):
    operators = torch.ops.quantized_decomposed
    scale, zero = operators.choose_qparams(x, -128, 127, 1e-6, torch.int8)
    return operators.quantize_per_tensor.tensor(x, scale, zero, -128, 127, torch.int8), zero


def quantize_rows_dynamic(x):
    operators = torch.ops.quantized_decomposed
    scales, zeros = operators.choose_qparams_per_token_asymmetric(x, torch.int8)
    return operators.quantize_per_token(x, scales, zeros, -128, 127, torch.int8), zeros


class AddConstant(nn.Module):
    def __init__(self, alpha):
        super().__init__()
        self.register_buffer("a", torch.tensor(EDGES, dtype=torch.int8))
        self.register_buffer("b", torch.tensor(OTHERS, dtype=torch.int8))
        self.alpha = alpha

    def forward(self):
        return torch.ops.et_vk.q8ta_add(self.a, self.b, 0.05, 5, 0.05, -4, 0.08, 7, self.alpha)


# Post-training quantization: a result may be one step of the output's scale off where rounding met a tie.
STEP = {"abs": 2e-2, "rel": 1e-3}
case("q8ta_linear", "et_vk.q8ta_linear.default " + Q + " " + DQ, "nn.Linear(16, 8)", f(4, 16), quantize="static",
     **STEP)
case("q8ta_linear_no_bias", "et_vk.q8ta_linear.default", "nn.Linear(32, 12, bias=False)", f(6, 32), quantize="static",
     **STEP)
case("q8ta_linear_relu", "et_vk.q8ta_linear.default", "nn.Sequential(nn.Linear(16, 8), nn.ReLU())", f(4, 16),
     quantize="static", **STEP)
case("q8ta_linear_gemv", "et_vk.q8ta_linear_gemv.default", "nn.Linear(16, 8)", f(1, 16), quantize="static", **STEP)
case("q8ta_linear_gemv_no_bias", "et_vk.q8ta_linear_gemv.default", "nn.Linear(24, 4, bias=False)", f(1, 24),
     quantize="static", **STEP)
case("q8ta_linear_chain", "et_vk.q8ta_linear.default", "nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 12))",
     f(4, 16), quantize="static", **STEP)
case("q8ta_conv2d", "et_vk.q8ta_conv2d.default", "nn.Conv2d(8, 8, 3, padding=1)", f(1, 8, 8, 8), quantize="static",
     **STEP)
case("q8ta_conv2d_stride_oc6", "et_vk.q8ta_conv2d.default", "nn.Conv2d(3, 6, 3, stride=2, padding=1)", f(1, 3, 8, 8),
     quantize="static", **STEP)
case("q8ta_conv2d_uneven_dilated", "et_vk.q8ta_conv2d.default",
     "nn.Conv2d(4, 8, (3, 5), padding=(2, 4), dilation=2, bias=False)", f(1, 4, 8, 8), quantize="static", **STEP)
case("q8ta_conv2d_relu", "et_vk.q8ta_conv2d.default", "nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU())",
     f(1, 4, 6, 8), quantize="static", **STEP)
case("q8ta_conv2d_groups", "et_vk.q8ta_conv2d.default", "nn.Conv2d(8, 8, 3, padding=1, groups=2)", f(1, 8, 8, 8),
     quantize="static", **STEP)
case("q8ta_conv2d_pw", "et_vk.q8ta_conv2d_pw.default", "nn.Conv2d(4, 8, 1)", f(1, 4, 6, 8), quantize="static", **STEP)
case("q8ta_conv2d_pw_no_bias", "et_vk.q8ta_conv2d_pw.default", "nn.Conv2d(8, 4, 1, bias=False)", f(1, 8, 4, 4),
     quantize="static", **STEP)
case("q8ta_conv2d_dw", "et_vk.q8ta_conv2d_dw.default", "nn.Conv2d(8, 8, 3, padding=1, groups=8)", f(1, 8, 8, 8),
     quantize="static", **STEP)
case("q8ta_conv2d_dw_stride", "et_vk.q8ta_conv2d_dw.default",
     "nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4, bias=False)", f(1, 4, 8, 8), quantize="static", **STEP)
case("q8ta_conv2d_transposed", "et_vk.q8ta_conv2d_transposed.default", "nn.ConvTranspose2d(8, 8, 2, stride=2)",
     f(1, 8, 4, 4), quantize="static", **STEP)
case("q8ta_conv2d_transposed_padded", "et_vk.q8ta_conv2d_transposed.default",
     "nn.ConvTranspose2d(3, 6, 3, stride=2, padding=1, output_padding=1)", f(1, 3, 4, 4), quantize="static", **STEP)
case("q8ta_residual", "et_vk.q8ta_conv2d.default et_vk.q8ta_add.default et_vk.q8ta_relu.default", "Residual(8)",
     f(1, 8, 8, 8), quantize="static", **STEP)
case("q8ta_add_quantized", "et_vk.q8ta_add.default", "torch.add", (f(4, 12), f(4, 12)), quantize="static", **STEP)
case("q8ta_pixel_shuffle_net", "et_vk.q8ta_pixel_shuffle.default et_vk.q8ta_conv2d.default",
     "nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(2, 4, 1))", f(1, 4, 4, 8),
     quantize="static", **STEP)
case("linear_q8ta_q8csw", "et_vk.linear_q8ta_q8csw.default", "nn.Linear(32, 16)", f(4, 32),
     quantize="static_float_output", abs=1e-3, rel=1e-3)
case("linear_q8ta_q8csw_row", "et_vk.linear_q8ta_q8csw.default", "nn.Linear(48, 8)", f(1, 48),
     quantize="static_float_output", abs=1e-3, rel=1e-3)
case("linear_qcs4w", "et_vk.linear_qcs4w.default", "nn.Linear(32, 16, bias=False)", f(4, 32), quantize="weights4",
     abs=1e-3, rel=1e-3)
case("linear_qcs4w_row", "et_vk.linear_qcs4w.default", "nn.Linear(64, 8, bias=False)", f(1, 64), quantize="weights4",
     abs=1e-3, rel=1e-3)
case("linear_qcs4w_bias", "et_vk.linear_qcs4w.default aten.add.Tensor", "nn.Linear(32, 16)", f(4, 32),
     quantize="weights4", abs=1e-3, rel=1e-3)
case("weight_int8pack_mm", "aten._weight_int8pack_mm.default", "nn.Linear(32, 16, bias=False)", f(4, 32),
     quantize="weights8", abs=1e-3, rel=1e-3)
case("weight_int8pack_mm_row", "aten._weight_int8pack_mm.default aten.add.Tensor", "nn.Linear(48, 9)", f(1, 48),
     quantize="weights8", abs=1e-3, rel=1e-3)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        y = self.conv(x)
        return self.last(F.relu(y) + y)
