"""Every .pte file of a folder of fixtures, read by us and by flatc: QN_PTE_FIXTURES=FOLDER.

FOLDER/NAME/ holds model.pte and graph.json (the container as flatc prints it). tools/pte_dump's text of the one must be
what tools/make_pte_expectations.py makes of the other, and constants named by a SHA-256 must have it where we find them.
Skipped without the variable: ten of these fixtures are in tests/data/executorch.
"""
import difflib
import hashlib
import os
import re
import subprocess
import sys

source, build = os.environ["QN_SOURCE_DIR"], os.environ["QN_BUILD_DIR"]
fixtures = os.environ.get("QN_PTE_FIXTURES")
if not fixtures:
    print("QN_PTE_FIXTURES is not set")
    sys.exit(77)
sys.path.insert(0, os.path.join(source, "tools"))
sys.dont_write_bytecode = True
from make_pte_expectations import expectation  # noqa: E402


def bad_hashes(model, text):
    with open(model, "rb") as f:
        data = f.read()
    for key, size, at in re.findall(r"^named ([0-9a-f]{64}): segment \d+, (\d+) at (\d+)$", text, re.M):
        if hashlib.sha256(data[int(at):int(at) + int(size)]).hexdigest() != key:
            yield key


checked, failed = 0, []
for name in sorted(os.listdir(fixtures)):
    graph, model = (os.path.join(fixtures, name, file) for file in ("graph.json", "model.pte"))
    if not os.path.exists(graph):
        continue
    run = subprocess.run([os.path.join(build, "tools", "pte_dump"), model], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    wanted = expectation(graph)
    checked += 1
    if run.returncode or run.stdout != wanted or any(bad_hashes(model, run.stdout)):
        failed.append(name)
        diff = difflib.unified_diff(wanted.splitlines(), run.stdout.splitlines(), "flatc", "pte_dump", lineterm="")
        print(f"{name}: exit code {run.returncode}", *list(diff)[:20], *bad_hashes(model, run.stdout), sep="\n")
print(f"{checked} files, {len(failed)} differ")
sys.exit(1 if failed or not checked else 0)
