#!/usr/bin/env python3
"""Writes tests/data/quant/*.bin: random and odd blocks of every type that Quern reads, with the values that the `gguf`
PyPI package (0.19.0) dequantizes them to.

usage: make_quant_goldens.py OUT_DIR      (needs: pip install gguf numpy)

A file is little-endian: u32 ggml type, u32 elements, u32 bytes of blocks, u32 zero; the blocks; f32 values.
"""
import os
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

# Scales as f16 bits: zeros, smallest and largest subnormals, around 1, largest, negative ones.
ODD_HALVES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x3555, 0x7BFF, 0xFBFF]
# Bytes of codes: all nibbles lowest, highest, alternating, sign bits.
ODD_BYTES = [0x00, 0xFF, 0x0F, 0xF0, 0x80, 0x7F, 0x88]
HALVES_AT = {T.Q4_0: [0], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q6_K: [208]}


def blocks(rng, qtype, n_random):
    size = GGML_QUANT_SIZES[qtype][1]
    rows = [rng.integers(0, 256, size, dtype=np.uint8) for _ in range(n_random)]
    rows += [np.full(size, b, dtype=np.uint8) for b in ODD_BYTES]
    rows += [rng.integers(0, 256, size, dtype=np.uint8) for _ in ODD_HALVES]
    for i, row in enumerate(rows):
        for at in HALVES_AT[qtype]:
            if i >= len(rows) - len(ODD_HALVES):
                half = ODD_HALVES[(i + at) % len(ODD_HALVES)]
            else:
                half = int(np.float16(rng.normal() * 10.0 ** rng.uniform(-5, 1)).view(np.uint16))
            row[at : at + 2] = half & 0xFF, half >> 8
    return np.stack(rows)


def plain(rng, qtype):
    if qtype == T.F32:
        bits = rng.normal(size=256).astype("<f4").view(np.uint8)
    elif qtype == T.F16:
        half = rng.integers(0, 65536, 1024).astype("<u2")
        bits = np.concatenate([np.array(ODD_HALVES, dtype="<u2"), half[half & 0x7C00 != 0x7C00]])[:960].view(np.uint8)
    else:
        upper = rng.integers(0, 65536, 1024).astype("<u2")
        bits = upper[upper & 0x7F80 != 0x7F80][:960].view(np.uint8)
    return bits.reshape(1, -1)


def main(out):
    os.makedirs(out, exist_ok=True)
    for qtype in (T.F32, T.F16, T.BF16, T.Q4_0, T.Q8_0, T.Q4_K, T.Q6_K):
        rng = np.random.default_rng(1000 + qtype.value)
        if qtype in HALVES_AT:
            raw = blocks(rng, qtype, 45 if GGML_QUANT_SIZES[qtype][0] == 32 else 13)
        else:
            raw = plain(rng, qtype)
        if qtype == T.F32:
            source = raw.view("<f4")
        elif qtype == T.F16:
            source = raw.view("<f2")
        else:
            source = raw
        values = np.asarray(dequantize(source, qtype), dtype="<f4").reshape(-1)
        assert np.isfinite(values).all() and values.size * GGML_QUANT_SIZES[qtype][1] == raw.size * GGML_QUANT_SIZES[qtype][0]
        with open(os.path.join(out, f"{qtype.name.lower()}.bin"), "wb") as f:
            f.write(np.array([qtype.value, values.size, raw.size, 0], dtype="<u4").tobytes())
            f.write(raw.tobytes())
            f.write(values.tobytes())


if __name__ == "__main__":
    main(sys.argv[1])
