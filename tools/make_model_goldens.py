#!/usr/bin/env python3
"""Writes tests/data/models/goldens.json and NAME.bin: logits of the small random models that models.json lists, computed
by Hugging Face transformers (LlamaForCausalLM on the CPU, float32, eager attention) from weights that the `gguf` package
dequantizes. Never needed by the tests themselves.

usage: make_model_goldens.py BUILD_DIR      (needs: pip install gguf numpy torch transformers; BUILD_DIR/tools/gen_gguf)

goldens.json: for every model the CRC-32 of the generated file, prompt, decode tokens, and the programs' versions.
NAME.bin: little-endian f32 [1 + decode tokens, vocab]: logits behind the prompt, then behind each decode token.
"""
import json
import os
import subprocess
import sys
import tempfile
import zlib

import gguf
import numpy as np
import torch
import transformers
from gguf.quants import dequantize
from transformers import LlamaConfig, LlamaForCausalLM

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "models")
N_PROMPT, N_DECODE = 24, 4
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def generate(gen_gguf, model, path):
    args = [gen_gguf, "-o", path, "--tokenizer", "none"]
    for key, value in model.items():
        if key not in ("name", "prompt"):
            args += ["--" + key] if value is True else ["--" + key, str(value)]
    subprocess.run(args, check=True)


def value(reader, key):
    return reader.get_field(key).contents()


def config_of(reader, has_factors, tied):
    rope = {"rope_type": "default", "rope_theta": float(value(reader, "llama.rope.freq_base"))}
    if has_factors:  # Llama 3.2's: transformers computes the factors itself
        rope.update(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                    original_max_position_embeddings=8192)
    return LlamaConfig(
        vocab_size=value(reader, "llama.vocab_size"),
        hidden_size=value(reader, "llama.embedding_length"),
        intermediate_size=value(reader, "llama.feed_forward_length"),
        num_hidden_layers=value(reader, "llama.block_count"),
        num_attention_heads=value(reader, "llama.attention.head_count"),
        num_key_value_heads=value(reader, "llama.attention.head_count_kv"),
        head_dim=value(reader, "llama.attention.key_length"),
        rms_norm_eps=float(value(reader, "llama.attention.layer_norm_rms_epsilon")),
        max_position_embeddings=131072 if has_factors else value(reader, "llama.context_length"),
        rope_parameters=rope,
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )


def half_order(weight, n_heads):
    """Rows of a head from GGUF's order (pairs side by side) to Hugging Face's (first halves, then second halves)."""
    n, k = weight.shape
    return weight.reshape(n_heads, n // n_heads // 2, 2, k).swapaxes(1, 2).reshape(n, k)


def load(path):
    reader = gguf.GGUFReader(path)
    tensors = {t.name: t for t in reader.tensors}
    tied = "output.weight" not in tensors
    config = config_of(reader, "rope_freqs.weight" in tensors, tied)
    state = {}
    for name, t in tensors.items():
        if name == "rope_freqs.weight":
            continue
        w = np.array(dequantize(t.data, t.tensor_type), dtype=np.float32).reshape(t.shape[::-1])
        parts = name.split(".")
        if parts[0] == "blk":
            if parts[2] in ("attn_q", "attn_k"):
                heads = config.num_attention_heads if parts[2] == "attn_q" else config.num_key_value_heads
                w = half_order(w, heads)
            state[f"model.layers.{parts[1]}.{LAYER[parts[2]]}.weight"] = torch.from_numpy(np.ascontiguousarray(w))
        else:
            hf = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}[parts[0]]
            state[hf + ".weight"] = torch.from_numpy(w)
    if tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = LlamaForCausalLM(config)
    model.load_state_dict(state, strict=True)
    return model.float().eval()


@torch.no_grad()
def logits_of(model, prompt, decode):
    """Step by step with transformers' own cache, and all at once without one: they must agree."""
    cache, rows, ids = None, [], prompt
    for i in range(len(decode) + 1):
        out = model(torch.tensor([ids]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        rows.append(out.logits[0, -1])
        ids = decode[i : i + 1]
    whole = model(torch.tensor([prompt + decode]), use_cache=False).logits[0, len(prompt) - 1 :]
    got = torch.stack(rows)
    assert (got - whole).abs().max() < 1e-4
    return got.numpy().astype("<f4")


def main(build):
    with open(os.path.join(DATA, "models.json")) as f:
        models = json.load(f)["models"]
    goldens = {
        "about": "Written by tools/make_model_goldens.py: transformers %s, torch %s, gguf 0.19.0, float32."
        % (transformers.__version__, torch.__version__.split("+")[0]),
        "models": {},
    }
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.gguf")
            generate(os.path.join(build, "tools", "gen_gguf"), model, path)
            with open(path, "rb") as f:
                crc = zlib.crc32(f.read())
            hf = load(path)
        rng = np.random.default_rng(model["seed"])
        tokens = [int(t) for t in rng.integers(0, model["vocab"], model.get("prompt", N_PROMPT) + N_DECODE)]
        logits = logits_of(hf, tokens[:-N_DECODE], tokens[-N_DECODE:])
        logits.tofile(os.path.join(DATA, model["name"] + ".bin"))
        goldens["models"][model["name"]] = {"crc32": crc, "prompt": tokens[:-N_DECODE], "decode": tokens[-N_DECODE:]}
        print(f"{model['name']:16} crc32 {crc:08x}  logits {logits.min():.3f} .. {logits.max():.3f}")
    with open(os.path.join(DATA, "goldens.json"), "w") as f:
        text = json.dumps(goldens, indent=1)
        f.write(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
