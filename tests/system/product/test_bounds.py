"""The edges: idle, a second gpc-init, few descriptors, broken configuration."""

import os
import pathlib
import resource
import subprocess
import time
import unittest

import harness
from harness import Case, MISBEHAVE, Supervisor, descendants

SLEEPER = '[service]\ncommand = ["sleep", "100000"]\n[place]\ncompute = "/batch"\ntenant = "/acme"\n'
IDLE_SECONDS = int(os.environ.get("GPCSUP_IDLE", "60" if harness.SLOW == 1 else "15"))


def switches(pid):
    """How often it was waited for something and woke up, and how often another took the CPU from it."""
    return [sum(int(harness.status_field(pid, kind, task) or 0) for task in harness.threads_of(pid))
            for kind in ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")]


def machine_forks():
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        if line.startswith("processes "):
            return int(line.split()[1])
    return 0


class Idle(Case):
    """Wake-ups are counted. Being preempted, too, is a context switch, but one that others make: it is told, and not judged."""

    options = {}

    def test_idle_costs_the_heartbeat_and_nothing_else(self):
        supervisor = self.supervise({"one": SLEEPER, "two": SLEEPER, "limited": SLEEPER + "[limits]\nnumtasks.limit = 8\n"},
                                    **self.options)
        supervisor.gpcsup("start", "one", "two", "limited")
        exact = supervisor.json("status")["supervisor"]["tracking"] == "exact"
        ours = {pid: harness.command_name(pid) for pid in [supervisor.init.pid, *descendants(supervisor.init.pid)]
                if (harness.command_name(pid) or "").startswith("gpc")}
        self.assertLessEqual({"gpc-init", "gpcsupd", "gpc-enforce", "gpc-logd"}, set(ours.values()))
        harness.select.select([], [], [], 2)
        before = {pid: switches(pid) for pid in ours}
        forks, began = machine_forks(), time.monotonic()
        harness.select.select([], [], [], IDLE_SECONDS)
        spent = {name: [now - then for now, then in zip(switches(pid), before[pid])] for pid, name in ours.items()}
        forks = machine_forks() - forks  # the connector tells of every process of the machine: fork, exec, exit
        seconds = time.monotonic() - began
        print(f"idle {seconds:.1f} s: wake-ups and preemptions {spent}, {forks} forks elsewhere, "
              f"tracking {'exact' if exact else 'sampled'}")
        self.check(exact, seconds, forks, {name: woken for name, (woken, _) in spent.items()})

    def check(self, exact, seconds, forks, woken):
        allowed = seconds / 5 + 1 + (forks * 8 if exact else seconds + 1)
        self.assertLessEqual(sum(woken.values()), allowed)


class IdleOfAnOrdinaryUser(Idle):
    user = harness.ORDINARY if os.getuid() == 0 else None


@harness.needs_root
class SampledIdle(Idle):
    """Also where the ordinary user may listen to the process connector."""

    user = harness.ORDINARY
    options = {"limits": harness.without_connector}

    def check(self, exact, seconds, forks, woken):
        self.assertFalse(exact)
        super().check(exact, seconds, forks, woken)


class Edges(Case):
    def test_the_end_waits_for_nobody(self):
        """gpc-logd waits four seconds for the end of every pipe; nobody of ours may hold one open that long."""
        supervisor = self.supervise({"one": SLEEPER})
        supervisor.gpcsup("start", "one")
        started = time.monotonic()
        self.assertEqual(0, supervisor.stop())
        self.assertLess(time.monotonic() - started, harness.patience(0.3))

    def test_a_second_gpc_init_is_refused(self):
        supervisor = self.supervise({"one": SLEEPER})
        second = subprocess.run([harness.BIN / "gpc-init", "--runtime", supervisor.runtime], env=supervisor.environ(),
                                preexec_fn=supervisor.become, capture_output=True, text=True, timeout=20)
        self.assertNotEqual(0, second.returncode)
        self.assertIn(str(supervisor.init.pid), second.stderr + second.stdout)
        self.assertEqual(0, supervisor.gpcsup("status").returncode)

    def test_sixty_four_descriptors(self):
        units = {f"u{number:02}": SLEEPER for number in range(60)}
        supervisor = self.supervise(units, limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        states = {unit["name"]: (unit["state"], unit["reason"]) for unit in supervisor.json("list")["units"]}
        active = [name for name, (state, _) in states.items() if state == "active"]
        failed = {name: reason for name, (state, reason) in states.items() if state != "active" and name in units}
        self.assertGreater(len(active), 5)
        self.assertGreater(len(failed), 0)
        self.assertTrue(any("descriptors" in reason or "open files" in reason for reason in failed.values()), failed)
        self.assertEqual(set(supervisor.services()), {row["pid"] for row in supervisor.json("ps")["processes"]})
        for name in active[:5]:
            supervisor.gpcsup("stop", name)
        waiting = next(iter(failed))
        supervisor.gpcsup("start", waiting)
        self.assertEqual("active", supervisor.unit(waiting)["state"])

    def test_a_start_whose_log_gpc_init_cannot_keep_is_refused(self):
        """It would get SIGPIPE as soon as gpcsupd dies. A unit that has ended costs gpc-init two numbers and us one."""
        ended = {f"u{number:02}": 'enabled = false\n[service]\ntype = "oneshot"\ncommand = ["true"]\n' for number in range(70)}
        writer = 'enabled = false\n[service]\ncommand = ["sh", "-c", "while :; do echo x; sleep 0.05; done"]\n'
        supervisor = self.supervise(ended | {"early": writer, "late": writer},
                                    limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)))
        supervisor.gpcsup("start", "early")
        for name in ended:
            supervisor.gpcsup("start", name, check=False)
        refused = [unit for unit in supervisor.json("list")["units"] if unit["state"] == "failed"]
        self.assertGreater(len(refused), 3)
        for unit in refused:
            self.assertIn("gpc-init", unit["reason"])
            self.assertIn("log pipe of " + unit["name"], unit["reason"])
        self.assertNotEqual(0, supervisor.gpcsup("start", "late", check=False).returncode)
        main = supervisor.unit("early")["pid"]
        os.kill(supervisor.supervisor_pid(), harness.signal.SIGKILL)
        self.assertFalse(harness.wait_gone(main, 2))
        self.assertEqual(("active", main), (supervisor.unit("early")["state"], supervisor.unit("early")["pid"]))

    def test_a_broken_unit_is_shown_and_the_others_run(self):
        supervisor = self.supervise({"good": SLEEPER, "bad": '[service]\ncomand = ["x"]\n'})
        supervisor.gpcsup("start", "good")
        status = supervisor.gpcsup("status").stdout
        self.assertIn("bad.toml", status + supervisor.output())
        self.assertIn("command", status + supervisor.output())

    def test_a_full_disk_of_logs(self):
        if os.getuid() != 0:
            self.skipTest("mounting a small file system needs root")
        count = 16384  # lines of 64 bytes: four times what there is room for
        supervisor = Supervisor({"talker": f'enabled = false\n[service]\ncommand = ["{MISBEHAVE}", "--chatty", "{count * 64}"]\n',
                                 "good": SLEEPER}, user=self.user)
        logs = supervisor.directory / "logs"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "gpcsup-test", logs], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", logs])
        self.addCleanup(self._finish, supervisor)
        supervisor.start()
        supervisor.gpcsup("start", "talker")
        events = harness.Events(supervisor, since=0)
        self.addCleanup(events.close)
        self.eventually(lambda: "talker" in supervisor.gpcsup("status").stdout and
                        "No space left" in supervisor.gpcsup("status").stdout, 20, events, "the full disk is shown")
        self.assertEqual("active", supervisor.unit("talker")["state"])
        self.assertEqual("active", supervisor.unit("good")["state"])
        whole = lambda text: [int(line.split()[1]) for line in text.decode().splitlines(keepends=True) if len(line) == 64]
        written = whole(supervisor.log("talker"))
        self.assertEqual(list(range(len(written))), written, "what was written is whole")
        self.assertLess(len(written), 4096)
        subprocess.run(["mount", "-o", "remount,size=16m", logs], check=True)
        follower = supervisor.popen("log", "-f", "-n", "1", "talker", stdout=subprocess.PIPE)
        deadline, tail = time.monotonic() + 30 * harness.SLOW, b""
        while f"line {count - 1} ".encode() not in tail:
            if not harness.select.select([follower.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                self.fail(f"the last line did not come; so far {len(whole(supervisor.log('talker')))} of {count}")
            tail = tail[-64:] + os.read(follower.stdout.fileno(), 65536)
        supervisor.gpcsup("stop", "talker")
        self.assertEqual([f"line {number:<58}".encode() for number in range(count)], supervisor.log("talker").splitlines())


class EdgesAsOrdinaryUser(Edges):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
