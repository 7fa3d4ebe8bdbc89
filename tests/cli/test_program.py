"""Programs of ExecuTorch (.pte): info, run, chat, logits, perplexity, bench."""
import json
import os
import struct

import quern

PROGRAMS = os.path.join(quern.SOURCE, "tests", "data", "executorch")


def model(name):
    return os.path.join(PROGRAMS, name, "model.pte")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def floats(path):
    data = read(path)
    return struct.unpack(f"<{len(data) // 4}f", data)


def case(name):
    return json.loads(read(os.path.join(PROGRAMS, name, "case.json")))


def prompt_and_answer(name):
    """The ids that a case's calls give first, and what follows greedily. Static ones give the prompt one by one."""
    c = case(name)
    first = [struct.unpack("<%dq" % call["inputs"][0]["shape"][1],
                           read(os.path.join(PROGRAMS, name, call["inputs"][0]["file"]))) for call in c["calls"]]
    answer = c["greedy_tokens"]
    n_prompt = len(first) - len(answer) + 1
    return [t for call in first[:n_prompt] for t in call], answer


def ids_text(ids):
    return ",".join(map(str, ids))


def byte_tokenizer():
    """A tokenizer.json of bytes (GPT-2's characters for them) and Llama 3's special tokens."""
    plain = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    rest = [b for b in range(256) if b not in plain]
    characters = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}
    names = "begin_of_text end_of_text start_header_id end_header_id eot_id".split()
    return {
        "version": "1.0", "normalizer": None, "truncation": None, "padding": None, "post_processor": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "added_tokens": [{"id": 256 + i, "content": f"<|{name}|>", "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, name in enumerate(names)],
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {characters[b]: b for b in range(256)}, "merges": []},
    }


class Program(quern.Case):
    def tokenizer(self):
        self.write("tokenizer_config.json", json.dumps({"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>",
                                                        "chat_template": "<|start_header_id|><|eot_id|>"}).encode())
        return self.write("tokenizer.json", json.dumps(byte_tokenizer()).encode())

    def patched(self, name, old, new):
        """A copy of a program with bytes replaced by as many others."""
        data = read(model(name))
        self.assertEqual(len(old), len(new))
        self.assertIn(old, data)
        return self.write("patched.pte", data.replace(old, new))


class Info(Program):
    def test_language_model(self):
        info = self.ok("info", model("llama_tiny"), "--json").json()
        self.assertEqual(info["file_bytes"], os.path.getsize(model("llama_tiny")))
        self.assertEqual([m["name"] for m in info["methods"]], ["forward"])
        forward = info["methods"][0]
        self.assertEqual(forward["inputs"], [{"type": "i64", "shape": [1, 63], "dynamic": True},
                                             {"type": "i64", "shape": [1], "dynamic": False}])
        self.assertEqual(forward["outputs"], [{"type": "f32", "shape": [1, 256], "dynamic": False}])
        operators = {o["name"]: o for o in forward["operators"]}
        names = case("llama_tiny")["vk_ops"]
        self.assertEqual({name: o["count"] for name, o in operators.items()}, {n: names.count(n) for n in names})
        self.assertTrue(all(o["supported"] and not o["on_cpu"] for o in operators.values()))
        self.assertEqual((forward["states"], info["unsupported"]), (4, []))
        self.assertLess(forward["constant_bytes"], info["file_bytes"])
        self.assertEqual(info["constants"]["get_max_context_len"], [64])
        self.assertEqual(info["constants"]["get_vocab_size"], [256])
        self.assertEqual(info["language_model"], {"n_vocab": 256, "ctx": 64, "chunk": 63, "logits": "last token", "ends": []})
        memory = forward["gpu_memory"]
        self.assertEqual(memory["total"], memory["weights"] + memory["states"] + memory["working"])
        self.assertEqual(info["gpu_memory"]["total"], memory["total"])
        stats = self.ok("run", "-m", model("llama_tiny"), "--ids", "1", "-n", "1", "--json").err.splitlines()[-1]
        self.assertAlmostEqual(json.loads(stats)["gpu_bytes"], memory["total"], delta=1024)  # and the engine's own
        refused = self.ok("info", model("llama_tiny"), "--gpu-memory", "1K", "--json").json()["gpu_memory"]
        self.assertIn("1024 are allowed", refused["error"])

    def test_text(self):
        text = self.ok("info", "-m", model("llama_tiny_static")).out
        for words in ("method forward", "i64 [1,1]", "et_vk.linear_q4gsw.default", "get_max_seq_len", "at most 1 tokens a call",
                      "GPU memory", "total"):
            self.assertIn(words, text)
        text = self.ok("info", model("partial_cumsum")).out
        self.assertIn("aten::cumsum.out (on the CPU)", text)
        self.assertNotIn("language model", text)

    def test_recognized_by_content(self):
        path = self.write("model.gguf", read(model("q4_dyn")))
        info = self.ok("info", path, "--json").json()
        self.assertEqual(info["methods"][0]["inputs"][0]["type"], "f32")
        self.assertIsNone(info["language_model"])

    def test_unsupported_operators(self):
        path = self.patched("llama_tiny", b"aten.sigmoid.default", b"aten.sigmoix.default")
        info = self.ok("info", path, "--json").json()
        self.assertEqual(info["unsupported"], ["aten.sigmoix.default"])
        self.assertIn("aten.sigmoix.default", info["gpu_memory"]["error"])
        self.assertIsNone(info["methods"][0]["gpu_memory"])
        self.assertEqual(info["constants"]["get_n_layers"], [2])
        text = self.ok("info", path).out
        self.assertRegex(text, r"2 aten\.sigmoix\.default \(not supported\)")
        self.assertIn("cannot run", text)
        self.fails(1, "run", "-m", path, "--ids", "1", message="aten.sigmoix.default")

    def test_damaged(self):
        whole = read(model("llama_tiny"))
        for size in (0, 3, 8, 40, 4000, len(whole) // 2, len(whole) - 1):
            path = self.write("cut.pte", whole[:size])
            self.fails(1, "info", path, message="cut.pte")
            self.fails(1, "run", "-m", path, "--ids", "1", message="cut.pte")

    def test_data_files(self):
        self.fails(1, "info", model("q4_dyn"), "--data", self.path("none.ptd"), message="none.ptd")
        self.fails(1, "info", model("q4_dyn"), "--data", model("q4_dyn"), "--data", quern.MODEL, message="model.pte")
        self.fails(1, "info", quern.MODEL, "--data", model("q4_dyn"), message="no program")
        self.fails(1, "run", "--data", model("q4_dyn"), "-p", "a", message="no program")


class Run(Program):
    def generate(self, name, ids, *options):
        result = self.ok("run", "-m", model(name), "--ids", ids_text(ids), "--temp", "0", *options)
        given = [int(t) for t in result.out.split()]
        self.assertEqual(given[:len(ids)], list(ids))
        self.assertTrue(result.out.endswith("\n"))
        return given[len(ids):], result

    def test_greedy_is_the_reference(self):
        for name in ("llama_tiny", "llama_tiny_static", "llama_tiny_full"):
            prompt, answer = prompt_and_answer(name)
            self.assertEqual(self.generate(name, prompt, "-n", len(answer))[0], answer, name)
            self.assertEqual(self.generate(name, prompt, "-n", len(answer), "--baseline")[0], answer, name)

    def test_context(self):
        for name, ctx in (("llama_tiny", 64), ("llama_tiny_static", 32)):
            answer, result = self.generate(name, [5, 6, 7], "-n", "0")
            self.assertEqual(len(answer), ctx + 1 - 3)
            self.assertIn(f"context of {ctx} tokens is full", result.err)
        answer = self.generate("llama_tiny", [5, 6, 7], "-n", "0")[0]
        prompt = [5, 6, 7] + answer[:61]  # longer than one call takes
        self.assertEqual(self.generate("llama_tiny", prompt, "-n", "0")[0], answer[61:])
        self.assertEqual(len(self.generate("llama_tiny", [5, 6, 7], "-n", "0", "--ctx", "9")[0]), 7)
        self.fails(1, "run", "-m", model("llama_tiny"), "--ids", ids_text([1] * 65), message="64")
        self.fails(1, "run", "-m", model("llama_tiny"), "--ids", "1", "--ctx", "65", message="the program has 64")

    def test_end_of_the_text(self):
        prompt, answer = [221], [248, 189, 2]
        self.assertEqual(self.generate("llama_tiny", prompt, "-n", "3")[0], answer)
        # A getter whose value is 2 becomes the one of the tokens that end a text.
        path = self.patched("llama_tiny", b"\x0c\0\0\0get_n_layers\0", b"\x0b\0\0\0get_eos_ids\0\0")
        result = self.ok("run", "-m", path, "--ids", "221", "--temp", "0", "--stats")
        self.assertEqual(result.out, "221 248 189\n")
        self.assertIn("the model ended the text", result.err)
        self.assertEqual(self.ok("info", path, "--json").json()["language_model"]["ends"], [2])

    def test_text(self):
        name, text = "llama_tiny_full", "ab cd"
        ids = self.generate(name, text.encode(), "-n", "20")[0]
        result = self.ok("run", "-m", model(name), "--tokenizer", self.tokenizer(), "-p", text, "-n", "20", "--temp", "0")
        ids = ids[:next((i for i, t in enumerate(ids) if t in (257, 260)), None)]  # <|end_of_text|>, <|eot_id|>
        shown = bytes(t for t in ids if t < 256).decode("utf-8", "replace")
        self.assertEqual(result.out.rstrip("\n"), (text + shown).rstrip("\n"))
        self.fails(1, "run", "-m", model(name), "-p", text, message="--tokenizer")
        self.fails(1, "run", "-m", model(name), "--tokenizer", model(name), "-p", text, message="model.pte")
        self.fails(1, "tokenize", "-m", model(name), text, message="--tokenizer")

    def test_sampling_and_stats(self):
        args = ("run", "-m", model("llama_tiny"), "--ids", "1,2,3", "-n", "10", "--temp", "2", "--seed")
        self.assertEqual(self.ok(*args, "7").out, self.ok(*args, "7").out)
        self.assertGreater(len({self.ok(*args, seed).out for seed in (7, 8, 9)}), 1)
        stats = json.loads(self.ok(*args, "7", "--json").err.splitlines()[-1])
        self.assertEqual((stats["prompt_tokens"], stats["generated_tokens"], stats["ctx"]), (3, 10, 64))
        self.assertGreater(stats["generation_tokens_per_second"], 0)
        self.assertGreater(stats["prompt_tokens_per_second"], 0)

    def test_ids(self):
        self.fails(2, "run", "--ids", "1", "-p", "a", message="exclude each other")
        self.fails(1, "run", "-m", model("llama_tiny"), "--ids", "1,x", message='"x" is not a token id')
        self.fails(1, "run", "-m", model("llama_tiny"), "--ids", "", message="empty")
        refused = self.quern("run", "-m", model("llama_tiny"), "--ids", "1,256")
        self.assertEqual(refused.code, 1)
        self.assertIn("outside the vocabulary of 256", refused.err)
        path = self.random_model("--tokenizer", "none")  # a GGUF file without a tokenizer
        self.assertEqual(len(self.ok("run", "-m", path, "--ids", "1 2", "-n", "3").out.split()), 5)
        story = self.ok("run", "-p", "The king", "-n", "6", "--temp", "0").out
        ids = self.ok("tokenize", "--bos", "The king").out
        given = self.ok("run", "--ids", ids, "-n", "6", "--temp", "0").out.split()
        self.assertEqual(self.ok("detokenize", *given[1:]).out, story.rstrip("\n"))

    def test_no_language_model(self):
        for name in ("q4_dyn", "emb_small", "io_passthrough"):
            self.fails(1, "run", "-m", model(name), "--ids", "1", message="is no language model: its inputs are ")
        path = self.patched("q4_dyn", b"\x07\0\0\0forward\0", b"\x07\0\0\0forwarx\0")
        self.fails(1, "run", "-m", path, "--ids", "1", message="no method forward")

    def test_chat(self):
        path = self.tokenizer()
        result = self.ok("chat", "-m", model("llama_tiny_full"), "--tokenizer", path, "-n", "4", "--temp", "0", "--json",
                         stdin=b"hi\n/clear\nhi\n")
        turns = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
        self.assertEqual(len(turns), 2)
        self.assertEqual(turns[0]["prompt_tokens"], turns[1]["prompt_tokens"])
        self.assertGreater(turns[1]["prompt_reused"], 0)  # the same beginning
        answers = result.bytes.split(b"\n")
        self.assertEqual(answers[:len(answers) // 2], answers[len(answers) // 2:-1])
        self.fails(1, "chat", "-m", model("llama_tiny_full"), message="--tokenizer")


class Numbers(Program):
    def assertNear(self, got, expected):
        self.assertEqual(len(got), len(expected))
        self.assertLess(max(abs(a - b) for a, b in zip(got, expected)), 1e-3)

    def test_logits(self):
        out = self.path("out.bin")
        for name, rows in (("llama_tiny", 17), ("llama_tiny_full", 17)):
            prompt, _ = prompt_and_answer(name)
            golden = floats(os.path.join(PROGRAMS, name, "out0.c0.bin"))
            n_vocab = self.ok("logits", "-m", model(name), "--tokens", ids_text(prompt), "-o", out, "--json").json()["n_vocab"]
            self.assertNear(floats(out), golden[-n_vocab:])
            facts = self.ok("logits", "-m", model(name), "--tokens", ids_text(prompt), "-o", out, "--all", "--json").json()
            self.assertEqual(facts["rows"], rows)
            self.assertNear(floats(out)[-len(golden):], golden)

    def test_perplexity(self):
        path = self.write("text.txt", b"the sea was calm, and the ship was gone")
        tokenizer, values = self.tokenizer(), []
        for name, window in (("llama_tiny_full", 48), ("llama_tiny_full", 8)):
            result = self.ok("perplexity", "-m", model(name), "--tokenizer", tokenizer, "-f", path, "-w", window, "--json").json()
            self.assertEqual(result["tokens"], 39)
            values.append(result["perplexity"])
        self.assertTrue(all(50 < v < 5000 for v in values), values)
        self.fails(1, "perplexity", "-m", model("llama_tiny_full"), "--tokenizer", tokenizer, "-f", path,
                   message="512 positions are needed; the program has 48")

    def test_bench(self):
        args = ("bench", "-m", model("llama_tiny"), "-r", "2")
        report = self.ok(*args, "-p", "8,40", "-n", "3", "--depth", "0,16", "--json").json()
        self.assertEqual([t["test"] for t in report["tests"]], ["pp8", "pp40", "pp8@16", "pp40@16", "tg3", "tg3@16"])
        self.assertTrue(all(t["median_tokens_per_second"] > 0 for t in report["tests"]))
        self.assertEqual((report["ctx"], report["chunk"]), (57, 63))
        self.assertIn("chunks of 5", self.ok(*args, "-p", "8", "-n", "0", "--chunk", "5").out)
        self.fails(1, *args, message="513 positions are needed; the program has 64")

    def test_profile(self):
        device = next(d for d in self.ok("devices", "--json").json() if d["default"])
        if not quern.has_blocking_calls() or not device["features"]["timestamps"]:
            self.skipTest("no timestamps")
        tests = self.ok("bench", "-m", model("llama_tiny"), "-r", "1", "-p", "8", "-n", "2", "--profile", "--json").json()["tests"]
        for t in tests:
            self.assertTrue(any(k["kernel"].startswith("linear.") for k in t["kernels"]))
            self.assertGreater(t["kernels_gpu_us"], 0)


if __name__ == "__main__":
    quern.main()
