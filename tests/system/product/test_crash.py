"""kill -9 of our own programs at random moments under load: nobody notices."""

import os
import random
import signal
import threading
import time
import unittest

import harness
from harness import Case, Events, MISBEHAVE, children_of, command_name, descendants, needs_root, stat_of, wait_gone

ROUNDS = int(os.environ.get("GPCSUP_KILLS", 100 // harness.SLOW))
SEED = int(os.environ.get("GPCSUP_SEED", str(random.SystemRandom().randrange(1 << 32))))
CONFIG = """
[hierarchy.compute]
controllers = ["cpuset", "cpuacct"]
[hierarchy.compute.group."/batch"]
[hierarchy.compute.group."/other"]
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
"""
FORKER = '''import os, sys
n = refused = 0
while True:
    try:
        p = os.fork()
    except OSError as error:
        print("refused", error, flush=True)
        continue
    n += 1
    if n == 1:
        open(os.environ["RUNTIME_DIRECTORY"] + "/forks", "w").close()
    if n % 100 == 0:
        os.utime(os.environ["RUNTIME_DIRECTORY"] + "/forks")
    if p == 0:
        os._exit(0)
    os.waitpid(p, 0)
'''
LINES = 20000
UNITS = {
    "talker": 'enabled = false\n[service]\ntype = "oneshot"\nstart_timeout = "5m"\n'
              f'command = ["sh", "-c", "i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done"]\n',
    "steady": '[service]\ncommand = ["sleep", "100000"]\n[place]\ncompute = "/batch"\n',
    "forker": '[service]\ncommand = ["/usr/bin/python3", "-c", """' + FORKER + '"""]\n[place]\ntenant = "/acme"\n[limits]\nnumtasks.limit = 8\n',
    "burner": '[service]\ncommand = ["sh", "-c", "while :; do :; done"]\n[place]\ncompute = "/batch"\n',
    "short": 'enabled = false\n[service]\ntype = "oneshot"\ncommand = ["true"]\n',
}


class Masks(Case):
    """CPU masks that processes chose for themselves inside their group are theirs, also while gpcsupd is replaced."""

    def setUp(self):
        cpus = sorted(os.sched_getaffinity(0))
        options = {}
        if len(cpus) == 2 and os.getuid() == 0:  # the group must be a real part of the machine: one more is claimed
            claimed = harness.ClaimedCpus(f"{cpus[0]},{cpus[1]},{cpus[1] + 1}")
            self.addCleanup(claimed.close)
            options["limits"] = claimed.show
        elif len(cpus) < 3:
            self.skipTest("needs three CPUs, or root and two")
        self.low, self.high = cpus[:2]
        config = (f'[hierarchy.compute]\ncontrollers = ["cpuset"]\n'
                  f'[hierarchy.compute.group."/a"]\ncpuset.cpus = "{self.low},{self.high}"\n'
                  f'[hierarchy.compute.group."/a/b"]\ncpuset.cpus = "{self.high}"\n')
        worker = '[service]\ncommand = ["sleep", "100000"]\n[place]\ncompute = "{}"\n'
        self.supervisor = self.supervise({"pinned": worker.format("/a"), "wide": worker.format("/a"),
                                          "nested": worker.format("/a/b")}, config, **options)
        self.addCleanup(setattr, self, "supervisor", None)
        self.pids = {name: self.supervisor.unit(name)["pid"] for name in ("pinned", "wide", "nested")}
        harness.subprocess.run(["taskset", "-pc", str(self.low), str(self.pids["pinned"])], check=True, capture_output=True,
                               preexec_fn=self.supervisor.become)

    def masks(self):
        return {name: os.sched_getaffinity(pid) for name, pid in self.pids.items()}

    def replaced(self, how):
        events = Events(self.supervisor)
        self.addCleanup(events.close)
        how()
        events.wait_for(lambda event: event["event"] == "supervisor-replaced")
        self.assertEqual({"pinned": {self.low}, "wide": {self.low, self.high}, "nested": {self.high}}, self.masks())

    def test_kill_of_gpcsupd(self):
        self.replaced(lambda: os.kill(self.supervisor.helper("gpcsupd"), signal.SIGKILL))

    def test_reexec(self):
        self.replaced(lambda: self.supervisor.gpcsup("reexec"))

    def test_what_was_left_outside_is_brought_back(self):
        """As when gpcsupd is killed between two members: it is stopped, and the mask set behind its back."""
        def leave_and_kill():
            gpcsupd = self.supervisor.helper("gpcsupd")
            self.supervisor.init.send_signal(signal.SIGSTOP)  # who would replace a gpcsupd that is stopped at once
            try:
                os.kill(gpcsupd, signal.SIGSTOP)
                os.sched_setaffinity(self.pids["nested"], {self.low, self.high})
                os.kill(gpcsupd, signal.SIGKILL)
            finally:
                self.supervisor.init.send_signal(signal.SIGCONT)
        self.replaced(leave_and_kill)


class MasksOfAnOrdinaryUser(Masks):
    user = harness.ORDINARY if os.getuid() == 0 else None


class Kills(Case):
    def setUp(self):
        print(f"seed {SEED} (GPCSUP_SEED repeats it)", flush=True)
        self.random = random.Random(SEED)
        self.supervisor = self.supervise(UNITS, CONFIG)
        self.supervisor.gpcsup("start", "steady", "forker", "burner")
        self.pids = {name: self.supervisor.unit(name)["pid"] for name in ("steady", "forker", "burner")}
        self.addCleanup(setattr, self, "supervisor", None)

    def kill(self, name, signal_number=signal.SIGKILL):
        pid = self.supervisor.helper(name)
        if pid is None:
            return None
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            return None
        return pid

    def usage(self):
        return self.supervisor.json("get", "compute:/batch", "cpuacct.usage")["attributes"]["cpuacct.usage"]

    def check_services(self):
        for name, pid in self.pids.items():
            unit = self.supervisor.unit(name)
            self.assertEqual(("active", pid, 0), (unit["state"], unit["pid"], unit["restarts"]), name)
            self.assertIsNotNone(stat_of(pid))

    def test_gpcsupd(self):
        slowest, usage, kills = 0.0, self.usage(), 0
        for round_ in range(ROUNDS):
            busy = self.supervisor.popen("start", "short", stdout=harness.subprocess.PIPE, stderr=harness.subprocess.STDOUT)
            group = "compute:/other" if round_ % 2 else "compute:/batch"
            mover = self.supervisor.popen("attach", str(self.pids["steady"]), group, stdout=harness.subprocess.PIPE,
                                          stderr=harness.subprocess.STDOUT)
            harness.select.select([], [], [], self.random.uniform(0, 0.06))
            killed = self.kill("gpcsupd")
            if killed is not None:
                self.assertTrue(wait_gone(killed, 5))
                kills += 1
            started = time.monotonic()
            self.supervisor.gpcsup("status")
            slowest = max(slowest, time.monotonic() - started)
            self.assertEqual(0, busy.wait(30), busy.stdout.read())
            self.assertEqual(0, mover.wait(30), mover.stdout.read())
            now = self.usage()
            self.assertGreaterEqual(now, usage, f"CPU time fell in round {round_}")
            usage = now
        print(f"{kills} kills of gpcsupd: slowest next status {slowest * 1000:.0f} ms")
        self.assertGreater(kills, ROUNDS * 0.9)
        self.check_services()
        self.assertEqual(b"", self.supervisor.log("forker"), "no limited call may fail")
        self.check_forker_forks()
        kernel = self.kernel_time(self.pids["burner"])
        self.assertLess(abs(self.book("burner") - kernel) / kernel, 0.02, "our books against the kernel's")
        self.assertLess(slowest, harness.patience(0.100))

    def check_forker_forks(self):
        """It touches a file every hundred forks: it must do so from now on, too."""
        forks = self.supervisor.runtime / "units/forker/forks"
        touched = lambda: forks.stat().st_mtime_ns if forks.exists() else 0
        before = touched()
        deadline = time.monotonic() + 30 * harness.SLOW
        while touched() == before:
            self.assertLess(time.monotonic(), deadline, "the limited forker stands still")
            harness.select.select([], [], [], 0.01)

    def kernel_time(self, pid):
        fields = stat_of(pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def book(self, unit):
        return self.supervisor.unit(unit)["cpu_ns"] / 1e9

    def kill_again_and_again(self, name, longest):
        """A moment at which there is none to be killed does not count; one killed before it was ready comes back later."""
        kills, deadline = 0, time.monotonic() + 60
        while kills < ROUNDS and time.monotonic() < deadline:
            harness.select.select([], [], [], self.random.uniform(0, longest))
            killed = self.kill(name)
            if killed is not None:
                self.assertTrue(wait_gone(killed, 5))
                kills += 1
        print(f"{kills} kills of {name}")
        self.assertGreaterEqual(kills, ROUNDS // 10, "on however busy a machine")

    def test_gpc_enforce(self):
        self.kill_again_and_again("gpc-enforce", 0.03)
        self.check_services()
        self.assertEqual(b"", self.supervisor.log("forker"))
        self.check_forker_forks()
        self.assertEqual(0, self.supervisor.gpcsup("run", "-g", "tenant:/acme", "-l", "numtasks.limit=4", "--", "sh", "-c",
                                                   "true & wait").returncode)

    def test_gpc_logd(self):
        talker = self.supervisor.popen("start", "talker")
        self.kill_again_and_again("gpc-logd", 0.02)
        self.assertEqual(0, talker.wait(150))
        self.assertEqual([f"line {number}" for number in range(LINES)], self.lines_of("talker", LINES))
        self.check_services()

    def lines_of(self, unit, count):
        """What the unit wrote, as `log -f` shows it; the last lines may still be in the pipe when the unit has ended."""
        follower = self.supervisor.popen("log", "-f", "-n", str(2 * count), unit, stdout=harness.subprocess.PIPE, text=True)
        end = threading.Timer(60 * harness.SLOW, follower.kill)
        end.start()
        try:
            seen = [line.rstrip("\n") for _, line in zip(range(count), follower.stdout)]
            follower.kill()
            return seen + [line.rstrip("\n") for line in follower.stdout]
        finally:
            end.cancel()

    def test_everything_is_replaced(self):
        """`gpcsup reexec`: all helpers are new ones, the services and gpc-init's process the same."""
        names = ("gpcsupd", "gpc-enforce", "gpc-logd")
        before = {name: self.supervisor.helper(name) for name in names}
        events = Events(self.supervisor)
        self.addCleanup(events.close)
        self.supervisor.gpcsup("reexec")
        for name, pid in before.items():
            self.assertTrue(wait_gone(pid, 20 * harness.SLOW), name)
        events.wait_for(lambda event: event["event"] == "supervisor-replaced")
        self.check_services()
        self.check_forker_forks()
        self.assertEqual(b"", self.supervisor.log("forker"), "no limited call may fail")
        self.supervisor.gpcsup("run", "-g", "tenant:/acme", "-l", "numtasks.limit=4", "--", "sh", "-c", "true & wait")
        self.supervisor.gpcsup("run", "--name", "run-after", "--detach", "--", "echo", "said afterwards")
        self.assertEqual(["said afterwards"], self.lines_of("run-after", 1))
        after = {name: self.supervisor.helper(name) for name in names}
        for name in names:
            self.assertIsNotNone(after[name], name)
            self.assertNotEqual(before[name], after[name], name)

    def test_a_stopped_gpcsupd_is_replaced(self):
        stopped = self.kill("gpcsupd", signal.SIGSTOP)
        self.assertTrue(wait_gone(stopped, 15))
        self.assertNotEqual(stopped, self.supervisor.supervisor_pid())
        self.check_services()

    def test_gpc_init_killed_leaves_nothing(self):
        below = descendants(self.supervisor.init.pid)
        services = list(self.pids.values())
        self.supervisor.init.kill()
        self.supervisor.init.wait()
        for pid in services:
            self.assertTrue(wait_gone(pid, 10), f"{pid} {command_name(pid)} outlived gpc-init")
        for pid in below:
            self.assertTrue(wait_gone(pid, 10), f"{pid} {command_name(pid)} outlived gpc-init")


class KillsAsOrdinaryUser(Kills):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
