"""info, devices, tokenize, detokenize, logits: what they print."""
import json
import math
import os
import struct

import quern


class Info(quern.Case):
    def test_built_in_model(self):
        info = self.ok("info", "--json").json()
        self.assertEqual(info, self.ok("info", quern.MODEL, "--json").json() | {"path": info["path"]})
        self.assertEqual((info["architecture"], info["n_layers"], info["n_vocab"]), ("llama", 6, 4096))
        self.assertEqual(info["file_bytes"], os.path.getsize(quern.MODEL))
        self.assertEqual(sum(t["bytes"] for t in info["tensors"]), sum(t["bytes"] for t in info["types"]))
        self.assertEqual({t["type"] for t in info["types"]}, {"Q4_0", "F32"})
        self.assertTrue(info["tied_output"] and info["has_tokenizer"])
        self.assertEqual(info["chat_template"], "")

    def test_memory(self):
        small = self.ok("info", "--ctx", "256", "--json").json()["gpu_memory"]
        large = self.ok("info", "--ctx", "1024", "--json").json()["gpu_memory"]
        self.assertEqual((small["ctx"], large["ctx"]), (256, 1024))
        self.assertEqual(4 * small["kv"], large["kv"])
        self.assertEqual(large["total"], large["weights"] + large["kv"] + large["working"])
        stats = json.loads(self.ok("run", "-p", "a", "-n", "1", "--ctx", "1024", "--json").err.splitlines()[-1])
        self.assertEqual(stats["gpu_bytes"], large["total"])
        kv = {}
        for kind in ["f32", "f16", "q8_0"]:
            m = self.ok("info", "--ctx", "1024", "--kv-type", kind, "--json").json()["gpu_memory"]
            self.assertEqual(m["total"], m["weights"] + m["kv"] + m["working"])
            self.assertLess(m["working"], m["total"])
            kv[kind] = m["kv"]
        self.assertEqual(kv["f32"], 2 * kv["f16"])
        self.assertTrue(kv["f16"] / 2 < kv["q8_0"] < 0.6 * kv["f16"], kv)
        refused = self.ok("info", "--ctx", "1024", "--gpu-memory", "1M", "--json").json()["gpu_memory"]
        self.assertIn("error", refused)

    def test_text(self):
        text = self.ok("info", "--tensors").out
        for word in ("llama", "Q4_0", "token_embd.weight", "KV cache", "total"):
            self.assertIn(word, text)

    def test_model_without_usable_tokenizer(self):
        path = self.random_model("--tokenizer", "spm")
        info = self.ok("info", path, "--json").json()
        self.assertFalse(info["has_tokenizer"])
        self.assertIn("SentencePiece", info["tokenizer"])


class Devices(quern.Case):
    def test_json(self):
        devices = self.ok("devices", "--json").json()
        self.assertGreaterEqual(len(devices), 1)
        self.assertEqual([d["index"] for d in devices], list(range(len(devices))))
        self.assertEqual(sum(d["default"] for d in devices), 1)
        for d in devices:
            self.assertTrue(d["name"] and d["backend"])
            self.assertGreaterEqual(d["limits"]["max_binding_bytes"], 128 << 20)
            self.assertEqual(set(d["routes"]), {"baseline", "f16", "subgroups"})
            used = [name for names in d["routes"].values() for name in names]
            self.assertEqual(sorted(used), sorted(k["name"] for k in d["kernels"] if k["used"]))
            for family in ("linear.", "sdpa.", "rms_norm.", "rope.", "embedding."):
                self.assertTrue(any(name.startswith(family) for name in used), family)

    def test_baseline(self):
        for d in self.ok("devices", "--baseline", "--json").json():
            self.assertFalse(d["features"]["f16"] or d["features"]["subgroups"])
            self.assertEqual(d["limits"]["max_binding_bytes"], 128 << 20)
            self.assertEqual((d["routes"]["f16"], d["routes"]["subgroups"]), ([], []))
            self.assertTrue(d["routes"]["baseline"])

    def test_choice(self):
        first = self.ok("devices", "--json").json()[0]
        self.assertEqual(self.ok("devices", "--device", "0", "--json").json(), [first])
        part = first["name"][:4].lower()
        self.assertIn(first, self.ok("devices", "--device", part, "--json").json())
        self.assertIn(first["name"], self.ok("devices").out)


class Tokens(quern.Case):
    def test_round_trip(self):
        for text in ("Once upon a time", "", "naïve – 日本語 🙂\n\n  x\t", "a" * 1000):
            ids = self.ok("tokenize", stdin=text.encode()).out
            self.assertEqual(ids.count("\n"), 1)
            self.assertEqual(self.ok("detokenize", stdin=ids.encode()).bytes, text.encode())
            self.assertEqual(self.ok("detokenize", stdin=ids.replace(" ", ",").encode()).bytes, text.encode())
        self.assertEqual(self.ok("tokenize", "Once upon a time").out, "3184 661 260 545\n")
        self.assertEqual(self.ok("detokenize", "3184,661", "260", "545").out, "Once upon a time")

    def test_reference(self):
        tokens = quern.reference("tokens.json")
        for case in tokens["cases"][::20] + tokens["cases"][-3:]:
            result = self.ok("tokenize", "--json", stdin=bytes.fromhex(case["hex"])).json()
            self.assertEqual(result["ids"], case["ids"])
            self.assertEqual((result["count"], len(result["pieces"])), (len(case["ids"]),) * 2)
        for case in tokens["with_special"]:
            self.assertEqual(self.ok("tokenize", "--bos", "--json", stdin=case["text"].encode()).json()["ids"], case["ids"])
        for case in tokens["parsed_special"]:
            ids = self.ok("tokenize", "--special", "--json", stdin=case["text"].encode()).json()["ids"]
            self.assertEqual(ids, case["ids"])
        for case in tokens["decode"][:5]:
            result = self.ok("detokenize", "--json", *case["ids"]).json()
            self.assertEqual(result["bytes_hex"], case["bytes_hex"])

    def test_other_sources(self):
        path = self.write("text.txt", b"two\nlines\n")
        self.assertEqual(self.ok("tokenize", "-f", path).out, self.ok("tokenize", stdin=b"two\nlines\n").out)
        self.assertNotEqual(self.ok("tokenize", stdin=b"two\nlines").out, self.ok("tokenize", "-f", path).out)
        self.assertEqual(self.ok("tokenize", "-m", quern.MODEL, "a").out, self.ok("tokenize", "a", "--device", "0").out)

    def test_tokenizer_files(self):
        json_file = os.path.join(os.path.dirname(quern.MODEL), "tokenizer.json")
        self.assertEqual(self.ok("tokenize", "--tokenizer", json_file, "Once upon a time").out, "3184 661 260 545\n")
        self.assertEqual(self.ok("detokenize", "--tokenizer", json_file, "3184,661").out, "Once upon")
        data = os.path.join(quern.SOURCE, "tests", "data", "tokenizers")
        for name in ("llama2/tokenizer.json", "tiktoken/tokenizer.model"):  # Llama 2's puts a space before each text
            path = os.path.join(data, name)
            for text in ("the mill", "  x\n", "a" * 300):
                ids = self.ok("tokenize", "--tokenizer", path, text).out.split()
                self.assertEqual(self.ok("detokenize", "--tokenizer", path, *ids).out, text)
        self.fails(1, "tokenize", "--tokenizer", "/nonexistent.json", "x", message="/nonexistent.json")
        path = self.write("tokenizer.json", b'{"model":{"type":"Unigram"}}')
        self.fails(1, "tokenize", "--tokenizer", path, "x", message="Unigram")
        self.fails(2, "tokenize", "-m", quern.MODEL, "--tokenizer", json_file, "x", message="exclude each other")

    def test_bytes_that_are_no_text(self):
        raw = b"\xff\xfe ok \x80"
        ids = self.ok("tokenize", stdin=raw).out.split()
        self.assertEqual(self.ok("detokenize", *ids).bytes, raw)
        self.assertIn("\ufffd", self.ok("detokenize", "--json", *ids).json()["text"])

    def test_unsupported(self):
        path = self.random_model("--tokenizer", "spm")
        self.fails(1, "tokenize", "-m", path, "a", message="SentencePiece")


class Logits(quern.Case):
    def test_last_and_all(self):
        prompt = next(p for p in quern.reference("logits.json")["prompts"] if p["name"] == "short")
        ids, out = ",".join(map(str, prompt["ids"])), self.path("out.bin")
        facts = self.ok("logits", "--tokens", ids, "-o", out, "--json").json()
        self.assertEqual((facts["rows"], facts["n_vocab"], facts["tokens"]), (1, 4096, len(prompt["ids"])))
        last = self.floats(out)
        expected = self.floats(os.path.join(quern.MODELS, prompt["last"]))
        self.assertEqual(len(last), 4096)
        self.assertLess(max(abs(a - b) for a, b in zip(last, expected)), 2e-3)
        result = self.ok("logits", "--tokens", ids, "-o", out, "--all")
        self.assertEqual(result.out.split()[-4:], [str(len(prompt["ids"])), "x", "4096", "f32"])
        rows = self.floats(out)
        self.assertEqual(len(rows), 4096 * len(prompt["ids"]))
        self.assertLess(max(abs(a - b) for a, b in zip(rows[-4096:], last)), 1e-4)
        self.assertEqual(max(range(4096), key=last.__getitem__), prompt["top5"][0][0])

    def test_without_tokenizer(self):
        path = self.random_model("--tokenizer", "none")
        self.ok("logits", "-m", path, "--tokens", "1 2 3", "-o", self.path("out.bin"))
        self.assertTrue(all(map(math.isfinite, self.floats(self.path("out.bin")))))
        self.fails(1, "run", "-m", path, "-p", "a", message="tokenizer")

    @staticmethod
    def floats(path):
        with open(path, "rb") as f:
            data = f.read()
        return struct.unpack(f"<{len(data) // 4}f", data)


if __name__ == "__main__":
    quern.main()
