"""Every export under tests/data/executorch gives PyTorch's numbers, on each call, in other orders too where no state is
kept, and after calls that must fail; what has to be refused is refused."""
import os
import subprocess
import sys

root = os.environ.get("QN_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
build = os.environ.get("QN_BUILD_DIR") or os.path.join(root, "build")
folder = os.path.join(root, "tests", "data", "executorch")

run = subprocess.run([os.path.join(build, "quern"), "check", folder], capture_output=True, text=True)
lines = run.stdout.splitlines()
cases = sum(os.path.isdir(os.path.join(folder, name)) for name in os.listdir(folder))
print(lines[-1] if lines else run.stderr)
print("\n".join(line for line in lines if line.startswith("FAIL")))
if run.returncode or not lines or lines[-1] != f"{cases} passed, 0 failed":
    sys.exit(f"exit code {run.returncode}, {cases} cases\n{run.stderr}")
