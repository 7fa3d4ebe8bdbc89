"""Every kernel compiles with Tint, Chromium's compiler of WGSL: the texts of test_sources, through Dawn for Node.

Dawn's null backend has every feature of WGSL, core limits and no driver: it checks modules and pipelines as browsers do
(the driver's own compiler is the tests' of the operations). `tint.mjs` may be run by hand with another backend."""
import os
import subprocess
import sys
import tempfile

SOURCE, BUILD = os.environ["QN_SOURCE_DIR"], os.environ["QN_BUILD_DIR"]
HERE = os.path.dirname(os.path.abspath(__file__))
DAWN = os.path.join(SOURCE, "third_party", "webgpu")
NODE = os.path.join(SOURCE, "scripts", "with_node.sh")

node = subprocess.run([NODE, "node", "--version"], stdout=subprocess.DEVNULL, check=False)
if node.returncode or not os.path.isdir(DAWN) or not os.listdir(os.path.join(DAWN, "dist")):
    print("no Node.js 20 or no Dawn: scripts/setup.sh test installs them")
    sys.exit(77)

with tempfile.TemporaryDirectory(dir=BUILD) as folder:
    subprocess.run([os.path.join(BUILD, "tests", "shaders", "test_sources"), folder], check=True,
                   stdout=subprocess.DEVNULL)
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # of the sanitizers
    sys.exit(subprocess.run([NODE, "node", os.path.join(HERE, "tint.mjs"), folder, DAWN], env=plain, check=False).returncode)
