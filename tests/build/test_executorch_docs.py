"""The table of operators in docs/executorch.md is what operators.def and the committed exports say."""
import os
import subprocess
import sys

root = os.environ.get("QN_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.exit(subprocess.run([sys.executable, os.path.join(root, "tools", "make_executorch_table.py"), "--check"]).returncode)
