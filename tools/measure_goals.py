#!/usr/bin/env python3
"""Measures Quern against the goals that docs/performance.md lists, and prints that table's rows.

    tools/measure_goals.py -m llama-3.2-1b-q4_0.gguf [--compare COMPARE.json] [--quern build/quern] [--quick]

The model: gen_gguf --shape llama-3.2-1b --type q4_0. COMPARE.json is what compare_llama.py --json printed for it on the
same machine: with it the ratios to llama.cpp are told too. --quick tries the tool itself, on any model and device: all
sizes are a 64th, and the goals mean nothing.
"""
import argparse
import json
import os
import subprocess
import sys
import time

LAYERS = 16
GEMV = [(128256, 2048, 60), (8192, 2048, 7), (2048, 8192, 7), (2048, 2048, 4), (512, 2048, 3)]  # N, K, goal in us


class Quern:
    def __init__(self, path, model, quick):
        self.path, self.model, self.quick = path, model, quick

    def size(self, n):
        return n // 64 if self.quick else n

    def json(self, *args):
        done = subprocess.run([self.path, *map(str, args)], stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise SystemExit(f"measure_goals: quern {' '.join(map(str, args))} failed")
        return json.loads(done.stdout) if done.stdout else None

    def bench(self, test, size, depth=0):
        sizes = ["-p", size, "-n", 0] if test == "pp" else ["-p", 0, "-n", size]
        return self.json("bench", "-m", self.model, *sizes, "--depth", depth, *self.runs(), "--json")["tests"][0]

    def op(self, op, shape, precision="auto"):
        return self.json("bench", "--op", op, "--shape", shape, "--precision", precision, *self.runs(), "--json")

    def runs(self):
        return ["--runs", 1] if self.quick else []

    def first_token(self):
        """Seconds from the start of a process to its first token; the least of three."""
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run([self.path, "run", "-m", self.model, "--ids", "1,2,3", "-n", "1"], check=True,
                           stdout=subprocess.DEVNULL)
            best = min(best, time.perf_counter() - start)
        return best


def ratios(compare, test):
    """", 0.8 x llama.cpp with tensor cores, ..."; empty when it was not compared."""
    row = next((t for t in (compare or {}).get("tests", []) if t["test"] == test), None)
    peers = {"tensor cores": "with", "no tensor cores": "without"}
    told = [f"{row[name]['ratio']:.2f} x {row[name]['median']:,.0f} {word}" for name, word in peers.items()
            if row and name in row]
    return f"; llama.cpp's: {', '.join(told)} tensor cores" if told else ""


def speed(name, goal, report, compare):
    value = report["median_tokens_per_second"]
    spread = f"{report['min_tokens_per_second']:,.0f} to {report['max_tokens_per_second']:,.0f}"
    told = ratios(compare, report["test"])
    return (name, f"at least {goal:,} tok/s", f"{value:,.0f} tok/s ({spread}){told}", value >= goal)


def at_most(name, goal, value, unit):
    return (name, f"at most {goal:g} {unit}".rstrip(), f"{value:.4g} {unit}".rstrip(), value <= goal)


def attention(q, rows, pos):
    return q.op("attend", f"S={rows},pos={pos},Hq=32,Hkv=8,D=64,kv=16")


def measure(q, compare):
    """Rows: what, goal, measured, met."""
    n, depth = q.size(128), q.size(8000)
    token, deep = q.bench("tg", n), q.bench("tg", n, depth)
    yield speed("generation, depth 0", 1210, token, compare)
    yield speed(f"generation, depth {depth}", 960, deep, compare)
    for context, goal in ((q.size(8192), 15), (q.size(16384), 25)):
        yield at_most(f"decode attention, context {context}", goal, attention(q, 1, context - 1)["median_us"], "us")
    for n, goal in ((q.size(512), 17000), (q.size(2048), 29000)):
        yield speed(f"prompt {n}", goal, q.bench("pp", n), compare)
    n = q.size(2048)
    tflops = attention(q, n, 0)["tflops"]
    yield (f"prefill attention, {n}", "over 20 TFLOP/s", f"{tflops:.1f} TFLOP/s", tflops > 20)
    for n, k, goal in ((q.size(n), q.size(k), goal) for n, k, goal in GEMV):
        r = q.op("linear_q4gsw", f"M=1,N={n},K={k},group=32")
        yield (f"GEMV {n} x {k}", f"under {goal} us", f"{r['median_us']:.2f} us, {r['route']}", r["median_us"] < goal)
    m, n, k = q.size(512), q.size(8192), q.size(2048)
    for precision, goal in (("auto", 90), ("exact", 35)):
        r = q.op("linear_q4gsw", f"M={m},N={n},K={k},group=32", precision)
        yield (f"GEMM {n} x {k}, M = {m}, {precision}", f"over {goal} TFLOP/s",
               f"{r['tflops']:.1f} TFLOP/s, {r['route']}", r["tflops"] > goal)
    yield at_most("dispatches of a token", 8 * LAYERS + 4, token["dispatches"], "")
    yield at_most("planning of a token", 30, token["plan_us"], "us")
    yield at_most("wall time of a token / GPU time", 1.05, token["wall_per_gpu"] or 0, "")
    yield at_most("time to first token, warm file cache", 0.6, q.first_token(), "s")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-m", "--model", required=True)
    p.add_argument("--compare", help="what compare_llama.py --json printed")
    p.add_argument("--quern", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "quern"))
    p.add_argument("--quick", action="store_true", help="small sizes: tries the tool, measures no goal")
    o = p.parse_args()
    compare = None
    if o.compare:
        with open(o.compare, encoding="utf-8") as f:
            compare = json.load(f)
    print("| what | goal | measured | met |\n| --- | --- | --- | --- |")
    for row in measure(Quern(o.quern, o.model, o.quick), compare):
        print("| " + " | ".join(row[:3]) + f" | {'yes' if row[3] else 'no'} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
