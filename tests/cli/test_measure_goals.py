"""tools/measure_goals.py, with sizes at which it measures nothing but prints every row."""
import json
import os
import subprocess
import sys

import quern

TOOL = os.path.join(quern.SOURCE, "tools", "measure_goals.py")


class Goals(quern.Case):
    def goals(self, *args):
        env = quern.environment()
        env.pop("LD_PRELOAD", None)  # the sanitizer build's: Python is none of its programs
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # without it the driver's cannot be told
        return subprocess.run([sys.executable, TOOL, "--quern", quern.QUERN, *args], capture_output=True, env=env,
                              check=False, text=True)

    def test_every_row(self):
        peer = {"tensor cores": {"ratio": 0.5, "median": 2000.0}, "no tensor cores": {"ratio": 1.5, "median": 700.0}}
        compare = self.write("compare.json", json.dumps({"tests": [{"test": "tg2", **peer}]}).encode())
        result = self.goals("-m", quern.MODEL, "--quick", "--compare", compare)
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.stdout.splitlines()]
        self.assertEqual(rows[0], ["what", "goal", "measured", "met"])
        names = [row[0] for row in rows[2:]]
        self.assertEqual(names, ["generation, depth 0", "generation, depth 125", "decode attention, context 128",
                                 "decode attention, context 256", "prompt 8", "prompt 32", "prefill attention, 32",
                                 "GEMV 2004 x 32", "GEMV 128 x 32", "GEMV 32 x 128", "GEMV 32 x 32", "GEMV 8 x 32",
                                 "GEMM 128 x 32, M = 8, auto", "GEMM 128 x 32, M = 8, exact", "dispatches of a token",
                                 "planning of a token", "wall time of a token / GPU time",
                                 "time to first token, warm file cache"])
        for row in rows[2:]:
            self.assertEqual(len(row), 4)
            self.assertRegex(row[2], r"^[\d,.]+")
            self.assertIn(row[3], ("yes", "no"))
        self.assertIn("llama.cpp's: 0.50 x 2,000 with, 1.50 x 700 without tensor cores", rows[2][2])
        self.assertNotIn("llama.cpp", rows[3][2])

    def test_failure(self):
        result = self.goals("-m", self.path("none.gguf"), "--quick")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("failed", result.stderr)


if __name__ == "__main__":
    quern.main()
