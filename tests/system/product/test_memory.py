"""The memory controller against smaps_rollup and statm, read here at the same time."""

import os
import pathlib
import select
import signal
import time
import unittest

from harness import Case, ORDINARY, SLOW, children_of, command_name, needs_root, status_field, wait_gone

CONFIG = """
[hierarchy.tenant]
controllers = ["memory"]
[hierarchy.tenant.group."/acme"]
[hierarchy.tenant.group."/acme/web"]
[hierarchy.tenant.group."/empty"]
"""
READY = "import socket\nsocket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
# 40 MB that four processes share, and 8 MB that each has for itself.
SHARED = ("import os, signal\n"
          "shared = bytearray(os.urandom(40_000_000))\n"
          "ends = os.pipe()\n"
          "for _ in range(3):\n"
          "    if os.fork() == 0:\n        own = bytearray(os.urandom(8_000_000))\n        os.write(ends[1], b'1')\n        signal.pause()\n"
          "for _ in range(3):\n    os.read(ends[0], 1)\n" + READY + "signal.pause()\n")
UNITS = {"crowd": f'enabled = false\n[service]\ntype = "notify"\nrestart = "no"\ncommand = ["python3", "-c", """{SHARED}"""]\n'
                  '[place]\ntenant = "/acme/web"\n'}
PAGE = os.sysconf("SC_PAGESIZE")


def rss(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def pss(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(pid)


class Memory(Case):
    def figures(self, supervisor, group):
        got = supervisor.json("get", group)["attributes"]
        return {name: got["memory." + name] for name in ("rss", "pss", "estimated", "unread", "peak_rss")}

    def all_figures(self, supervisor, group):
        """Those of everybody, all of them read: on a busy machine the reader may not be through in its time, and says so
        with what it did not reach (unread) and of whom it has no pages (estimated). A sample is good for 100 ms."""
        deadline = time.monotonic() + 30 * SLOW
        while (figures := self.figures(supervisor, group))["unread"] + figures["estimated"] > 0 or figures["pss"] == 0:
            self.assertLess(time.monotonic(), deadline, figures)
            select.select([], [], [], 0.15)
        return figures

    def test_sums_are_the_kernels(self):
        supervisor = self.supervise(UNITS, CONFIG)
        supervisor.gpcsup("start", "crowd")
        pids = [one["pid"] for one in supervisor.json("ps", "unit:/crowd")["processes"]]
        self.assertEqual(4, len(pids))
        ours = self.all_figures(supervisor, "tenant:/acme")
        kernel = {"rss": sum(map(rss, pids)), "pss": sum(map(pss, pids))}
        print(f"memory: rss {ours['rss']} (kernel {kernel['rss']}), pss {ours['pss']} (kernel {kernel['pss']})")
        for name, figure in kernel.items():
            self.assertLess(abs(ours[name] - figure), 0.02 * figure, name)
        self.assertLess(ours["pss"], ours["rss"] - 100_000_000)  # three of the four times that 40 MB were counted
        self.assertEqual((0, 0, ours["rss"]), (ours["estimated"], ours["unread"], ours["peak_rss"]))
        self.assertEqual(dict.fromkeys(ours, 0), self.figures(supervisor, "tenant:/empty"))
        supervisor.gpcsup("stop", "crowd")
        select.select([], [], [], 0.15)  # a sample is good for 100 ms
        after = self.figures(supervisor, "tenant:/acme")
        self.assertEqual((0, 0), (after["rss"], after["pss"]))
        self.assertEqual(ours["rss"], after["peak_rss"])

    def test_a_reader_that_is_killed_is_another_one_next_time(self):
        supervisor = self.supervise(UNITS, CONFIG)
        supervisor.gpcsup("start", "crowd")
        self.all_figures(supervisor, "tenant:/acme")
        readers = [pid for pid in children_of(supervisor.helper("gpcsupd")) if command_name(pid) == "gpc-reader"]
        self.assertTrue(readers)
        for pid in readers:
            os.kill(pid, signal.SIGSTOP)  # as one that hangs in a lock
        cut = None
        for _ in range(50):  # a sample is good for 100 ms
            cut = self.figures(supervisor, "tenant:/acme")
            if cut["unread"]:
                break
        self.assertEqual((4, 0), (cut["unread"], cut["rss"]))
        for _ in range(50):
            again = self.figures(supervisor, "tenant:/acme")
            if not again["unread"]:
                break
        self.assertEqual(0, again["unread"])
        self.assertGreater(again["rss"], 40_000_000)

    def test_it_is_only_read(self):
        supervisor = self.supervise(UNITS, CONFIG)
        refused = supervisor.gpcsup("set", "tenant:/acme", "memory.rss=5", check=False)
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("can only be read", refused.stderr)


class MemoryAsOrdinaryUser(Memory):
    user = ORDINARY if os.getuid() == 0 else None


@needs_root
class NotOursToSee(Case):
    """Of another user's process an ordinary user's supervisor sees RSS, and no pages."""

    user = ORDINARY

    def test_it_is_said_to_be_estimated(self):
        command = self.command_of_root()
        unit = f'enabled = false\n[service]\ncommand = {command}\n[place]\ntenant = "/acme"\n'
        supervisor = self.supervise({"other": unit}, CONFIG)
        supervisor.gpcsup("start", "other")
        pid = supervisor.unit("other")["pid"]
        self.addCleanup(lambda: (os.kill(pid, signal.SIGKILL), wait_gone(pid, 10)))
        deadline = time.monotonic() + 20 * SLOW
        while (status_field(pid, "Uid") or "0").split()[0] != "0" or command_name(pid) != "sleep":
            self.assertLess(time.monotonic(), deadline, "setpriv did not become root: is the directory mounted nosuid?")
            select.select([], [], [], 0.05)
        # On a busy machine the reader may not be through in its time. A sample is good for 100 ms.
        while (got := supervisor.json("get", "tenant:/acme")["attributes"])["memory.rss"] == 0:
            self.assertLess(time.monotonic(), deadline, got)
            select.select([], [], [], 0.15)
        self.assertEqual((got["memory.rss"], got["memory.rss"], 0),
                         (got["memory.pss"], got["memory.estimated"], got["memory.unread"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
