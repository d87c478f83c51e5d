"""The README's first command: tools/run starts gpcsup here and shows it; Ctrl-C ends everything."""

import os
import pathlib
import re
import select
import signal
import subprocess
import time
import unittest

import harness
from harness import SLOW, children_of, command_name, descendants, wait_gone

SOURCE = pathlib.Path(os.environ.get("GPCSUP_SOURCE", harness.ROOT))
BUILT = harness.BIN == SOURCE / "build/release/src"


@unittest.skipUnless(BUILT and os.access(harness.BIN, os.W_OK), "it builds build/release, which is somebody else's here")
class ToolsRun(unittest.TestCase):
    def read_until(self, process, pattern, seconds):
        text, deadline = "", time.monotonic() + seconds * SLOW
        while not (match := re.search(pattern, text)):
            ready = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]
            piece = os.read(process.stdout.fileno(), 65536) if ready else b""
            self.assertTrue(piece, f"it did not come to {pattern!r}: {text}")
            text += piece.decode()
        return match, text

    def test_it_starts_shows_and_ends(self):
        process = subprocess.Popen([SOURCE / "tools/run"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        match, text = self.read_until(process, r"Next, in another terminal:  export GPCSUP_RUNTIME=(\S+) PATH=(\S+):\$PATH", 300)
        self.assertRegex(text, r"● clock +active")
        self.assertNotIn("failed", text)
        self.assertEqual(harness.BIN, pathlib.Path(match.group(2)))
        answer = subprocess.run([harness.BIN / "gpcsup", "--runtime", match.group(1), "is-active", "default"], capture_output=True, text=True)
        self.assertEqual((0, "active"), (answer.returncode, answer.stdout.strip()), answer.stderr)
        init = next(pid for pid in children_of(process.pid) if command_name(pid) == "gpc-init")
        below = descendants(init)
        self.assertIn("gpcsupd", map(command_name, below))
        os.kill(process.pid, signal.SIGINT)
        self.assertEqual(0, process.wait(60 * SLOW))
        for pid in below:
            self.assertTrue(wait_gone(pid, 10), f"{pid} is left")
        self.assertFalse(pathlib.Path(match.group(1)).parent.exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
