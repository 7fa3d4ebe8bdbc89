"""tools/compare_llama.py, with a library in llama.cpp's place whose speeds and logits are known."""
import json
import os
import subprocess
import sys

import quern

TOOL = os.path.join(quern.SOURCE, "tools", "compare_llama.py")
FAKE = os.path.join(quern.SOURCE, "tests", "cli", "fake_llama.c")


class Compare(quern.Case):
    def setUp(self):
        super().setUp()
        self.build(0)

    def build(self, wrong_default):
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-DWRONG_DEFAULT={wrong_default}", "-o",
                        self.path("libllama.fake.so"), FAKE], check=True)

    def compare(self, *args):
        env = quern.environment()
        env.pop("LD_PRELOAD", None)  # the sanitizer build's: Python is none of its programs
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # without it the driver's cannot be told
        return subprocess.run([sys.executable, TOOL, "--llama-dir", self.folder, "--quern", quern.QUERN, "-m",
                               quern.MODEL, *map(str, args)], capture_output=True, env=env, check=False, text=True)

    def report(self, *args):
        result = self.compare("--json", *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_speed(self):
        report = self.report("--tests", "pp20,pp12@40,tg3,tg3@16", "--rounds", "2", "--runs", "2")
        self.assertEqual([t["test"] for t in report["tests"]], ["pp20", "pp12@40", "tg3", "tg3@16"])
        self.assertEqual((report["llama.cpp"], report["llama.cpp devices"]), ("fake", ["a device"]))
        for t in report["tests"]:
            for name in ("quern", "tensor cores", "no tensor cores"):
                self.assertEqual((len(t[name]["rates"]), len(t[name]["first_round"])), (4, 2))
                self.assertTrue(0 < t[name]["min"] <= t[name]["median"] <= t[name]["max"])
            for name, milliseconds in (("tensor cores", 1), ("no tensor cores", 2)):
                tokens = int(t["test"][2:].partition("@")[0]) if t["test"].startswith("pp") else 1
                self.assertLess(t[name]["median"], 1000 * tokens / milliseconds)
                self.assertAlmostEqual(t[name]["ratio"], t["quern"]["median"] / t[name]["median"], delta=1e-9)

    def test_table(self):
        result = self.compare("--tests", "tg2", "--rounds", "1", "--runs", "1", "--peers", "no tensor cores",
                              "--quern-options", "--precision exact")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("tg2 ", result.stdout)
        self.assertIn("no tensor cores", result.stdout)

    def test_perplexity(self):
        text = self.write("text", b"The king had a daughter. The king had a son. The king had a dog.")
        report = self.report("--perplexity", text, "--window", "8", "--peers", "tensor cores")
        self.assertAlmostEqual(report["tensor cores"], 4096, delta=1e-6)  # all tokens alike
        ours = self.ok("perplexity", "-f", text, "--window", "8", "--json").json()
        self.assertEqual((report["tokens"], report["quern"]), (ours["tokens"], ours["perplexity"]))

    def test_failures(self):
        self.assertIn("xx5", self.compare("--tests", "xx5").stderr)
        self.assertIn("gpus", self.compare("--peers", "gpus").stderr)
        self.build(1)
        result = self.compare("--tests", "tg1", "--rounds", "1", "--runs", "1")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("look different", result.stderr)


if __name__ == "__main__":
    quern.main()
