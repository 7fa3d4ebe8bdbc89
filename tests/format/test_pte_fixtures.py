"""Every .pte file of a folder of fixtures, read by us and by flatc: QN_PTE_FIXTURES=FOLDER.

FOLDER/NAME/ holds model.pte and graph.json (the container as flatc prints it). tools/pte_dump's text of the one must be
what tools/make_pte_expectations.py makes of the other, and constants named by a SHA-256 must have it where we find them.
Without the variable: the ten in tests/data/executorch, where expected.txt is the text made of graph.json.
"""
import difflib
import hashlib
import os
import re
import subprocess
import sys

source, build = os.environ["QN_SOURCE_DIR"], os.environ["QN_BUILD_DIR"]
fixtures = os.environ.get("QN_PTE_FIXTURES") or os.path.join(source, "tests", "data", "executorch")
sys.path.insert(0, os.path.join(source, "tools"))
sys.dont_write_bytecode = True
from make_pte_expectations import expectation  # noqa: E402


def wanted_text(folder):
    """None where the folder holds no fixture."""
    graph, text = os.path.join(folder, "graph.json"), os.path.join(folder, "expected.txt")
    if os.path.exists(graph):
        return expectation(graph)
    if not os.path.exists(text):
        return None
    with open(text, encoding="utf-8") as f:
        return f.read()


def bad_hashes(model, text):
    with open(model, "rb") as f:
        data = f.read()
    for key, size, at in re.findall(r"^named ([0-9a-f]{64}): segment \d+, (\d+) at (\d+)$", text, re.M):
        if hashlib.sha256(data[int(at):int(at) + int(size)]).hexdigest() != key:
            yield key


checked, failed = 0, []
for name in sorted(os.listdir(fixtures)):
    model = os.path.join(fixtures, name, "model.pte")
    wanted = wanted_text(os.path.join(fixtures, name))
    if wanted is None:
        continue
    run = subprocess.run([os.path.join(build, "tools", "pte_dump"), model], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    checked += 1
    if run.returncode or run.stdout != wanted or any(bad_hashes(model, run.stdout)):
        failed.append(name)
        diff = difflib.unified_diff(wanted.splitlines(), run.stdout.splitlines(), "flatc", "pte_dump", lineterm="")
        print(f"{name}: exit code {run.returncode}", *list(diff)[:20], *bad_hashes(model, run.stdout), sep="\n")
print(f"{checked} files, {len(failed)} differ")
sys.exit(1 if failed or not checked else 0)
