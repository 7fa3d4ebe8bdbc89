"""perplexity of the held-out text, against the number that another program found."""
import os

import quern


# How the model may be run, and how far its perplexity may then be from the exact one. A row that rounds comes in by
# itself: {ROW} stands for each.
BOUNDS = [
    (["--kv-type", "f16"], 1e-3),
    (["--kv-type", "q8_0"], 3e-3),
    (["--precision", "auto"], 3e-3),
    (["--precision", "auto", "--route", "{ROW}"], 3e-3),
]


class Perplexity(quern.Case):
    def test_held_out_text(self):
        heldout = quern.reference("logits.json")["heldout"]
        expected = heldout["dequantized_q4_0"]
        result = self.ok("perplexity", "-f", os.path.join(quern.MODELS, heldout["file"]), "--json").json()
        self.assertEqual((result["tokens"], result["window"]), (expected["tokens"], 512))
        self.assertLess(abs(result["perplexity"] / expected["perplexity"] - 1), 1e-3)
        self.assertLess(abs(result["nats_per_token"] - expected["mean_nll"]), 1e-3)

    def test_bounds(self):
        """On the first page: each way to run it against the exact one."""
        with open(os.path.join(quern.MODELS, "heldout.txt"), "rb") as f:
            text = f.read(3000)
        exact = self.ok("perplexity", "-f", "-", "--json", stdin=text).json()
        self.assertEqual(exact["precision"], "exact")
        device = next(d for d in self.ok("devices", "--json").json() if d["default"])
        rows = [k["name"] for k in device["kernels"] if k["inexact"] and k["usable"]]
        for options, bound in BOUNDS:
            for row in rows if "{ROW}" in options else [""]:
                args = [arg.format(ROW=row) for arg in options]
                with self.subTest(args):
                    rounded = self.ok("perplexity", "-f", "-", *args, "--json", stdin=text).json()
                    self.assertEqual(rounded["tokens"], exact["tokens"])
                    self.assertEqual(rounded["precision"], "auto" if "auto" in args else "exact")
                    self.assertLess(abs(rounded["perplexity"] / exact["perplexity"] - 1), bound)

    def test_pieces(self):
        text = b"The king had a daughter. The king had a son. The king had"
        whole = self.ok("perplexity", "-f", "-", "--json", stdin=text).json()
        ids = self.ok("tokenize", stdin=text).out.split()
        self.assertEqual(whole["tokens"], len(ids))
        pieces = self.ok("perplexity", "-f", "-", "--window", "4", "--json", stdin=text).json()
        self.assertEqual(pieces["tokens"], len(ids))
        self.assertGreater(pieces["perplexity"], whole["perplexity"])
        # the pieces one by one, each from an empty cache, add up to the same
        total = 0
        for at in range(0, len(ids), 3):
            piece = self.ok("detokenize", *ids[at:at + 3]).bytes
            if self.ok("tokenize", stdin=piece).out.split() != ids[at:at + 3]:
                self.skipTest("the text splits otherwise in pieces")
            one = self.ok("perplexity", "-f", "-", "--json", stdin=piece).json()
            total += one["nats_per_token"] * one["tokens"]
        self.assertAlmostEqual(total, pieces["nats_per_token"] * len(ids), delta=1e-3)
        self.assertIn("perplexity", self.ok("perplexity", "-f", "-", stdin=text).out)


if __name__ == "__main__":
    quern.main()
