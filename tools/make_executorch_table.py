"""Writes the table of operators in docs/executorch.md: make_executorch_table.py [--check] (after a build).

Which operators are translated says src/program/operators.def; which exports contain them say the committed .pte files
themselves (through build/tools/pte_dump). The test program.check_exports runs these exports and compares what they
give with PyTorch's numbers, so an operator counts as supported when at least two of them contain it. --check only
compares: exit code 1 when the page is out of date (the test build.executorch_docs).
"""
import glob
import json
import os
import re
import subprocess
import sys

SOURCE = os.environ.get("QN_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("QN_BUILD_DIR") or os.path.join(SOURCE, "build")
PAGE = os.path.join(SOURCE, "docs", "executorch.md")
BEGIN, END = "<!-- table: made by tools/make_executorch_table.py -->\n", "<!-- end of table -->\n"
SHOWN = 4


def translated():
    with open(os.path.join(SOURCE, "src", "program", "operators.def"), encoding="utf-8") as f:
        return sorted(re.findall(r'^QN_OPERATOR\("([^"]+)"', f.read(), flags=re.M))


def exports_by_operator():
    """Operator -> names of the committed exports that run it; cases that must be refused do not count."""
    found = {}
    for path in sorted(glob.glob(os.path.join(SOURCE, "tests", "data", "executorch", "*", "model.pte"))):
        folder = os.path.dirname(path)
        with open(os.path.join(folder, "case.json"), encoding="utf-8") as f:
            if json.load(f).get("expect") == "reject":
                continue
        files = [path] + sorted(glob.glob(os.path.join(folder, "*.ptd")))
        text = subprocess.run([os.path.join(BUILD, "tools", "pte_dump")] + files, capture_output=True, text=True,
                              check=True).stdout
        for name in set(re.findall(r"^ op \d+: (\S+) \(", text, flags=re.M)):
            found.setdefault(name, []).append(os.path.basename(folder))
    return found


def row(name, exports):
    shown = ", ".join(f"`{e}`" for e in exports[:SHOWN])
    more = f" and {len(exports) - SHOWN} more" if len(exports) > SHOWN else ""
    return f"| `{name}` | {len(exports)} | {shown}{more} |\n"


def table():
    found, names = exports_by_operator(), translated()
    supported = [n for n in names if len(found.get(n, [])) >= 2]
    others = [n for n in names if n not in supported]
    text = f"{len(supported)} operators are supported: at least two committed exports with them agree with PyTorch.\n\n"
    text += "| operator | exports | which |\n| --- | --- | --- |\n"
    text += "".join(row(n, found[n]) for n in supported)
    text += f"\n{len(others)} more are translated, but not counted as supported: fewer than two exports prove them.\n\n"
    text += "| operator | exports | which |\n| --- | --- | --- |\n"
    text += "".join(row(n, found.get(n, [])) for n in others)
    return text


def main():
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    new = before + BEGIN + "\n" + table() + "\n" + END + after
    if "--check" in sys.argv:
        if new != page:
            sys.exit("docs/executorch.md is out of date: run python3 tools/make_executorch_table.py")
        return
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(new)


main()
