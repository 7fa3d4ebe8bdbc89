"""bench: the numbers are there and fit together (not: how fast)."""
import quern


class Bench(quern.Case):
    def test_model(self):
        report = self.ok("bench", "-p", "8,20", "-n", "3", "--depth", "0,16", "-r", "2", "--json").json()
        names = [t["test"] for t in report["tests"]]
        self.assertEqual(names, ["pp8", "pp20", "pp8@16", "pp20@16", "tg3", "tg3@16"])
        for t in report["tests"]:
            self.assertEqual(t["runs"], 2)
            self.assertLessEqual(t["min_tokens_per_second"], t["median_tokens_per_second"])
            self.assertLessEqual(t["median_tokens_per_second"], t["max_tokens_per_second"])
            self.assertGreater(t["min_tokens_per_second"], 0)
            self.assertEqual(t["tokens_per_second"], sorted(t["tokens_per_second"]))
            self.assertEqual(len(t["tokens_per_second"]), 2)
            # the times are of a prompt, or of one token
            self.assertEqual(t["times_of"], "prompt" if t["prompt"] else "token")
            self.assertAlmostEqual(t["wall_us"] * t["median_tokens_per_second"] / (t["prompt"] or 1) / 1e6, 1, delta=1e-3)
            self.assertEqual(t["executions"], 1)
            self.assertGreater(t["dispatches"], 50)
            self.assertGreater(t["encode_us"], 0)
            self.assertGreaterEqual(t["plan_us"], 0)
        self.assertIn("pp8 ", self.ok("bench", "-p", "8", "-n", "0", "-r", "1").out)

    def test_profile(self):
        if not quern.has_blocking_calls():
            self.skipTest("timestamps are read by blocking calls")
        device = next(d for d in self.ok("devices", "--json").json() if d["default"])
        if not device["features"]["timestamps"]:
            self.skipTest("the device has no timestamps")
        report = self.ok("bench", "-p", "8", "-n", "2", "-r", "1", "--profile", "--json").json()
        for peak in ("copy_gbps", "f32_tflops", "i8_tops"):
            self.assertGreater(report["peaks"][peak], 0)
        for t in report["tests"]:
            self.assertAlmostEqual(t["wall_us"] / t["gpu_us"], t["wall_per_gpu"], delta=1e-6 * t["wall_per_gpu"])
            kernels = t["kernels"]
            self.assertTrue(any(k["kernel"].startswith("linear.") for k in kernels))
            self.assertTrue(all(k["dispatches"] > 0 for k in kernels))
            self.assertGreater(t["kernels_gpu_us"], 0)
            self.assertAlmostEqual(sum(k["gpu_us"] for k in kernels), t["kernels_gpu_us"], delta=1)
            # the marks' cost is taken off: never more than what was measured with them
            self.assertTrue(all(0 <= k["net_us"] <= k["gpu_us"] + 1e-6 for k in kernels))
            self.assertEqual([k["net_us"] for k in kernels], sorted((k["net_us"] for k in kernels), reverse=True))
            linear = [k for k in kernels if k["kernel"].startswith("linear.") and k["net_us"] > 0]
            self.assertTrue(all(k["gbps"] > 0 and k["tflops"] > 0 and 0 < k["of_fma"] < 2 for k in linear))
            self.assertTrue(any("blk.*." in k["node"] for k in kernels))
        self.assertIn("a mark costs", self.ok("bench", "-p", "0", "-n", "2", "-r", "1", "--profile").out)

    def test_without_timestamps(self):
        result = self.ok("bench", "-p", "8", "-n", "2", "-r", "1", "--profile", "--json", "--baseline")
        report = result.json()
        self.assertIn("timestamps" if quern.has_blocking_calls() else "blocking", result.err)
        self.assertEqual(report["peaks"], {"copy_gbps": None, "f32_tflops": None, "i8_tops": None})
        for t in report["tests"]:
            self.assertIsNone(t["gpu_us"])
            self.assertNotIn("kernels", t)
        self.assertIn("tg2 ", self.ok("bench", "-p", "0", "-n", "2", "-r", "1", "--baseline").out)

    def test_precision(self):
        self.assertEqual(self.ok("bench", "-p", "8", "-n", "0", "-r", "1", "--json").json()["precision"], "auto")
        exact = self.ok("bench", "-p", "8", "-n", "0", "-r", "1", "--precision", "exact", "--json").json()
        self.assertEqual(exact["precision"], "exact")

    def test_linear(self):
        for scales in ("f16", "f32"):
            report = self.ok("bench", "--op", "linear_q4gsw", "--shape", "M=1,N=256,K=256,group=32", "--scales", scales,
                             "-r", "3", "--json").json()
            self.assertEqual(report["shape"], {"M": 1, "N": 256, "K": 256, "group": 32})
            self.assertEqual((report["op"], report["scales"], report["runs"]), ("linear_q4gsw", scales, 3))
            self.assertTrue(report["route"].startswith("linear."))
            self.assertTrue(0 < report["min_us"] <= report["median_us"] <= report["max_us"])
            bytes_read = 256 * 128 + 256 * 8 * (2 if scales == "f16" else 4) + 4 * 512
            self.assertAlmostEqual(report["gbps"], bytes_read / report["median_us"] / 1e3, delta=1e-6 + report["gbps"] / 1e3)

    def test_attention(self):
        shape = "S=2,pos=30,Hq=8,Hkv=2,D=64,C=64"
        report = self.ok("bench", "--op", "sdpa_with_kv_cache", "--shape", shape, "-r", "3", "--json").json()
        self.assertIn("sdpa.", report["route"])
        self.assertGreater(report["tflops"], 0)
        text = self.ok("bench", "--op", "sdpa_with_kv_cache", "--shape", shape, "-r", "3", "--baseline").out
        self.assertIn("no timestamps", text)
        shape = "S={},pos=0,Hq=8,Hkv=2,D=64,kv=16"  # pos may be 0, what counts something may not
        self.assertIn("attend.", self.ok("bench", "--op", "attend", "--shape", shape.format(2), "-r", "1", "--json").out)
        self.fails(1, "bench", "--op", "attend", "--shape", shape.format(0), message="S is 0")


if __name__ == "__main__":
    quern.main()
