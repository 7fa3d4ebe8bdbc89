"""check: the case folders, and folders that are wrong."""
import json
import os
import shutil
import struct

import quern

CASES = os.path.join(quern.SOURCE, "tests", "data", "op-cases")


class Check(quern.Case):
    def copy(self, name, change=None):
        """A copy of a case; change(case) edits its JSON."""
        shutil.copytree(os.path.join(CASES, name), self.path(name), dirs_exist_ok=True)
        if change:
            with open(self.path(name, "case.json"), encoding="utf-8") as f:
                case = json.load(f)
            change(case)
            with open(self.path(name, "case.json"), "w", encoding="utf-8") as f:
                json.dump(case, f)
        return self.path(name)

    def refused(self, folder, message):
        """The case fails, by itself and in one line."""
        result = self.quern("check", folder)
        self.assertEqual(result.code, 1, result.out + result.err)
        line = result.out.splitlines()[0]
        self.assertTrue(line.startswith("FAIL"), result.out)
        self.assertIn(message, line)
        self.assertIn("0 passed, 1 failed", result.out)

    def test_all_cases(self):
        names = sorted(n for n in os.listdir(CASES) if os.path.isdir(os.path.join(CASES, n)))
        result = self.ok("check", *(os.path.join(CASES, n) for n in names))
        lines = result.out.splitlines()
        self.assertEqual([line.split()[:2] for line in lines[:-1]], [["ok", n] for n in names])
        self.assertEqual(lines[-1], f"{len(names)} passed, 0 failed")
        self.assertEqual(self.ok("check", CASES).out, result.out)  # a folder of cases

    def test_baseline_and_json(self):
        report = self.ok("check", CASES, "--baseline", "--json").json()
        self.assertEqual(report["failed"], 0)
        self.assertEqual(report["passed"], len(report["cases"]))
        case = next(c for c in report["cases"] if c["case"] == "q4_dyn")
        self.assertTrue(case["ok"] and case["kernels"])
        self.assertLess(case["max_abs"], 1e-4)

    def test_routes(self):
        report = self.ok("check", CASES, "--route", "linear.any", "--json").json()
        for case in report["cases"]:
            self.assertEqual(case["route_used"], case["case"].startswith("q4_"), case)
        text = self.ok("check", os.path.join(CASES, "rms_norm"), "--route", "linear.any").out
        self.assertIn("linear.any was not used", text)
        self.fails(1, "check", CASES, "--route", "linear.nonsense", message="linear.any")

    def test_out(self):
        self.ok("check", os.path.join(CASES, "q4_dyn"), os.path.join(CASES, "sdpa_mha"), "--out", self.path("out"))
        for name, call in (("q4_dyn", "c0.y"), ("q4_dyn", "c5.y"), ("sdpa_mha", "c1.o")):
            self.assertClose(os.path.join(CASES, name, f"{call}.bin"), self.path("out", name, f"{call}.bin"))
        if quern.has_blocking_calls():
            for state in ("c0.k_cache.after.bin", "c1.v_cache.after.bin"):
                self.assertClose(os.path.join(CASES, "sdpa_mha", state), self.path("out", "sdpa_mha", state))

    def assertClose(self, expected, got):
        a, b = map(self.floats, (expected, got))
        self.assertEqual(len(a), len(b))
        self.assertLess(max(abs(x - y) for x, y in zip(a, b)), 1e-4)

    @staticmethod
    def floats(path):
        with open(path, "rb") as f:
            data = f.read()
        return struct.unpack(f"<{len(data) // 4}f", data)

    def test_wrong_numbers(self):
        folder = self.copy("q4_m1")
        with open(os.path.join(folder, "c0.y.bin"), "r+b") as f:
            f.seek(4 * 7)
            f.write(struct.pack("<f", 1e9))
        self.refused(folder, "c0.y[0,7]")
        with open(os.path.join(folder, "c0.y.bin"), "r+b") as f:
            f.seek(4 * 7)
            f.write(struct.pack("<f", float("nan")))
        self.refused(folder, "c0.y[0,7]")

    def test_wrong_states(self):
        if not quern.has_blocking_calls():
            self.skipTest("this build does not compare states")
        folder = self.copy("sdpa_mha")
        with open(os.path.join(folder, "c1.k_cache.after.bin"), "r+b") as f:
            f.seek(0)
            f.write(struct.pack("<f", 0.125))
        self.refused(folder, "k_cache")

    def test_data_files(self):
        """Those that a program's case names belong to it; they lie in its folder."""
        source = os.path.join(quern.SOURCE, "tests", "data", "executorch", "linear_external_constants")
        with open(os.path.join(source, "case.json"), encoding="utf-8") as f:
            case = json.load(f)
        self.assertEqual(len(case["data_files"]), 1)
        for files, message in ((None, "give the .ptd file"), (["gone.ptd"], "gone.ptd"), (["../model.ptd"], "no names"),
                               ([7], "no names"), (["model.pte"], "not a .ptd file")):
            shutil.copytree(source, self.path("program"), dirs_exist_ok=True)
            case["data_files"] = files
            with open(self.path("program", "case.json"), "w", encoding="utf-8") as f:
                json.dump(case, f)
            self.refused(self.path("program"), message)

    def test_rejections(self):
        def accept(case):
            case["expect"] = "reject"

        def refuse(case):
            case["calls"][0]["expect"] = "reject"

        self.refused(self.copy("q4_m1", accept), "has to be refused")
        shutil.rmtree(self.path("q4_m1"))
        self.refused(self.copy("q4_m1", refuse), "has to be refused")

        def build(case):
            case["expect"] = "ok"
            case["calls"] = [{"inputs": [], "integers": {}, "outputs": [], "states_after": [], "expect": "ok"}]

        self.refused(self.copy("sdpa_reject_d6", build), "head_dim 6")

    def test_refused_calls(self):
        """Rows beyond the cache, no rows, a negative position: refused, and the next call is right."""
        for name, pos in (("past", 6), ("far", 2**31), ("negative", -1)):
            def change(case, pos=pos):
                case["calls"][1]["integers"]["input_pos"] = pos

            self.ok("check", self.copy("sdpa_overrun", change))

        def empty(case):
            for tensor in case["calls"][1]["inputs"]:
                tensor["shape"][1] = 0
                tensor["file"] = "none.bin"

        folder = self.copy("sdpa_overrun", empty)
        open(os.path.join(folder, "none.bin"), "wb").close()
        self.ok("check", folder)

    def test_wrong_cases(self):
        def weight(**changes):
            return lambda case: case["weights"][0].update(changes)

        def call_input(**changes):
            return lambda case: case["calls"][0]["inputs"][0].update(changes)

        def top(**changes):
            return lambda case: case.update(changes)

        for change, message in (
            (top(op="conv2d"), "conv2d"),
            (top(kind="program"), "program"),
            (top(expect="maybe"), "expect"),
            (top(calls=[]), "no calls"),
            (top(calls=7), "calls"),
            (top(weights={}), "weights"),
            (top(attrs={"bias": False}), "group_size"),
            (top(attrs={"group_size": 0, "bias": False}), "group_size"),
            (top(attrs={"group_size": 32, "bias": True}), "bias"),
            (top(tolerance={}), "tolerance"),
            (top(max_shapes={}), "max_shapes"),
            (top(max_shapes={"x": [1] * 9}), "dimensions"),
            (weight(dtype="f64"), "dtype"),
            (weight(dtype="i32"), "bytes"),
            (weight(shape=[48, 33]), "bytes"),
            (weight(shape=[48, -32]), "shape"),
            (weight(shape=[2**31 - 1, 2**31 - 1, 2**31 - 1]), "shape"),
            (weight(shape=[32, 48]), "scales"),
            (weight(shape=[48 * 32]), "w has the shape"),
            (weight(shape="big"), "shape"),
            (weight(file="../q4_m1/w.bin"), "file"),
            (weight(file="/etc/passwd"), "file"),
            (weight(file="missing.bin"), "missing.bin"),
            (weight(name="../w"), "name"),
            (call_input(name="z"), "x"),
            (call_input(shape=[64]), "[64]"),
            (call_input(shape=[2, 32]), "[2,32]"),
            (call_input(dtype="i32"), "f32"),
            (lambda case: case["calls"][0]["outputs"][0].update(shape=[48]), "[48]"),
            (lambda case: case["calls"][0]["outputs"][0].update(name="z"), "z"),
            (lambda case: case["calls"][0]["integers"].update(pos=1), "pos"),
            (lambda case: case["calls"][0].pop("inputs"), "inputs"),
        ):
            with self.subTest(message):
                self.refused(self.copy("q4_m1", change), message)
                shutil.rmtree(self.path("q4_m1"))

    def test_damaged_folders(self):
        folder = self.copy("q4_m1")
        with open(os.path.join(folder, "w.bin"), "r+b") as f:
            f.truncate(100)
        self.refused(folder, "w.bin has 100 bytes")
        self.write("q4_m1/case.json", b"{ not json")
        self.refused(folder, "line 1")
        self.write("q4_m1/case.json", b"[" * 100000)
        self.refused(folder, "case.json")
        self.write("q4_m1/case.json", b"[]")
        self.refused(folder, "case.json")
        self.refused(self.path("nothing here"), "case.json")
        os.mkdir(self.path("program"))
        self.write("program/model.pte", b"")
        self.refused(self.path("program"), "case.json")

    def test_rope_far_away(self):
        def change(case):
            case["calls"][1]["integers"]["input_pos"] = 10**15

        self.refused(self.copy("rope_half", change), "input_pos")


if __name__ == "__main__":
    quern.main()
