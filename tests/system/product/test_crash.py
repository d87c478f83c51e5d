"""kill -9 of our own programs at random moments under load: nobody notices."""

import contextlib
import ctypes
import os
import random
import signal
import struct
import threading
import time
import unittest

import harness
from harness import Case, Events, MISBEHAVE, children_of, command_name, descendants, stat_of, status_field, wait_gone

ROUNDS = int(os.environ.get("GPCSUP_KILLS", 100 // harness.SLOW))
ROUNDS_OF_GPCSUPD = ROUNDS if harness.SLOW == 1 else min(ROUNDS, 10)  # each with five commands and a replay
SEED = int(os.environ.get("GPCSUP_SEED", str(random.SystemRandom().randrange(1 << 32))))
CONFIG = """
[hierarchy.compute]
controllers = ["cpuset", "cpuacct"]
[hierarchy.compute.group."/batch"]
[hierarchy.compute.group."/left"]
[hierarchy.compute.group."/right"]
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
PRESSER = """import mmap, os, signal, struct, sys, time
with open(sys.argv[1], "r+b") as file:
    counts = mmap.mmap(file.fileno(), 8)
refused = 0
while True:
    children = []
    for _ in range(5):
        try:
            child = os.fork()
        except BlockingIOError:
            refused += 1
            counts[:] = struct.pack("Q", refused)
            continue
        if child == 0:
            signal.pause()
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    time.sleep(0.2)
"""
LINES = 20000
UNITS = {
    "talker": 'enabled = false\n[service]\ntype = "oneshot"\nstart_timeout = "5m"\n'
              f'command = ["sh", "-c", "i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done"]\n',
    "steady": '[service]\ncommand = ["sleep", "100000"]\n[place]\ncompute = "/batch"\n',
    "forker": '[service]\ncommand = ["/usr/bin/python3", "-c", """' + FORKER + '"""]\n'
              '[place]\ntenant = "/acme"\n[limits]\nnumtasks.limit = 8\n',
    "burner": '[service]\ncommand = ["sh", "-c", "while :; do :; done"]\n[place]\ncompute = "/batch"\n',
    "short": 'enabled = false\n[service]\ntype = "oneshot"\ncommand = ["sh", "-c", "echo $$ >> {files}/runs"]\n',
    "presser": "[service]\ncommand = ['/usr/bin/python3', '-c', '''" + PRESSER + "''', '{files}/refused']\n"
               '[place]\ntenant = "/acme"\n[limits]\nnumtasks.limit = 4\n',
    "runaway": 'enabled = false\n[service]\ntype = "forking"\n'
               f'command = ["{MISBEHAVE}", "--double-fork", "--setsid", "--clear-env", "--ignore-term"]\n',
}
OF_ANOTHER = ('enabled = false\n[service]\ncommand = ["sh", "-c", "sleep 100000 & exec sleep 100000"]\n'
              f'user = "{harness.ORDINARY}"\n')
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


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
        self.files = self.make_directory()
        for name, content in (("runs", b""), ("refused", bytes(8))):
            (self.files / name).write_bytes(content)
            (self.files / name).chmod(0o666)
        units = {name: text.replace("{files}", str(self.files)) for name, text in UNITS.items()}
        if os.getuid() == 0 and self.user is None:
            units["another"] = OF_ANOTHER
        cpus = sorted(os.sched_getaffinity(0))
        self.groups = {"compute:/left": cpus[0], "compute:/right": cpus[1]} if len(cpus) > 1 else {}
        config = CONFIG
        for group, cpu in self.groups.items():
            line = f'[hierarchy.compute.group."{group.partition(":")[2]}"]\n'
            config = config.replace(line, f'{line}cpuset.cpus = "{cpu}"\n')
        self.supervisor = self.supervise(units, config)
        names = ("steady", "forker", "burner", "presser")
        self.supervisor.gpcsup("start", *names)
        self.pids = {name: self.supervisor.unit(name)["pid"] for name in names}
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

    def counted(self):
        """What was refused to the unit that presses against its limit, and the peak: neither jumps, nor falls later."""
        told = lambda: struct.unpack("Q", (self.files / "refused").read_bytes())[0]
        before = told()
        attributes = self.supervisor.json("get", "tenant:/acme/presser")["attributes"]
        failcnt, peak = attributes["numtasks.failcnt"], attributes["numtasks.peak"]
        self.assertLessEqual(before, failcnt, "what it was refused has been counted")
        self.assertLessEqual(peak, 4)
        return failcnt, peak, told()

    def mask(self):
        return status_field(self.pids["steady"], "Cpus_allowed_list")

    def test_gpcsupd(self):
        slowest, usage, kills, counts = 0.0, self.usage(), 0, (0, 0)
        events, exits = Events(self.supervisor), []
        self.addCleanup(events.close)
        mask = self.mask()
        for round_ in range(ROUNDS_OF_GPCSUPD):
            busy = self.supervisor.popen("start", "short", stdout=harness.subprocess.PIPE, stderr=harness.subprocess.STDOUT)
            group = "compute:/right" if round_ % 2 else "compute:/left"
            wanted = str(self.groups.get(group, mask))
            mover = self.supervisor.popen("attach", str(self.pids["steady"]), group, stdout=harness.subprocess.PIPE,
                                          stderr=harness.subprocess.STDOUT)
            harness.select.select([], [], [], self.random.uniform(0, 0.06))
            killed = self.kill("gpcsupd")
            if killed is not None:
                self.assertTrue(wait_gone(killed, 5))
                kills += 1
                self.assertIn(self.mask(), (mask, wanted), "of the last attach, or of the one that was cut off")
            started = time.monotonic()
            self.supervisor.gpcsup("status")
            slowest = max(slowest, time.monotonic() - started)
            self.assertIn(self.mask(), (mask, wanted), "of the last attach, or of the one that was cut off")
            self.assertEqual(0, busy.wait(30), busy.stdout.read())
            self.assertEqual(0, mover.wait(30), mover.stdout.read())
            self.assertEqual(wanted, self.mask(), "of the attach that was answered")
            mask = wanted
            now = self.usage()
            self.assertGreaterEqual(now, usage, f"CPU time fell in round {round_}")
            usage = now
            if round_ % 2:
                *now, told = self.counted()
                self.assertLessEqual(now[0], told + 1, f"failcnt jumped in round {round_}")
                for name, before, after in zip(("failcnt", "peak"), counts, now):
                    self.assertGreaterEqual(after, before, f"{name} fell in round {round_}")
                counts = now
            self.take(events, exits)
            self.supervisor.gpcsup("stop", "short")  # a oneshot that is done would not run again
        print(f"{kills} kills of gpcsupd: slowest next status {slowest * 1000:.0f} ms; failcnt {counts[0]}, peak {counts[1]}")
        self.assertGreater(kills, ROUNDS_OF_GPCSUPD * 0.9 - 1)
        self.assertGreater(counts[0], 0)
        self.assertEqual(4, counts[1])
        self.check_exits(events, exits)
        self.check_services()
        self.assertEqual(b"", self.supervisor.log("forker"), "no limited call may fail")
        self.check_forker_forks()
        kernel = self.kernel_time(self.pids["burner"])
        self.assertLess(abs(self.book("burner") - kernel) / kernel, 0.02, "our books against the kernel's")
        self.assertLess(slowest, harness.latency(0.100))

    def take(self, events, exits, seconds=0.01):
        """Notes the next ends of the short unit; whether there was any event."""
        seen = False
        while (event := events.next(time.monotonic() + seconds)) is not None:
            seen = True
            if event["event"] == "unit-exited" and event["unit"] == "short":
                exits.append(event)
        return seen

    def check_exits(self, events, exits):
        """Each process that ran was told to have ended, once; a start that was cut off before it ran anything is no run."""
        ran = [int(line) for line in (self.files / "runs").read_text().split()]
        while len([event for event in exits if event["exit_code"] == 0]) < len(ran) and self.take(events, exits, 20 * harness.SLOW):
            pass
        self.take(events, exits)
        print(f"{ROUNDS_OF_GPCSUPD} starts answered, {len(ran)} ran, {len(exits)} ends told")
        self.assertEqual(ran, [event["pid"] for event in exits if event["exit_code"] == 0])
        self.assertEqual(ROUNDS_OF_GPCSUPD, len(ran))

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
        self.assertGreaterEqual(kills, ROUNDS if os.environ.get("GPCSUP_QUIET_MACHINE") else ROUNDS // 10, "on however busy a machine")

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
        """Who was below comes to the nearest subreaper above: to us, whatever it forked, and whenever. Then we have no child at all."""
        names = ["runaway"] + (["another"] if os.getuid() == 0 and self.user is None else [])
        self.supervisor.gpcsup("start", *names)
        for name in names:
            self.assertTrue(self.supervisor.json("ps", name)["processes"], name)
        ctypes.CDLL(None).prctl(SUBREAPER, 1)
        self.addCleanup(ctypes.CDLL(None).prctl, SUBREAPER, 0)
        below = descendants(self.supervisor.init.pid)
        self.supervisor.init.kill()
        self.supervisor.init.wait()
        began = time.monotonic()
        left = self.reap_all(began + 5 * harness.SLOW)
        print(f"{len(below)} processes and all that they forked gone {(time.monotonic() - began) * 1000:.0f} ms after gpc-init")
        self.assertEqual([], left, "outlived gpc-init")

    def reap_all(self, deadline):
        """Waits until this process has no child, the kernel says so (ECHILD); else who is left is told, and ended."""
        told = []
        with contextlib.suppress(ChildProcessError):
            while True:
                if os.waitpid(-1, os.WNOHANG)[0] != 0:
                    continue
                children = children_of(os.getpid())
                if time.monotonic() > deadline:
                    told += [(pid, command_name(pid)) for pid in children]
                    for pid in children:
                        os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, 0)
                elif children:
                    wait_gone(children[0], (deadline - time.monotonic()) / harness.SLOW + 0.001)
        return told


class KillsAsOrdinaryUser(Kills):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
