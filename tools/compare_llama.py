#!/usr/bin/env python3
"""Measures Quern and llama.cpp (Vulkan) on the same GGUF file, on the same machine, in turns, and prints the ratios.

The peer is the npm package @node-llama-cpp/linux-x64-vulkan, which holds llama.cpp's shared libraries with its C API:

    npm pack @node-llama-cpp/linux-x64-vulkan@3.22.1 && tar xzf node-llama-cpp-linux-x64-vulkan-3.22.1.tgz
    tools/compare_llama.py --llama-dir package/bins/linux-x64-vulkan -m model.gguf

Every round runs quern, then each variant of the peer, each in a process of its own: the model is loaded, every test is
run once to warm up and --runs times for the record. The first round is not counted, because a driver compiles shaders
then and keeps them for later processes. A prompt test takes N tokens into an empty cache, a generation test N steps of
one token behind `depth` tokens; random tokens, no sampling; a run ends when the logits are on the host. The figures are
medians over the runs of all counted rounds; --json has the rate of every run.

Variants of the peer: "tensor cores" is as it comes; "no tensor cores" has GGML_VK_DISABLE_COOPMAT=1 and
GGML_VK_DISABLE_COOPMAT2=1 (it then multiplies 8-bit integers where the GPU can). The peer runs with a micro-batch of
--ubatch tokens, which decides how fast a long prompt is.

With --perplexity FILE it compares perplexities instead: the pieces of `quern perplexity`, quern's token ids for both.
"""
import argparse
import ctypes
import glob
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time

PEERS = {
    "tensor cores": {},
    "no tensor cores": {"GGML_VK_DISABLE_COOPMAT": "1", "GGML_VK_DISABLE_COOPMAT2": "1"},
}
ERROR_LEVEL = 4  # of ggml's log


# ---- the peer's C API --------------------------------------------------------------------------------------------


class Params(ctypes.Structure):
    """Any of llama.cpp's parameter structs: longer than each, so that the library writes and reads only its own part.
    Only words that are checked against their known defaults are ever set."""
    _fields_ = [("word", ctypes.c_int32 * 256)]

    def expect(self, what, at, known):
        if list(self.word[at:at + len(known)]) != known:
            raise SystemExit(f"compare_llama: this version's {what} look different: {list(self.word[:12])}")


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8))]


LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def signatures(lib):
    pointer, i32 = ctypes.c_void_p, ctypes.c_int32
    for name, result, *arguments in [
            ("llama_log_set", None, LOG, pointer), ("llama_backend_init", None),
            ("ggml_backend_load_all_from_path", None, ctypes.c_char_p), ("ggml_backend_dev_count", ctypes.c_size_t),
            ("ggml_backend_dev_get", pointer, ctypes.c_size_t),
            ("ggml_backend_dev_description", ctypes.c_char_p, pointer),
            ("llama_model_default_params", Params), ("llama_context_default_params", Params),
            ("llama_model_load_from_file", pointer, ctypes.c_char_p, Params),
            ("llama_init_from_model", pointer, pointer, Params), ("llama_get_memory", pointer, pointer),
            ("llama_memory_clear", None, pointer, ctypes.c_bool),
            ("llama_memory_seq_rm", ctypes.c_bool, pointer, i32, i32, i32), ("llama_batch_init", Batch, i32, i32, i32),
            ("llama_batch_get_one", Batch, ctypes.POINTER(i32), i32), ("llama_decode", i32, pointer, Batch),
            ("llama_get_logits", ctypes.POINTER(ctypes.c_float), pointer),
            ("llama_model_get_vocab", pointer, pointer), ("llama_vocab_n_tokens", i32, pointer),
            ("llama_vocab_bos", i32, pointer), ("llama_version", ctypes.c_char_p)]:
        f = getattr(lib, name)
        f.restype, f.argtypes = result, arguments


class Llama:
    """A model in llama.cpp."""

    def __init__(self, folder, model, ctx, ubatch):
        found = glob.glob(os.path.join(folder, "libllama.*so"))
        if not found:
            raise SystemExit(f"compare_llama: no libllama in {folder}")
        self.lib = lib = ctypes.CDLL(os.path.abspath(found[0]), mode=ctypes.RTLD_GLOBAL)
        signatures(lib)
        self.log = LOG(lambda level, text, _: sys.stderr.write(text.decode()) if level == ERROR_LEVEL else None)
        lib.llama_log_set(self.log, None)
        lib.ggml_backend_load_all_from_path(os.path.abspath(folder).encode())
        lib.llama_backend_init()
        self.devices = [lib.ggml_backend_dev_description(lib.ggml_backend_dev_get(i)).decode()
                        for i in range(lib.ggml_backend_dev_count())]
        params = lib.llama_model_default_params()
        params.expect("model parameters", 4, [-1])  # n_gpu_layers: all
        self.model = lib.llama_model_load_from_file(model.encode(), params)
        params = lib.llama_context_default_params()
        params.expect("context parameters", 0, [512, 2048, 512, 1])  # n_ctx, n_batch, n_ubatch, n_seq_max
        self.n_batch = min(ctx, max(2048, ubatch))
        params.word[0:3] = [ctx, self.n_batch, min(ctx, ubatch)]
        self.context = self.model and lib.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit(f"compare_llama: llama.cpp does not open {model} with a context of {ctx}")
        self.memory = lib.llama_get_memory(self.context)
        vocab = lib.llama_model_get_vocab(self.model)
        self.n_vocab, self.bos = lib.llama_vocab_n_tokens(vocab), lib.llama_vocab_bos(vocab)

    def decode(self, batch):
        code = self.lib.llama_decode(self.context, batch)
        if code:
            raise SystemExit(f"compare_llama: llama_decode gives {code}")

    def random_tokens(self, n):
        return (ctypes.c_int32 * n)(*(random.randrange(self.n_vocab) for _ in range(n)))

    def prompt(self, tokens):
        """Tokens behind what the cache holds; over when the last one's logits are there."""
        for at in range(0, len(tokens), self.n_batch):
            n = min(self.n_batch, len(tokens) - at)
            self.decode(self.lib.llama_batch_get_one(
                ctypes.cast(ctypes.byref(tokens, 4 * at), ctypes.POINTER(ctypes.c_int32)), n))
        self.lib.llama_get_logits(self.context)  # waits

    def keep(self, n):
        """Leaves the first n tokens in the cache."""
        if n == 0:
            self.lib.llama_memory_clear(self.memory, True)
        elif not self.lib.llama_memory_seq_rm(self.memory, 0, n, -1):
            raise SystemExit("compare_llama: llama.cpp cannot shorten its cache")

    def run(self, test):
        """Tokens per second of one run."""
        n, depth = test["n"], test["depth"] or (0 if test["prompt"] else 1)
        if test["prompt"]:
            tokens = self.random_tokens(n)
            start = time.perf_counter()
            self.prompt(tokens)
        else:
            tokens = [self.random_tokens(1) for _ in range(n)]
            start = time.perf_counter()
            for token in tokens:
                self.prompt(token)
        seconds = time.perf_counter() - start
        self.keep(depth)
        return n / seconds

    def measure(self, tests, runs):
        result = {}
        for test in tests:
            self.keep(0)
            depth = test["depth"] or (0 if test["prompt"] else 1)  # a step needs something to follow
            if depth:
                self.prompt(self.random_tokens(depth))
            self.run(test)
            result[test["name"]] = [self.run(test) for _ in range(runs)]
        return result

    def perplexity(self, tokens, window):
        total, batch = 0.0, self.lib.llama_batch_init(window, 0, 1)
        for at in range(0, len(tokens), window - 1):
            piece = [self.bos] + tokens[at:at + window - 1]
            self.keep(0)
            batch.n_tokens = len(piece) - 1
            for i in range(len(piece) - 1):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = piece[i], i, 1, 0, 1
            self.decode(batch)
            logits = self.lib.llama_get_logits(self.context)
            for i in range(len(piece) - 1):
                row = logits[i * self.n_vocab:(i + 1) * self.n_vocab]
                top = max(row)
                total += math.log(sum(math.exp(x - top) for x in row)) + top - row[piece[i + 1]]
        return math.exp(total / len(tokens))


def worker(text):
    """In a process of its own: one variant of the peer. Prints one JSON object."""
    job = json.loads(text)
    random.seed(1)
    llama = Llama(job["folder"], job["model"], job["ctx"], job["ubatch"])
    out = {"version": llama.lib.llama_version().decode(), "devices": llama.devices}
    if job["tokens"]:
        out["perplexity"] = llama.perplexity(job["tokens"], job["window"])
    else:
        out["rates"] = llama.measure(job["tests"], job["runs"])
    print(json.dumps(out))
    sys.stdout.flush()
    os._exit(0)  # the libraries' own clean-up after their device is gone is not ours to debug


# ---- both --------------------------------------------------------------------------------------------------------


def command(args, env=None):
    done = subprocess.run(args, stdout=subprocess.PIPE, env=dict(os.environ, **(env or {})), check=False)
    if done.returncode:
        raise SystemExit(f"compare_llama: {args[0]} {args[1]} ended with {done.returncode}")
    return done.stdout


def parse_test(text):
    """pp512, tg128, tg128@2048."""
    size, _, depth = text.partition("@")
    if size[:2] not in ("pp", "tg") or not size[2:].isdigit() or (depth and not depth.isdigit()):
        raise argparse.ArgumentTypeError(f"{text} is no test: pp512, tg128, tg128@2048")
    return {"name": text, "prompt": size[:2] == "pp", "n": int(size[2:]), "depth": int(depth or 0)}


def run_quern(o):
    """Tokens per second of each run, by test; and bench's own report of the last."""
    rates = {}
    for test in o.tests:
        sizes = ["-p", test["n"], "-n", 0] if test["prompt"] else ["-p", 0, "-n", test["n"]]
        report = json.loads(command([o.quern, "bench", "-m", o.model, *map(str, sizes), "--depth", str(test["depth"]),
                                     "-r", str(o.runs), "--json", *o.quern_options]))
        rates[test["name"]] = report["tests"][0]["tokens_per_second"]
    return {"rates": rates, "device": report["device"], "driver": report["driver"]}


def run_peer(o, env, tokens=None):
    ctx = max(test["depth"] + test["n"] for test in o.tests) + 1
    job = {"folder": o.llama_dir, "model": o.model, "ctx": -(-ctx // 256) * 256, "ubatch": o.ubatch, "tests": o.tests,
           "runs": o.runs, "tokens": tokens, "window": o.window}
    return json.loads(command([sys.executable, os.path.abspath(__file__), "--worker", json.dumps(job)], env))


def compare_speed(o):
    rates = {name: {test["name"]: [] for test in o.tests} for name in ["quern", *o.peers]}
    first = {}
    for turn in range(o.rounds + 1):
        runs = {"quern": run_quern(o), **{name: run_peer(o, PEERS[name]) for name in o.peers}}
        first = first or runs
        for name, run in runs.items() if turn else ():
            for test, values in run["rates"].items():
                rates[name][test] += values
    report = {"model": o.model, "device": runs["quern"]["device"], "driver": runs["quern"]["driver"],
              "llama.cpp": runs[o.peers[0]]["version"], "llama.cpp devices": runs[o.peers[0]]["devices"],
              "ubatch": o.ubatch, "rounds": o.rounds, "runs": o.runs, "tests": []}
    for test in o.tests:
        row = {name: {"median": statistics.median(v[test["name"]]), "min": min(v[test["name"]]),
                      "max": max(v[test["name"]]), "rates": v[test["name"]],
                      "first_round": first[name]["rates"][test["name"]]} for name, v in rates.items()}
        for name in o.peers:
            row[name]["ratio"] = row["quern"]["median"] / row[name]["median"]
        report["tests"].append({"test": test["name"], **row})
    return report


def print_speed(o, report):
    print(f"{report['model']} on {report['device']}, driver {report['driver']}")
    print(f"llama.cpp {report['llama.cpp']} on {', '.join(report['llama.cpp devices'])}; micro-batch {report['ubatch']}")
    print(f"tok/s: median (least to most) of {o.rounds} x {o.runs} runs; ratio: quern / llama.cpp\n")
    print(f"{'test':<12}{'quern':>28}" + "".join(f"{name:>28}{'ratio':>7}" for name in o.peers))
    for row in report["tests"]:
        cell = {n: f"{row[n]['median']:.1f} ({row[n]['min']:.0f} to {row[n]['max']:.0f})" for n in ["quern", *o.peers]}
        print(f"{row['test']:<12}{cell['quern']:>28}" +
              "".join(f"{cell[name]:>28}{row[name]['ratio']:>7.2f}" for name in o.peers))


def compare_perplexity(o):
    tokens = [int(word) for word in command([o.quern, "tokenize", "-m", o.model, "-f", o.perplexity]).split()]
    ours = json.loads(command([o.quern, "perplexity", "-m", o.model, "-f", o.perplexity, "--window", str(o.window),
                               "--json", *o.quern_options]))
    report = {"model": o.model, "file": o.perplexity, "tokens": len(tokens), "quern": ours["perplexity"]}
    if ours["tokens"] != len(tokens):
        raise SystemExit(f"compare_llama: quern perplexity counts {ours['tokens']} tokens, not {len(tokens)}")
    for name in o.peers:
        report[name] = run_peer(o, PEERS[name], tokens)["perplexity"]
    return report


def print_perplexity(o, report):
    for name in ["quern", *o.peers]:
        print(f"{name:<20}{report[name]:>12.4f}  {100 * (report['quern'] / report[name] - 1):+.4f} % quern against it")


def options():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--llama-dir", required=True, help="folder of llama.cpp's libraries")
    p.add_argument("--quern", default=os.path.join(here, "..", "build", "quern"), help="the program (build/quern)")
    p.add_argument("-m", "--model", required=True, help="GGUF file")
    p.add_argument("--tests", type=lambda text: [parse_test(t) for t in text.split(",")],
                   default="pp512,pp2048,tg128,tg128@2048,tg128@8000")
    p.add_argument("--peers", type=lambda text: [name.strip() for name in text.split(",")], default=",".join(PEERS),
                   help="of: " + ", ".join(PEERS))
    p.add_argument("--ubatch", type=int, default=2048, help="the peer's micro-batch (2048; its own default is 512)")
    p.add_argument("--rounds", type=int, default=3, help="counted turns of every program (3)")
    p.add_argument("--runs", type=int, default=3, help="measured runs of each test and turn (3)")
    p.add_argument("--perplexity", metavar="FILE", help="compare the perplexity of this text instead")
    p.add_argument("--window", type=int, default=512, help="of the perplexity (512)")
    p.add_argument("--quern-options", type=str.split, default=[], help='more for quern, as one text: "--precision exact"')
    p.add_argument("--json", action="store_true")
    o = p.parse_args()
    unknown = [name for name in o.peers if name not in PEERS]
    if unknown:
        p.error(f"--peers: there is no {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return o


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--worker":
        worker(sys.argv[2])
    o = options()
    report = compare_perplexity(o) if o.perplexity else compare_speed(o)
    if o.json:
        print(json.dumps(report, indent=1))
    else:
        (print_perplexity if o.perplexity else print_speed)(o, report)


if __name__ == "__main__":
    main()
