"""Running the command line program, for the tests in this folder."""
import json
import os
import subprocess
import tempfile
import unittest

SOURCE = os.environ.get("QN_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("QN_BUILD_DIR") or os.path.join(SOURCE, "build")
QUERN = os.environ.get("QUERN") or os.path.join(BUILD, "quern")
MODELS = os.path.join(SOURCE, "models", "quern-tales")
MODEL = os.path.join(MODELS, "quern-tales-q4_0.gguf")


def environment():
    """Without XDG_RUNTIME_DIR, as on a bare machine: drivers must not complain about it on stderr."""
    env = dict(os.environ)
    env.pop("XDG_RUNTIME_DIR", None)
    env["XDG_CACHE_HOME"] = os.path.join(BUILD, "cache")  # not the user's own
    return env


def has_blocking_calls():
    """False in builds that leave out the library's blocking helpers."""
    try:
        with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as f:
            return "QN_NO_BLOCKING:BOOL=ON" not in f.read()
    except OSError:
        return True


def reference(name):
    with open(os.path.join(MODELS, name), encoding="utf-8") as f:
        return json.load(f)


class Result:
    def __init__(self, code, out, err):
        self.code = code
        self.bytes = out
        self.out = out.decode("utf-8", "replace")
        self.err = err.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.out)


class Case(unittest.TestCase):
    """A test case with a temporary folder and ways to run quern."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def quern(self, *args, stdin=b""):
        done = subprocess.run([QUERN, *map(str, args)], input=stdin, capture_output=True, env=environment(), check=False)
        result = Result(done.returncode, done.stdout, done.stderr)
        self.assertNotIn("XDG_RUNTIME_DIR", result.err)
        self.assertGreaterEqual(result.code, 0, f"quern {args} was killed by a signal:\n{result.err}")
        return result

    def ok(self, *args, stdin=b""):
        result = self.quern(*args, stdin=stdin)
        self.assertEqual(result.code, 0, f"quern {args}:\n{result.err}{result.out}")
        return result

    def fails(self, code, *args, stdin=b"", message=None):
        """The exit code, nothing on stdout, and a message on stderr that begins with the program's name."""
        result = self.quern(*args, stdin=stdin)
        self.assertEqual(result.code, code, f"quern {args}:\n{result.err}{result.out}")
        self.assertEqual(result.out, "", f"quern {args} prints on stdout although it fails")
        self.assertIn("quern", result.err)
        if message:
            self.assertIn(message, result.err)
        return result

    def random_model(self, *args, name="model.gguf"):
        tool = os.path.join(BUILD, "tools", "gen_gguf")
        subprocess.run([tool, *args, "-o", self.path(name)], check=True, stdout=subprocess.DEVNULL)
        return self.path(name)


def main():
    unittest.main(verbosity=2)
