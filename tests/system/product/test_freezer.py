"""The freezer controller: freezer.state as a setting, and /proc's word for every thread."""

import contextlib
import os
import pathlib
import select
import signal
import time
import unittest

from harness import Case, ORDINARY, SLOW, command_name, needs_root, status_field, wait_gone

CONFIG = """
[hierarchy.tenant]
controllers = ["freezer"]
[hierarchy.tenant.group."/acme"]
[hierarchy.tenant.group."/acme/web"]
[hierarchy.tenant.group."/other"]
[hierarchy.tenant.group."/cold"]
freezer.state = "frozen"
"""
READY = "import socket\nsocket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
# Three processes, the first with three threads.
CROWD = ("import os, signal, threading\n"
         "for _ in range(2):\n    if os.fork() == 0:\n        signal.pause()\n"
         "for _ in range(2):\n    threading.Thread(target=signal.pause, daemon=True).start()\n" + READY + "signal.pause()\n")
UNITS = {
    "crowd": f'enabled = false\n[service]\ntype = "notify"\nrestart = "no"\ncommand = ["python3", "-c", """{CROWD}"""]\n'
             '[place]\ntenant = "/acme/web"\n',
    "late": 'enabled = false\n[service]\ncommand = ["sleep", "100000"]\n[place]\ntenant = "/cold"\n',
}


def thread_states(pid):
    return [(pathlib.Path(task) / "stat").read_text().rpartition(")")[2].split()[0]
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


class Freezer(Case):
    def begin(self):
        supervisor = self.supervise(UNITS, CONFIG)
        supervisor.gpcsup("start", "crowd")
        pids = [one["pid"] for one in supervisor.json("ps", "unit:/crowd")["processes"]]
        self.assertEqual(3, len(pids))
        self.assertEqual(5, sum(len(thread_states(pid)) for pid in pids))
        return supervisor, pids

    def state(self, supervisor, group):
        return supervisor.json("get", group, "freezer.state")["attributes"]["freezer.state"]

    def assert_all_stopped(self, pids):
        for pid in pids:
            self.assertEqual({"T"}, set(thread_states(pid)), pid)

    def assert_none_stopped(self, pids):
        for pid in pids:
            self.assertNotIn("T", thread_states(pid), pid)

    def wait_stopped(self, pid):
        """Nothing tells of a stop but to the parent."""
        deadline = time.monotonic() + 20 * SLOW
        while set(thread_states(pid)) != {"T"}:
            self.assertLess(time.monotonic(), deadline, f"{pid} is not stopped: {thread_states(pid)}")
            select.select([], [], [], 0.02)

    def freeze(self, supervisor, group):
        supervisor.gpcsup("set", group, "freezer.state=frozen")
        supervisor.gpcsup("wait", group, "--frozen", "--timeout", "10s")

    def test_every_thread_stands_still_and_goes_on(self):
        supervisor, pids = self.begin()
        self.freeze(supervisor, "tenant:/acme")
        self.assert_all_stopped(pids)
        self.assertEqual("frozen", self.state(supervisor, "tenant:/acme"))
        below = supervisor.json("get", "tenant:/acme/web")["attributes"]
        self.assertEqual(("frozen", False, True), tuple(below["freezer." + name]
                                                        for name in ("state", "self_freezing", "parent_freezing")))
        supervisor.gpcsup("set", "tenant:/acme/web", "freezer.state=thawed")  # agreed to; the one above holds it
        self.assert_all_stopped(pids)
        supervisor.gpcsup("set", "tenant:/acme", "freezer.state=thawed")
        self.assert_none_stopped(pids)
        self.assertEqual("thawed", self.state(supervisor, "tenant:/acme/web"))

    def test_in_and_out(self):
        supervisor, pids = self.begin()
        self.freeze(supervisor, "tenant:/other")
        supervisor.gpcsup("attach", pids[0], "tenant:/other")
        self.wait_stopped(pids[0])
        self.assert_none_stopped(pids[1:])
        supervisor.gpcsup("attach", pids[0], "tenant:/acme")
        self.assert_none_stopped(pids)

    def test_the_files_and_the_verbs_say_the_same(self):
        supervisor, pids = self.begin()
        self.assertEqual("frozen", self.state(supervisor, "tenant:/cold"))
        supervisor.gpcsup("start", "--no-wait", "late")
        supervisor.gpcsup("wait", "tenant:/cold", "--populated", "--timeout", "10s")
        for one in supervisor.json("ps", "tenant:/cold")["processes"]:
            self.wait_stopped(one["pid"])
        supervisor.gpcsup("set", "tenant:/cold", "freezer.state=thawed")
        supervisor.gpcsup("start", "late")
        supervisor.gpcsup("freeze", "tenant:/acme")
        self.assertEqual("frozen", self.state(supervisor, "tenant:/acme"))
        self.assertIn('freezer.state = "frozen"', supervisor.gpcsup("snapshot").stdout)
        supervisor.gpcsup("apply")  # the file says that /cold is frozen, and nothing of /acme
        self.assertEqual(("frozen", "frozen"), tuple(self.state(supervisor, group) for group in ("tenant:/acme", "tenant:/cold")))
        self.assert_all_stopped(pids)
        supervisor.gpcsup("thaw", "tenant:/acme")
        self.assert_none_stopped(pids)
        self.assertEqual(1, supervisor.gpcsup("snapshot").stdout.count('freezer.state = "frozen"'))

    def test_gpcsupd_killed(self):
        supervisor, pids = self.begin()
        self.freeze(supervisor, "tenant:/acme")
        killed = supervisor.helper("gpcsupd")
        os.kill(killed, signal.SIGKILL)
        self.assertTrue(wait_gone(killed, 10))
        os.kill(pids[1], signal.SIGCONT)  # while nobody looked
        supervisor.gpcsup("wait", "tenant:/acme", "--frozen", "--timeout", "20s")
        self.wait_stopped(pids[1])
        self.assert_all_stopped(pids)
        self.assertEqual("frozen", self.state(supervisor, "tenant:/acme/web"))
        supervisor.gpcsup("set", "tenant:/acme", "freezer.state=thawed")
        self.assert_none_stopped(pids)
        killed = supervisor.helper("gpcsupd")
        os.kill(killed, signal.SIGKILL)
        self.assertTrue(wait_gone(killed, 10))
        self.assertEqual("thawed", self.state(supervisor, "tenant:/acme"))
        self.assert_none_stopped(pids)

    def test_what_cannot_be(self):
        supervisor, _ = self.begin()
        for setting, told in (("tenant:/ freezer.state=frozen", "root of a hierarchy"),
                              ("tenant:/acme freezer.state=FROZEN", 'write "frozen"'),
                              ("tenant:/acme freezer.self_freezing=true", "can only be read"),
                              ("tenant:/acme freezer.stat=frozen", "freezer.state")):
            refused = supervisor.gpcsup("set", *setting.split(), check=False)
            self.assertNotEqual(0, refused.returncode, setting)
            self.assertIn(told, refused.stderr)


class FreezerAsOrdinaryUser(Freezer):
    user = ORDINARY if os.getuid() == 0 else None


@needs_root
class NotOursToStop(Case):
    """As the kernel's: a group in which somebody still runs is freezing, for as long as he does."""

    user = ORDINARY

    def test_it_stays_freezing(self):
        command = self.command_of_root()
        unit = f'enabled = false\n[service]\nrestart = "no"\ncommand = {command}\n[place]\ntenant = "/acme/web"\n'
        supervisor = self.supervise({"other": unit}, CONFIG)
        supervisor.gpcsup("start", "other")
        pid = supervisor.unit("other")["pid"]
        exactly_it = os.pidfd_open(pid)
        self.addCleanup(os.close, exactly_it)

        def end():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(exactly_it, signal.SIGKILL)
            self.assertTrue(wait_gone(pid, 10))
        self.addCleanup(end)
        deadline = time.monotonic() + 20 * SLOW
        while (status_field(pid, "Uid") or "0").split()[0] != "0" or command_name(pid) != "sleep":
            self.assertLess(time.monotonic(), deadline, "setpriv did not become root: is the directory mounted nosuid?")
            select.select([], [], [], 0.05)
        self.assertEqual(1, supervisor.gpcsup("freeze", "tenant:/acme", check=False).returncode)  # its patience is over

        def state(group):
            return supervisor.json("get", group, "freezer.state")["attributes"]["freezer.state"]
        self.assertEqual(("freezing", "freezing"), (state("tenant:/acme"), state("tenant:/acme/web")))
        supervisor.gpcsup("attach", pid, "tenant:/other")
        self.assertEqual(("frozen", "frozen"), (state("tenant:/acme"), state("tenant:/acme/web")), "who still runs has left")
        supervisor.gpcsup("attach", pid, "tenant:/acme/web")
        end()
        self.assertEqual(("frozen", "frozen"), (state("tenant:/acme"), state("tenant:/acme/web")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
