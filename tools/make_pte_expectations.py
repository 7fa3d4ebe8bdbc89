"""Writes what the reader of .pte files has to find, from flatc's JSON of the same files.

    make_pte_expectations.py FIXTURE/graph.json > expected.txt

The JSON (the whole container, made with the official flatc and schemas) is large; the text has one line for each thing
that the reader gives, in the form of tests/support/pte_text.c. Python's standard library only.
"""
import json
import sys


def items(values):
    return "(" + " ".join("%.17g" % v if isinstance(v, float) else str(int(v)) for v in values) + ")"


def shape(dims):
    return "[" + ",".join(map(str, dims)) + "]"


class Text:
    def __init__(self, container):
        self.c = container
        self.p = container["program"]
        self.base = container.get("segment_base", 0)
        self.lines = []

    def add(self, line):
        self.lines.append(line)

    def segment(self, i):
        s = self.p["segments"][i]
        return s["offset"] + self.base, s["size"]

    def container(self):
        c, p = self.c, self.p
        self.add(f"file {c['file_size']}, header {c['header_length']}, flatbuffer {c['program_size']}, "
                 f"segments {c['segment_data_size']} at {self.base}, version {p['version']}")
        for i in range(len(p.get("segments", []))):
            at, size = self.segment(i)
            self.add(f"segment {i}: {size} at {at}")
        for named in p.get("named_data", []):
            at, size = self.segment(named["segment_index"])
            self.add(f"named {named['key']}: segment {named['segment_index']}, {size} at {at}")
        self.add("constants " + items(p.get("constant_segment", {}).get("offsets", [])))
        for offsets in p.get("mutable_data_segments", []):
            self.add("mutable " + items(offsets["offsets"]))
        for i, buffer in enumerate(p.get("constant_buffer", [])):
            self.add(f"inline {i}: {len(buffer['storage'])}")

    def tensor(self, t):
        line = f"tensor {t['scalar_type']} {shape(t.get('sizes', []))} order"
        line += "".join(f" {d}" for d in t.get("dim_order", []))
        line += f" {t['shape_dynamism']}" + (" planned" if "allocation_info" in t else "")
        line += f", buffer {t['data_buffer_idx']}"
        if "extra_tensor_info" in t or t["data_buffer_idx"]:
            raise SystemExit("tensors with data are not in the fixtures so far: extend this script")
        return line

    def value(self, kind, v):
        plain = {"Int": ("int", "int_val"), "Bool": ("bool", "bool_val"), "SymInt": ("symint", "value")}
        lists = {"IntList": "ints", "DoubleList": "doubles", "BoolList": "bools", "TensorList": "tensors",
                 "OptionalTensorList": "optional tensors", "ValueList": "values"}
        if kind == "Null":
            return "null"
        if kind in plain:
            name, field = plain[kind]
            return f"{name} {int(v[field])}"
        if kind == "Double":
            return "double %.17g" % v["double_val"]
        if kind == "String":
            return f"string \"{v['string_val']}\""
        if kind in lists:
            numbers = v.get("items", [])
            return f"{lists[kind]} " + items(map(float, numbers) if kind == "DoubleList" else numbers)
        if kind == "Tensor":
            return self.tensor(v)
        if kind == "VkTensor":
            return (f"tensor {v['datatype']}/{v['staging_datatype']} {shape(v['dims'])} "
                    f"constant {v['constant_id']}, memory {v['mem_obj_id']}")
        raise SystemExit(f"value of kind {kind}")

    def instruction(self, kind, a):
        if kind == "KernelCall":
            return f"call kernel {a['op_index']} {items(a['args'])}"
        if kind == "DelegateCall":
            return f"call delegate {a['delegate_index']} {items(a['args'])}"
        raise SystemExit(f"instructions {kind} are not in the fixtures so far: extend this script")

    def method(self, plan):
        self.add(f"method {plan['name']}")
        for i, v in enumerate(plan["values"]):
            self.add(f" value {i}: " + self.value(v["val_type"], v.get("val", {})))
        self.add(" inputs " + items(plan["inputs"]))
        self.add(" outputs " + items(plan["outputs"]))
        for i, op in enumerate(plan["operators"]):
            self.add(f" operator {i}: {op['name']} \"{op.get('overload', '')}\"")
        for i, d in enumerate(plan["delegates"]):
            if d["processed"]["location"] != "SEGMENT":
                raise SystemExit("inline delegates are not in the fixtures so far: extend this script")
            at, size = self.segment(d["processed"]["index"])
            self.add(f" delegate {i}: {d['id']}, segment, {size} at {at}")
            for spec in d.get("compile_specs", []):
                self.add(f"  spec {spec['key']}:" + "".join(f" {b}" for b in spec["value"]))
        for i, chain in enumerate(plan["chains"]):
            self.add(f" chain {i}")
            for call in chain.get("instructions") or []:
                self.add("  " + self.instruction(call["instr_args_type"], call["instr_args"]))

    def graph(self, blob):
        g = blob["vkgraph"]
        named = {n["key"]: self.segment(n["segment_index"]) for n in self.p.get("named_data", [])}
        self.add(f"graph {blob['plan']}.{blob['delegate']}, version {g['version']}")
        for i, c in enumerate(g["constants"]):
            if c["offset"] != 2**64 - 1:
                raise SystemExit("inline constants are not in the fixtures so far: extend this script")
            at, _ = named[c["named_key"]]
            self.add(f" constant {i}: {c['named_key']}, {c['length']} at {at}")
        for i, v in enumerate(g["values"]):
            self.add(f" value {i}: " + self.value(v["value_type"], v.get("value", {})))
        self.add(" inputs " + items(g["input_ids"]))
        self.add(" outputs " + items(g["output_ids"]))
        for op in g["chain"]:
            self.add(f" op {op['node_id']}: {op['name']} {items(op['args'])}")

    def all(self):
        self.container()
        for plan in self.p["execution_plan"]:
            self.method(plan)
        for blob in self.c["delegate_blobs"]:
            self.graph(blob)
        return "\n".join(self.lines) + "\n"


def expectation(path):
    with open(path, encoding="utf-8") as f:
        return Text(json.load(f)).all()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(expectation(sys.argv[1]))
