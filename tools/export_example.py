"""Exports a Llama-architecture checkpoint to a 4-bit .pte that `quern run` runs, with ExecuTorch's official packages.

    python -m venv env && . env/bin/activate
    pip install executorch==1.5.1 torch==2.13.0 torchao==0.18.0 safetensors==0.8.0 tokenizers==0.23.3

    export_example.py OUT                                       a tiny random model, for trying things out
    export_example.py OUT --huggingface DIR                     a Hugging Face folder: config.json, *.safetensors
    export_example.py OUT --checkpoint X.pth --params X.json    Meta's format, as ExecuTorch's own exporter takes it

OUT is a folder. It gets model.pte and, beside it, what the runtime needs for text: tokenizer.json (trained here for
the random model, copied from the Hugging Face folder). With --goldens also case.json and the logits that PyTorch
computes with the same quantized model for a prompt and some tokens after it, in the form of tests/data/executorch.

The model has 4-bit weights in groups of --group-size (torchao's IntxWeightOnlyConfig), a 4-bit embedding table, and a
KV cache of --max-length positions inside; its method takes tokens [1,S] and input_pos [1]. Everything else is done by
ExecuTorch: the arguments of executorch.examples.models.llama.export_llama are printed. The whole model is held in
memory, in 32-bit floats.
"""
import argparse
import json
import pathlib
import shutil
import sys
import tempfile

import torch

TINY = {"dim": 64, "n_heads": 4, "n_kv_heads": 2, "n_layers": 2, "vocab_size": 320, "multiple_of": 32,
        "ffn_dim_multiplier": 1.0, "norm_eps": 1e-5, "rope_theta": 10000.0, "use_scaled_rope": False}

# What the random model's tokenizer learns its merges from.
TEXT = """A quern is a pair of stones for grinding grain by hand. The lower stone stays where it is, and the upper
stone is turned round and round by a handle. The grain is poured in through a hole in the middle of the upper stone, and
the meal comes out at the edge. Once upon a time there was a quern that could grind whatever its owner asked of it:
flour, and herring, and soup, and in the end salt, and because nobody on the ship knew the word that stops it, it ground
and ground until the ship sank; it lies at the bottom of the sea and grinds to this day, and that is why the sea is
salt."""


# --- checkpoints ------------------------------------------------------------------------------------------------------


def tiny_checkpoint(folder, seed):
    """A random checkpoint in Meta's format; the tensors are as large as makes the logits differ clearly."""
    generator = torch.Generator().manual_seed(seed)
    dim, heads, groups = TINY["dim"], TINY["n_heads"], TINY["n_kv_heads"]
    hidden = int(2 * 4 * dim / 3)
    hidden = TINY["multiple_of"] * -(-hidden // TINY["multiple_of"])
    head = dim // heads

    def random(rows, columns, scale):
        return torch.randn(rows, columns, generator=generator) * scale

    weights = {"tok_embeddings.weight": random(TINY["vocab_size"], dim, 1.0), "norm.weight": torch.ones(dim),
               "output.weight": random(TINY["vocab_size"], dim, 0.25)}
    for i in range(TINY["n_layers"]):
        for name, rows, columns in (("attention.wq", heads * head, dim), ("attention.wk", groups * head, dim),
                                    ("attention.wv", groups * head, dim), ("attention.wo", dim, heads * head),
                                    ("feed_forward.w1", hidden, dim), ("feed_forward.w2", dim, hidden),
                                    ("feed_forward.w3", hidden, dim)):
            weights[f"layers.{i}.{name}.weight"] = random(rows, columns, 0.125)
        for name in ("attention_norm", "ffn_norm"):
            weights[f"layers.{i}.{name}.weight"] = 1 + 0.1 * torch.randn(dim, generator=generator)
    return save_checkpoint(folder, weights, TINY)


def save_checkpoint(folder, weights, params):
    torch.save(weights, folder / "weights.pth")
    (folder / "params.json").write_text(json.dumps(params))
    return folder / "weights.pth", folder / "params.json"


HF_NAMES = {"model.embed_tokens.weight": "tok_embeddings.weight", "model.norm.weight": "norm.weight",
            "lm_head.weight": "output.weight"}
HF_LAYER = {"self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
            "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
            "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm",
            "post_attention_layernorm": "ffn_norm"}


def meta_name(name):
    if name in HF_NAMES:
        return HF_NAMES[name]
    parts = name.split(".")
    kind = ".".join(parts[3:-1])
    if parts[:2] != ["model", "layers"] or parts[-1] != "weight" or kind not in HF_LAYER:
        sys.exit(f"{name}: not a tensor of a plain Llama model")
    return f"layers.{parts[2]}.{HF_LAYER[kind]}.weight"


def interleave(weight, heads):
    """Rows of q and k from Hugging Face's order of a head (first halves, then second) to Meta's (pairs)."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def hf_params(config):
    """Meta's params.json of a Llama config.json; stops where the model is another one."""
    if config.get("model_type") not in ("llama", "mistral"):
        sys.exit(f"model_type {config.get('model_type')}: only Llama's architecture is converted here; for others see "
                 "the convert_weights of executorch.examples.models")
    if config.get("sliding_window"):
        sys.exit("attention over a sliding window is not converted")
    if config.get("hidden_act", "silu") != "silu" or config.get("attention_bias") or config.get("mlp_bias"):
        sys.exit("only SiLU and linear layers without bias")
    heads = config["num_attention_heads"]
    params = {"dim": config["hidden_size"], "n_heads": heads, "n_kv_heads": config.get("num_key_value_heads", heads),
              "n_layers": config["num_hidden_layers"], "vocab_size": config["vocab_size"],
              "hidden_dim": config["intermediate_size"], "norm_eps": config["rms_norm_eps"], "use_scaled_rope": False}
    if config.get("head_dim"):
        params["head_dim"] = config["head_dim"]
    rope = config.get("rope_parameters") or {}
    params["rope_theta"] = rope.get("rope_theta", config.get("rope_theta", 10000.0))
    scaling = config.get("rope_scaling") or rope
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "llama3":
        if scaling.get("low_freq_factor", 1.0) != 1.0 or scaling.get("original_max_position_embeddings", 8192) != 8192:
            sys.exit("rope scaling: only Llama 3's low_freq_factor 1 and original length 8192")
        params.update(use_scaled_rope=True, rope_scale_factor=int(scaling["factor"]),
                      high_freq_factor=int(scaling["high_freq_factor"]))
    elif kind != "default":
        sys.exit(f"rope scaling {kind} is not Llama's")
    return params


def hf_checkpoint(source, folder):
    from safetensors.torch import load_file
    params = hf_params(json.loads((source / "config.json").read_text()))
    weights = {}
    for file in sorted(source.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            if name.endswith("rotary_emb.inv_freq"):
                continue
            name = meta_name(name)
            if name.endswith(("wq.weight", "wk.weight")):
                tensor = interleave(tensor, params["n_heads" if "wq" in name else "n_kv_heads"])
            weights[name] = tensor
    if not weights:
        sys.exit(f"{source}: no *.safetensors")
    weights.setdefault("output.weight", weights["tok_embeddings.weight"])
    return save_checkpoint(folder, weights, params)


def train_tokenizer(path):
    """A byte-level BPE tokenizer with as many tokens as the random model has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=TINY["vocab_size"], show_progress=False,
                                  special_tokens=["<|begin_of_text|>", "<|end_of_text|>"],
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator([TEXT], trainer)
    assert tokenizer.get_vocab_size() == TINY["vocab_size"]
    tokenizer.save(str(path))


# --- the export -------------------------------------------------------------------------------------------------------


def exporter_arguments(options, checkpoint, params, out, work):
    group = str(options.group_size)
    arguments = ["--model", "llama3_2", "-c", str(checkpoint), "-p", str(params), "-d", "fp32", "--vulkan", "-kv",
                 "--use_sdpa_with_kv_cache", "-qmode", "4w", "-G", group, "-E", f"4,{group}", "--max_seq_length",
                 str(options.max_length), "--max_context_length", str(options.max_length), "--output-dir", str(work),
                 "--output_name", str(out / "model.pte")]
    return arguments + (["--generate_full_logits"] if options.full_logits else [])


def export(arguments):
    from executorch.examples.models.llama.export_llama_lib import build_args_parser, export_llama
    sys.setrecursionlimit(4096)
    print("python -m executorch.examples.models.llama.export_llama " + " ".join(arguments), flush=True)
    torch.manual_seed(42)
    export_llama(build_args_parser().parse_args(arguments))


def eager_model(arguments):
    """The module that the exporter exports, before it exports it."""
    from executorch.examples.models.llama.export_llama_lib import _prepare_for_llama_export, build_args_parser
    from executorch.extension.llm.export.config.llm_config import LlmConfig
    torch.manual_seed(42)
    manager = _prepare_for_llama_export(LlmConfig.from_args(build_args_parser().parse_args(arguments)))
    return manager.model.eval()


def array(folder, tensor, name, dtype):
    tensor.contiguous().numpy().tofile(folder / name)
    return {"dtype": dtype, "shape": list(tensor.shape), "file": name}


def write_goldens(out, model, prompt, count, text):
    """case.json: the prompt in one call, then one token a call, the most likely one each time."""
    tokens, position, calls, greedy = prompt, 0, [], []
    with torch.no_grad():
        for i in range(count):
            ids, at = torch.tensor([tokens]), torch.tensor([position])
            logits = model(ids, {"input_pos": at}).detach()
            output = array(out, logits, f"out0.c{i}.bin", "f32")
            output["role"] = "user_output:0"
            calls.append({"inputs": [array(out, ids, f"in0.c{i}.bin", "i64"), array(out, at, f"in1.c{i}.bin", "i64")],
                          "outputs": [output]})
            position += len(tokens)
            tokens = [int(logits.reshape(-1, logits.shape[-1])[-1].argmax())]
            greedy += tokens
    case = {"name": out.name, "kind": "llama", "source": "tools/export_example.py", **text, "greedy_tokens": greedy,
            "tolerance": {"abs": 0.002, "rel": 0.001, "rule": "abs or rel"}, "dynamic": True,
            "state": "KV caches inside the delegate: keep between calls of this list, zero before the first",
            **calls[0], "calls": calls}
    (out / "case.json").write_text(json.dumps(case, indent=1) + "\n")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--huggingface", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--checkpoint", type=pathlib.Path)
    parser.add_argument("--params", type=pathlib.Path)
    parser.add_argument("--max-length", type=int,
         help="tokens of the prompt and the answer (64 for the random model, else 2048)")
    parser.add_argument("--group-size", type=int, default=32)
    parser.add_argument("--full-logits", action="store_true",
         help="logits of all tokens of a call, not of the last one")
    parser.add_argument("--seed", type=int, default=0, help="of the random model")
    parser.add_argument("--goldens", type=int, default=0, metavar="N", help="write case.json with N calls")
    parser.add_argument("--prompt", default="Once upon a time there was a quern", help="of --goldens")
    options = parser.parse_args()
    if bool(options.checkpoint) != bool(options.params):
        parser.error("--checkpoint and --params go together")
    if options.checkpoint and options.huggingface:
        parser.error("give one checkpoint")
    if options.max_length is None:
        options.max_length = 2048 if options.checkpoint or options.huggingface else 64
    return options


def main():
    options = parse()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="export") as work:
        work = pathlib.Path(work)
        if options.huggingface:
            checkpoint, params = hf_checkpoint(options.huggingface, work)
            if (options.huggingface / "tokenizer.json").exists():
                shutil.copy(options.huggingface / "tokenizer.json", out / "tokenizer.json")
        elif options.checkpoint:
            checkpoint, params = options.checkpoint, options.params
        else:
            checkpoint, params = tiny_checkpoint(work, options.seed)
            train_tokenizer(out / "tokenizer.json")
        arguments = exporter_arguments(options, checkpoint, params, out, work)
        export(arguments)
        if options.goldens:
            from tokenizers import Tokenizer
            tokens = Tokenizer.from_file(str(out / "tokenizer.json")).encode(options.prompt).ids
            write_goldens(out, eager_model(arguments), tokens, options.goldens,
                          {"prompt": options.prompt, "prompt_tokens": tokens})


if __name__ == "__main__":
    main()
