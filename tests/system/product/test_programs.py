"""What the programs are made of: those that everything depends on need no library and take no memory while they run."""

import os
import pathlib
import struct
import unittest

import harness
from harness import Case, Events, ORDINARY

CONFIG = """
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/small"]
numtasks.limit = 20
"""
UNITS = {"busy": '[service]\ncommand = ["sh", "-c", "while :; do /bin/true; done"]\n[place]\ntenant = "/small"\n',
         "again": '[service]\ntype = "simple"\nrestart = "always"\nrestart_delay = "0s"\nstart_limit = "max"\ncommand = ["true"]\n'}
PT_DYNAMIC, PT_INTERP = 2, 3


def segments(program):
    """The types of an ELF file's program headers (elf(5))."""
    data = program.read_bytes()
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    return {struct.unpack_from("<I", data, offset + index * size)[0] for index in range(count)}


class Programs(Case):
    @unittest.skipIf(os.environ.get("GPCSUP_SANITIZED"), "sanitizers are libraries")
    def test_no_library(self):
        for name in ("gpc-init", "gpc-exec", "gpc-enforce", "gpc-graft", "gpc-reader"):
            self.assertEqual(set(), segments(harness.BIN / name) & {PT_DYNAMIC, PT_INTERP}, name)

    @unittest.skipIf(os.environ.get("GPCSUP_SANITIZED"), "sanitizers have memory of their own")
    def test_no_heap(self):
        supervisor = self.supervise(UNITS, CONFIG)
        events = Events(supervisor)
        self.addCleanup(events.close)
        for _ in range(50):  # starts, ends and limited forks
            events.wait_for(lambda event: event.get("unit") == "again" and event["event"].startswith("unit-"))
        for pid in (supervisor.init.pid, supervisor.helper("gpc-enforce")):
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
            self.assertNotIn("[heap]", maps)
            self.assertIn("[stack]", maps)


class ProgramsAsOrdinaryUser(Programs):
    user = ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
