"""Help texts, wrong options, exit codes, what goes to stdout and what to stderr."""
import subprocess

import quern

COMMANDS = "run chat info devices tokenize detokenize perplexity logits check bench".split()


class Usage(quern.Case):
    def test_list_of_commands(self):
        for args in ([], ["--help"], ["help"]):
            result = self.ok(*args)
            self.assertEqual(result.err, "")
            for command in COMMANDS:
                self.assertRegex(result.out, rf"(?m)^  {command} +\w")

    def test_version(self):
        result = self.ok("--version")
        with open(f"{quern.SOURCE}/include/quern.h", encoding="utf-8") as f:
            self.assertIn(f'#define QN_VERSION "{result.out.split()[1]}"', f.read())

    def test_help_of_every_command(self):
        for command in COMMANDS:
            for flag in ("--help", "-h"):
                result = self.ok(command, flag)
                self.assertEqual(result.err, "")
                self.assertTrue(result.out.startswith(f"usage: quern {command} "))
                self.assertIn("--device", result.out)
                self.assertLessEqual(max(map(len, result.out.splitlines())), 110)
            if command not in ("chat", "run"):
                self.assertIn("--json", result.out)

    def test_wrong_uses(self):
        for args, message in (
            (["walk"], "walk"),
            (["run", "--tmep", "1"], "--tmep"),
            (["run", "--temp"], "--temp"),
            (["run", "--temp", "warm"], "warm"),
            (["run", "--temp", "-1"], "--temp"),
            (["run", "--temp", "nan"], "nan"),
            (["run", "--top-p", "1.5"], "--top-p"),
            (["run", "-n", "-3"], "--tokens"),
            (["run", "-n", "99999999999"], "--tokens"),
            (["run", "--stats=1"], "--stats"),
            (["run", "--gpu-memory", "4Q"], "4Q"),
            (["run", "-p", "a", "-f", "b"], "--file"),
            (["run", "story"], "story"),
            (["info", "a", "b"], "b"),
            (["logits", "--tokens", "1"], "-o"),
            (["logits", "-o", "x"], "--tokens"),
            (["perplexity"], "-f"),
            (["perplexity", "-f", "x", "--window", "1"], "--window"),
            (["check"], "case"),
            (["bench", "--op", "linear_q4gsw"], "--shape"),
            (["bench", "-p", "1,,2"], "--prompt"),
            (["run", "--precision", "half"], "exact|auto"),
            (["perplexity", "-f", "x", "--precision", ""], "exact|auto"),
            (["devices", "x"], "x"),
        ):
            result = self.fails(2, *args, message=message)
            self.assertIn("--help", result.err)

    def test_failures(self):
        for args, message in (
            (["run", "-m", "/nonexistent.gguf", "-p", "a"], "/nonexistent.gguf"),
            (["run", "-m", "/", "-p", "a"], "folder"),
            (["run", "-f", "/nonexistent.txt"], "/nonexistent.txt"),
            (["run", "-p", "a", "--device", "99"], "99"),
            (["run", "-p", "a", "--device", "no such device"], "no such device"),
            (["run", "-p", "a", "--route", "linear.nothing"], "linear.any"),
            (["run", "-p", "a", "--ctx", "100000"], "100000"),
            (["run", "-p", "a", "--gpu-memory", "1M"], ""),
            (["devices", "--device", "no such device"], "no such device"),
            (["info", "/nonexistent.gguf"], "/nonexistent.gguf"),
            (["tokenize", "-f", "/nonexistent.txt"], "/nonexistent.txt"),
            (["detokenize", "1", "x"], "x"),
            (["detokenize", "4096"], "4096"),
            (["logits", "--tokens", "1,-2", "-o", self.path("x")], "-2"),
            (["logits", "--tokens", "1,4096", "-o", self.path("x")], "4096"),
            (["logits", "--tokens", " ", "-o", self.path("x")], "empty"),
            (["logits", "--tokens", "1", "-o", "/nonexistent/x"], "/nonexistent/x"),
            (["perplexity", "-f", "/nonexistent.txt"], "/nonexistent.txt"),
            (["perplexity", "-f", "-"], "empty"),
            (["bench", "--op", "conv", "--shape", "M=1"], "conv"),
            (["bench", "--op", "linear_q4gsw", "--shape", "M=1,N=2"], "K="),
            (["bench", "--op", "linear_q4gsw", "--shape", "M=1,N=2,K=-4"], "K=-4"),
            (["bench", "--op", "linear_q4gsw", "--shape", "M=1,N=8,K=32,X=1"], "X=1"),
            (["bench", "--op", "linear_q4gsw", "--shape", "M=1,N=8,K=32", "--scales", "f8"], "f8"),
            (["chat"], "template"),
        ):
            self.fails(1, *args, message=message)

    def test_damaged_models(self):
        with open(quern.MODEL, "rb") as f:
            model = f.read()
        self.write("short.gguf", model[: len(model) // 2])
        self.write("header.gguf", model[:64])
        self.write("noise.gguf", bytes(range(256)) * 16)
        self.write("empty.gguf", b"")
        for name in ("short.gguf", "header.gguf", "noise.gguf", "empty.gguf"):
            self.fails(1, "run", "-m", self.path(name), "-p", "a")
            self.fails(1, "info", self.path(name))
            self.fails(1, "tokenize", "-m", self.path(name), "a")

    def test_full_disk(self):
        try:
            full = open("/dev/full", "wb")
        except OSError:
            self.skipTest("there is no /dev/full here")
        with full:
            for args in (["--help"], ["tokenize", "a"], ["run", "-p", "a", "-n", "2"]):
                done = subprocess.run([quern.QUERN, *args], stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                      env=quern.environment(), check=False)
                self.assertEqual(done.returncode, 1, args)
                self.assertIn(b"standard output", done.stderr)


if __name__ == "__main__":
    quern.main()
