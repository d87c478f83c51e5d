"""The rlimits controller: what /proc/PID/limits says of starts, members, children, movers and leavers."""

import os
import pathlib
import signal
import subprocess
import time
import unittest

import harness
from harness import Case, ORDINARY, wait_gone

CONFIG = """
[hierarchy.tenant]
controllers = ["rlimits"]
[hierarchy.tenant.group."/acme"]
rlimits.nofile = "100:200"
rlimits.core = "0:infinity"
[hierarchy.tenant.group."/acme/web"]
[hierarchy.tenant.group."/other"]
[hierarchy.tenant.group."/soft"]
"""
READY = "import socket\nsocket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
PAIR = "import os, signal\nif os.fork() == 0:\n    signal.pause()\n" + READY + "signal.pause()\n"


def unit(place):
    return (f'enabled = false\n[service]\ntype = "notify"\nrestart = "no"\ncommand = ["python3", "-c", """{PAIR}"""]\n'
            f'[place]\ntenant = "{place}"\n')


UNITS = {"web": unit("/acme/web"), "free": unit("/other")}
CAP_SYS_RESOURCE = 24
MAY_RAISE = int(harness.status_field("self", "CapEff"), 16) >> CAP_SYS_RESOURCE & 1
NAMES = {"nofile": "Max open files", "core": "Max core file size", "memlock": "Max locked memory"}


def limits(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith(NAMES[name]):
            return tuple(None if word == "unlimited" else int(word) for word in line[len(NAMES[name]):].split()[:2])
    raise AssertionError(name)


class Rlimits(Case):
    def begin(self, *units):
        supervisor = self.supervise(UNITS, CONFIG)
        pids = {}
        for name in units:
            supervisor.gpcsup("start", name)
            pids[name] = [one["pid"] for one in supervisor.json("ps", f"unit:/{name}")["processes"]]
            self.assertEqual(2, len(pids[name]))
        return supervisor, pids

    def assert_limits(self, pids, name, wanted):
        for pid in pids:
            self.assertEqual(wanted, limits(pid, name), pid)

    def restored(self, before):
        """What a hard limit that was lowered comes back to: only with CAP_SYS_RESOURCE is it what it was."""
        return before if MAY_RAISE and self.user is None else (min(before[0], 200), 200)

    def test_starts_members_and_what_is_lifted(self):
        supervisor, pids = self.begin("free", "web")
        self.assert_limits(pids["web"], "nofile", (100, 200))
        self.assert_limits(pids["web"], "core", (0, limits(pids["free"][0], "core")[1]))
        before = limits(pids["free"][0], "nofile")
        supervisor.gpcsup("set", "tenant:/acme/web", "rlimits.nofile=50:infinity")
        self.assert_limits(pids["web"], "nofile", (50, 200))
        supervisor.gpcsup("set", "tenant:/acme/web", "rlimits.nofile=max")
        self.assert_limits(pids["web"], "nofile", (100, 200))
        supervisor.gpcsup("set", "tenant:/acme", "rlimits.nofile=max")
        self.assert_limits(pids["web"], "nofile", self.restored(before))
        self.assert_limits(pids["free"], "nofile", before)

    def test_in_and_out(self):
        supervisor, pids = self.begin("free")
        mover, stays = pids["free"]
        before = limits(mover, "nofile")
        core = limits(mover, "core")
        supervisor.gpcsup("attach", mover, "tenant:/acme")
        self.assertEqual((100, 200), limits(mover, "nofile"))
        self.assertEqual((0, core[1]), limits(mover, "core"))
        self.assertEqual(before, limits(stays, "nofile"))
        supervisor.gpcsup("attach", mover, "tenant:/other")
        self.assertEqual(self.restored(before), limits(mover, "nofile"))
        self.assertEqual(core, limits(mover, "core"))  # the hard one was never touched

    def test_an_own_tighter_limit_is_never_raised(self):
        supervisor, pids = self.begin("free")
        pid = pids["free"][0]
        hard = limits(pid, "nofile")[1]
        whose = {"user": supervisor.user.pw_uid, "group": supervisor.user.pw_gid} if supervisor.user else {}
        subprocess.run(["prlimit", "--pid", str(pid), "--nofile=40:"], check=True, **whose)
        supervisor.gpcsup("set", "tenant:/other", "rlimits.nofile=64:infinity")
        self.assertEqual((40, hard), limits(pid, "nofile"))
        self.assertEqual((64, hard), limits(pids["free"][1], "nofile"))
        supervisor.gpcsup("set", "tenant:/other", "rlimits.nofile=max")
        self.assertEqual((40, hard), limits(pid, "nofile"))

    def test_gpcsupd_killed_between(self):
        supervisor, pids = self.begin("free")
        before = limits(pids["free"][0], "nofile")
        supervisor.gpcsup("set", "tenant:/other", "rlimits.nofile=64:infinity", "rlimits.memlock=4K:infinity")
        self.assert_limits(pids["free"], "nofile", (64, before[1]))
        killed = supervisor.helper("gpcsupd")
        os.kill(killed, signal.SIGKILL)
        self.assertTrue(wait_gone(killed, 10))
        got = supervisor.json("get", "tenant:/other")["attributes"]
        self.assertEqual(("64:infinity", "4096:infinity"), (got["rlimits.nofile"], got["rlimits.memlock"]))
        self.assert_limits(pids["free"], "nofile", (64, before[1]))
        supervisor.gpcsup("set", "tenant:/other", "rlimits.nofile=max")
        self.assert_limits(pids["free"], "nofile", before)  # what it was is known to the successor

    def test_gpcsupd_killed_while_it_sets(self):
        crowd = "import os, signal\nfor _ in range(300):\n    if os.fork() == 0:\n        signal.pause()\n" + READY + "signal.pause()\n"
        supervisor = self.supervise({"crowd": unit("/soft").replace(PAIR, crowd)}, CONFIG)
        supervisor.gpcsup("start", "crowd")
        pids = [one["pid"] for one in supervisor.json("ps", "unit:/crowd")["processes"]]
        before = limits(pids[0], "nofile")
        cut_off = 0
        for soft in range(64, 76):
            change = supervisor.popen("set", "tenant:/soft", f"rlimits.nofile={soft}:infinity", stderr=subprocess.DEVNULL)
            self.wait_for_one_with((pids[0], pids[-1]), soft)
            change.kill()  # or it says it again to the successor
            os.kill(supervisor.helper("gpcsupd"), signal.SIGKILL)
            change.wait()
            said = supervisor.json("get", "tenant:/soft", "rlimits.nofile")["attributes"]["rlimits.nofile"]
            now = int(said.partition(":")[0]) if said else None
            wanted = (now, before[1]) if said else before
            self.assertEqual({wanted}, {limits(pid, "nofile") for pid in pids}, said)
            cut_off += now != soft
        print(f"{cut_off} of 12 were cut off", flush=True)
        supervisor.gpcsup("set", "tenant:/soft", "rlimits.nofile=max")
        self.assertEqual({before}, {limits(pid, "nofile") for pid in pids})

    def wait_for_one_with(self, pids, soft):
        """Nothing tells of it, and gpcsupd is done with all of them within milliseconds."""
        deadline = time.monotonic() + 20 * harness.SLOW
        while all(limits(pid, "nofile")[0] != soft for pid in pids):
            self.assertLess(time.monotonic(), deadline)

    def test_run_with_a_limit(self):
        supervisor, _ = self.begin()
        shown = supervisor.gpcsup("run", "-l", "rlimits.nofile=33", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn")
        self.assertEqual(["33", "33"], shown.stdout.split())

    def test_what_cannot_be(self):
        supervisor, _ = self.begin()
        for setting, told in (("tenant:/ rlimits.nofile=5", "is the machine's and cannot be set"),
                              ("tenant:/acme rlimits.nofile=9:5", "the soft limit is in front"),
                              ("tenant:/acme rlimits.nofile=5K", "has no unit"),
                              ("tenant:/acme rlimits.nofiles=5", "did you mean 'rlimits.nofile'")):
            refused = supervisor.gpcsup("set", *setting.split(), check=False)
            self.assertNotEqual(0, refused.returncode, setting)
            self.assertIn(told, refused.stderr)


class RlimitsAsOrdinaryUser(Rlimits):
    user = ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
