"""tune, and what is kept of it: the choices, the results of the self-test, and the options about both."""
import glob
import json
import os
import subprocess

import quern


class Tune(quern.Case):
    def run_with_cache(self, *args):
        env = dict(quern.environment(), XDG_CACHE_HOME=self.folder)
        done = subprocess.run([quern.QUERN, *args], capture_output=True, env=env, check=False, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def kept(self):
        return glob.glob(self.path("quern", "kernels-*.txt"))

    def test_tune_measures_and_keeps(self):
        model = self.random_model("--shape", "tiny")
        args = ["tune", "-m", model, "--prompt", "16", "--depth", "4"]
        out = json.loads(self.run_with_cache(*args, "--json").stdout)
        self.assertGreater(len(out["decisions"]), 3)
        for d in out["decisions"]:
            self.assertGreater(d["as_is_us"], 0)
            self.assertGreaterEqual(len(d["candidates_us"]), 1)
            self.assertTrue(d["chosen"] is None or d["chosen"] in d["candidates_us"])
            self.assertGreaterEqual(d["rows"], d["min_rows"])
        rows = {d["rows"] for d in out["decisions"]}  # a choice for 1 may leave none open for 4
        self.assertTrue({1, 16} <= rows <= {1, 4, 16}, rows)
        self.assertEqual(len(self.kept()), 1)
        chosen = sum(d["chosen"] is not None for d in out["decisions"])
        with open(self.kept()[0], encoding="utf-8") as f:
            self.assertEqual(sum(line.startswith("choose ") for line in f), chosen)
        self.run_with_cache("bench", "-m", model, "-p", "16", "-n", "4")
        self.run_with_cache("tune", "--reset")
        with open(self.kept()[0], encoding="utf-8") as f:
            self.assertNotIn("choose ", f.read())

    def test_no_cache_keeps_nothing(self):
        model = self.random_model("--shape", "tiny")
        text = self.run_with_cache("tune", "-m", model, "--prompt", "2", "--depth", "4", "--no-cache").stdout
        self.assertIn("as it is", text)
        self.assertEqual(self.kept(), [])

    def test_a_damaged_file_is_left_alone(self):
        self.run_with_cache("tune", "--reset")
        with open(self.kept()[0], "w", encoding="utf-8") as f:
            f.write("something else")
        done = self.run_with_cache("devices")
        self.assertEqual(done.stderr.count("damaged"), 1)
        with open(self.kept()[0], encoding="utf-8") as f:
            self.assertEqual(f.read(), "something else")

    def test_impossible_lengths(self):
        self.fails(1, "tune", "--prompt", "1000000", message="context")

    def test_devices_says_what_was_tried(self):
        text = self.run_with_cache("devices").stdout
        self.assertIn("self-test", text)
        for d in json.loads(self.run_with_cache("devices", "--json").stdout):
            self.assertEqual({k["test"] for k in d["kernels"]} - {None, "right"}, set())

    def test_timings(self):
        done = self.run_with_cache("logits", "--tokens", "1,2", "-o", self.path("l.bin"), "--timings", "--threads", "1")
        for what in ["device is open", "weights are loaded", "session is open", "first logits"]:
            self.assertIn(what, done.stderr)

    def test_checked_kernels_compute_the_same(self):
        for name, extra in [("a", []), ("b", ["--checked"])]:
            self.run_with_cache("logits", "--tokens", "5,6,7", "-o", self.path(name), *extra)
        with open(self.path("a"), "rb") as a, open(self.path("b"), "rb") as b:
            self.assertEqual(len(a.read()), len(b.read()))


if __name__ == "__main__":
    quern.main()
