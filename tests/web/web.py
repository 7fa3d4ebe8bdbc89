"""What the tests of web/ need, and how they are run: web/test/NAME.test.js in Node."""
import os
import re
import shutil
import subprocess
import sys

root = os.environ.get("QN_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIREFOX = "/usr/bin/firefox-esr"
OLDEST_FIREFOX = 153  # whose WebGPU works on Linux when it is switched on
CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
NODE = os.path.join(root, "scripts", "with_node.sh")
DRIVERS = ["/usr/lib/chromium/vk_swiftshader_icd.json", "/opt/google/chrome/vk_swiftshader_icd.json"]


def skip(why):
    """In CI, where everything has been set up, what is missing is a failure."""
    print(why)
    sys.exit(1 if os.environ.get("QN_CI") else 77)


def need_module():
    """Builds web/dist."""
    if not shutil.which("clang-19") or not os.path.exists("/usr/lib/wasm32-wasi/libc.a"):
        skip("no clang for wasm here (scripts/setup.sh web)")
    subprocess.run([os.path.join(root, "scripts", "build_web.sh")], check=True)


def need_node():
    if subprocess.run([NODE, "node", "--version"], stdout=subprocess.DEVNULL, check=False).returncode:
        skip("no Node.js 20 here (scripts/setup.sh test)")


def need_dawn():
    if not os.path.exists(os.path.join(root, "third_party", "webgpu", "index.js")):
        skip("no Dawn here (scripts/setup.sh test)")
    if "VK_ICD_FILENAMES" not in os.environ and not any(map(os.path.exists, DRIVERS)):
        skip("no SwiftShader here: install chromium, or name its vk_swiftshader_icd.json in VK_ICD_FILENAMES")


def need_chromium():
    if "QN_CHROMIUM" not in os.environ and not any(map(os.path.exists, CHROMIUM)):
        skip("no Chromium here (scripts/setup.sh test), or name it in QN_CHROMIUM")
    if not os.path.exists(os.path.join(root, "web", "test", "node_modules", "playwright-core")):
        skip("no playwright-core here (scripts/setup.sh test)")


def need_firefox():
    program = os.environ.get("QN_FIREFOX", FIREFOX)
    if not os.path.exists(program):
        skip("no firefox-esr here (scripts/setup.sh test): name a Firefox in QN_FIREFOX")
    said = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    version = re.search(r"(\d+)\.", said)
    if not version or int(version[1]) < OLDEST_FIREFOX:
        skip(f"{said.strip()} is older than {OLDEST_FIREFOX}")


def run(*names):
    """One after the other: each has the GPU, which is the processor, for itself."""
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # of the sanitizers
    for name in names:
        subprocess.run([NODE, "node", "--test", os.path.join(root, "web", "test", f"{name}.test.js")], env=plain, check=True)
