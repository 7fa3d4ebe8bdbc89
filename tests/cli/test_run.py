"""run and chat: stories, sampling, stopping."""
import json
import os
import signal
import subprocess

import quern


class Run(quern.Case):
    def test_greedy_is_the_reference(self):
        prompts = {p["name"]: p for p in quern.reference("logits.json")["prompts"]}
        for name in ("bos", "medium"):
            p = prompts[name]
            self.assertGreater(min(p["margin"]), 0.01)
            result = self.ok("run", "-p", p["text"], "-n", len(p["greedy_ids"]), "--temp", "0")
            self.assertEqual(result.out.rstrip("\n"), (p["text"] + p["greedy_text"]).rstrip("\n"))

    def test_seed(self):
        args = ("run", "-p", "Once upon a time", "-n", "12")
        first = self.ok(*args, "--seed", "7")
        self.assertTrue(first.out.startswith("Once upon a time"))
        self.assertTrue(first.out.endswith("\n"))
        self.assertEqual(first.out, self.ok(*args, "--seed", "7").out)
        others = {self.ok(*args, "--seed", seed).out for seed in (8, 9, 10)}
        self.assertGreater(len(others | {first.out}), 1)
        stats = self.ok(*args, "--stats").err
        seed = next(line.split()[1] for line in stats.splitlines() if line.startswith("seed"))
        self.assertNotIn("seed", self.ok(*args, "--seed", seed).err)

    def test_sources_of_the_prompt(self):
        path = self.write("prompt.txt", b"The king\n")
        expected = self.ok("run", "-p", "The king", "-n", "5", "--temp", "0").out
        self.assertEqual(self.ok("run", "-f", path, "-n", "5", "--temp", "0").out, expected)
        self.assertEqual(self.ok("run", "-n", "5", "--temp", "0", stdin=b"The king\n").out, expected)
        self.assertEqual(self.ok("run", "-n5", "--temp=0", "-m", quern.MODEL, stdin=b"The king").out, expected)
        self.assertTrue(self.ok("run", "-n", "3", stdin=b"").out)

    def test_sampling_options(self):
        greedy = self.ok("run", "-p", "The king", "-n", "8", "--temp", "0").out
        for options in (["--top-k", "1"], ["--top-p", "0.000001"], ["--min-p", "1"]):
            self.assertEqual(self.ok("run", "-p", "The king", "-n", "8", *options).out, greedy, options)
        looping = self.ok("run", "-n", "40", "--temp", "0", "-p", "").out
        self.assertNotEqual(self.ok("run", "-n", "40", "--temp", "0", "--repeat-penalty", "1.5", "-p", "").out, looping)

    def test_output_is_whole_text(self):
        out = self.ok("run", "-p", "Wörter: 日本", "-n", "40", "--temp", "3", "--top-p", "1", "--seed", "1").bytes
        out.decode("utf-8")

    def test_stats(self):
        result = self.ok("run", "-p", "a", "-n", "4", "--stats")
        for word in ("prompt", "generation", "tok/s", "GPU", "loaded", "seed"):
            self.assertIn(word, result.err)
        stats = json.loads(self.ok("run", "-p", "a", "-n", "4", "--seed", "5", "--json").err.splitlines()[-1])
        self.assertEqual((stats["generated_tokens"], stats["seed"], stats["prompt_reused"]), (4, 5, 0))
        self.assertGreater(stats["generation_tokens_per_second"], 0)
        self.assertGreater(stats["host_peak_bytes"], 1 << 20)

    def test_full_context(self):
        result = self.ok("run", "-p", "Once upon a time", "-n", "0", "--ctx", "16", "--temp", "0")
        self.assertIn("context of 16 tokens is full", result.err)
        ids = self.ok("tokenize", result.out.rstrip("\n")).out.split()
        self.assertIn(len(ids), range(12, 20))
        result = self.quern("run", "-p", "word " * 40, "--ctx", "16")
        self.assertEqual(result.code, 1)
        self.assertIn("16", result.err)

    def test_baseline_and_trace(self):
        expected = self.ok("run", "-p", "The king", "-n", "5", "--temp", "0")
        baseline = self.ok("run", "-p", "The king", "-n", "5", "--temp", "0", "--baseline")
        self.assertEqual(baseline.out, expected.out)
        traced = self.ok("run", "-p", "The king", "-n", "1", "--trace", "--temp", "0")
        self.assertIn("linear.", traced.err)
        self.assertNotIn("linear.", expected.err)
        self.ok("run", "-p", "The king", "-n", "1", "--dump-shaders", self.path("wgsl"))
        self.assertTrue(any("linear" in name for name in os.listdir(self.path("wgsl"))))

    def test_interrupt(self):
        process = subprocess.Popen([quern.QUERN, "run", "-p", "Once", "-n", "0", "--temp", "0"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=quern.environment())
        out = b""
        while len(out) < 12:  # the prompt and a few tokens
            out += os.read(process.stdout.fileno(), 64)
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        out = (out + rest).decode("utf-8")
        self.assertTrue(out.endswith("\n"))
        self.assertTrue(out.startswith("Once"))

    def test_unsupported_tokenizer(self):
        path = self.random_model("--tokenizer", "spm")
        self.fails(1, "run", "-m", path, "-p", "a", message="SentencePiece")


class Chat(quern.Case):
    def stats(self, result):
        return [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]

    def test_turns_reuse_the_conversation(self):
        path = self.random_model()
        result = self.ok("chat", "-m", path, "-n", "6", "--temp", "0", "--json", "--system", "Be brief.",
                         stdin=b"hello\nhow are you\n\nand now\n/clear\nhello\n/exit\nnot read\n")
        turns = self.stats(result)
        self.assertEqual(len(turns), 4)
        for before, turn in zip(turns[:2], turns[1:3]):
            # all that was read and written, but for the last token, which did not run
            self.assertEqual(turn["prompt_reused"], before["prompt_tokens"] + before["generated_tokens"] - 1)
        self.assertEqual(turns[3]["prompt_tokens"], turns[0]["prompt_tokens"])
        self.assertLess(turns[3]["prompt_tokens"], turns[2]["prompt_tokens"])
        again = self.ok("chat", "-m", path, "-n", "6", "--temp", "0", "--system", "Be brief.",
                        stdin=b"hello\nhow are you\n\nand now\n/clear\nhello\n")
        self.assertEqual(again.bytes, result.bytes)

    def test_commands(self):
        path = self.random_model()
        result = self.ok("chat", "-m", path, stdin=b"/help\n/nonsense\n")
        self.assertIn("/clear", result.err)
        self.assertIn("/nonsense", result.err)
        self.assertEqual(result.out, "")

    def test_full_context(self):
        path = self.random_model()
        result = self.ok("chat", "-m", path, "--ctx", "32", "-n", "4", stdin=b"word " * 60 + b"\nhi\n")
        self.assertIn("/clear", result.err)

    def test_refused(self):
        self.fails(1, "chat", "-m", quern.MODEL, message="template")
        self.fails(1, "chat", "-m", self.random_model("--tokenizer", "bytes"), message="template")


if __name__ == "__main__":
    quern.main()
