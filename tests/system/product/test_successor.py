"""What a successor of a killed gpcsupd finds at awkward moments: an end, a start or a kill that was under way."""

import json
import os
import random
import signal
import time
import unittest

import harness
from harness import Case, Events, command_name, descendants, needs_root, stat_of, wait_gone, without_connector

ROUNDS = int(os.environ.get("GPCSUP_ENDS", "6"))
SEED = int(os.environ.get("GPCSUP_SEED", str(random.SystemRandom().randrange(1 << 32))))
STUBBORN = '[service]\ncommand = ["sh", "-c", "trap \'\' TERM; exec sleep 100000"]\nstop_timeout = "%s"\n'
AT_ONCE = '[service]\ncommand = ["sleep", "100000"]\nrestart = "no"\n'
SLOWLY = '[service]\ncommand = ["sh", "-c", "trap \'sleep 0.3; exit 0\' TERM; while :; do sleep 0.05; done"]\n'


def is_zombie(pid):
    return (stat_of(pid) or ["Z"])[0] == "Z"


class Successors(Case):
    def kill_supervisor(self, supervisor):
        """Kills the gpcsupd that runs now, if one does, and waits until it has ended."""
        pid = supervisor.helper("gpcsupd")
        if pid is None or is_zombie(pid):
            return None
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        self.assertTrue(wait_gone(pid, 5))
        return pid

    def replace_supervisor(self, supervisor):
        """Kills gpcsupd and returns when the successor answers."""
        killed = self.kill_supervisor(supervisor)
        self.assertIsNotNone(killed)
        self.assertNotEqual(killed, supervisor.supervisor_pid())

    def check_ended(self, supervisor, below, seconds):
        try:
            status = supervisor.init.wait(seconds * harness.SLOW)
        except harness.subprocess.TimeoutExpired:
            self.fail(f"gpc-init did not end within {seconds} s")
        self.assertEqual(0, status, supervisor.output())
        for pid in below:
            self.assertTrue(wait_gone(pid, 5), f"{pid} {harness.command_name(pid)} outlived gpc-init")


class Ends(Successors):
    def test_everything_has_ended_before_the_successor_looks(self):
        supervisor = self.supervise({"stubborn": STUBBORN % "600s"})
        supervisor.gpcsup("start", "stubborn")
        below = descendants(supervisor.init.pid)
        service = supervisor.unit("stubborn")["pid"]
        events = Events(supervisor)
        self.addCleanup(events.close)
        supervisor.gpcsup("exit", "--no-wait")
        events.wait_for(lambda event: event["event"] == "unit-stopping" and event.get("unit") == "stubborn")
        supervisor.init.send_signal(signal.SIGSTOP)  # nobody is replaced and nobody is reaped meanwhile
        try:
            self.assertIsNotNone(self.kill_supervisor(supervisor))
            os.kill(service, signal.SIGKILL)
            self.assertTrue(wait_gone(service, 5))
        finally:
            supervisor.init.send_signal(signal.SIGCONT)
        self.check_ended(supervisor, below, 20)

    def test_at_random_moments(self):
        print(f"seed {SEED} (GPCSUP_SEED repeats it)", flush=True)
        chance = random.Random(SEED)
        for round_ in range(ROUNDS):
            supervisor = self.supervise({"once": AT_ONCE, "slow": SLOWLY, "stubborn": STUBBORN % "400ms",
                                         "last": AT_ONCE + '[depends]\nbefore = ["once", "slow"]\n'})
            supervisor.gpcsup("start", "once", "slow", "stubborn", "last")
            below = descendants(supervisor.init.pid)
            supervisor.gpcsup("exit", "--no-wait")
            for _ in range(3):
                harness.select.select([], [], [], chance.uniform(0, 0.25))
                if supervisor.init.poll() is None:
                    self.kill_supervisor(supervisor)
            self.check_ended(supervisor, below, 30)


class EndsOfAnOrdinaryUser(Ends):
    user = harness.ORDINARY if os.getuid() == 0 else None


class Starts(Successors):
    options = {}

    def run_once(self, supervisor):
        """A first start waits for gpc-init to keep its log; the next ones find it kept."""
        supervisor.gpcsup("start", "limited")
        events = Events(supervisor)
        self.addCleanup(events.close)
        os.kill(supervisor.unit("limited")["pid"], signal.SIGKILL)
        if supervisor.unit("limited")["state"] != "failed":
            events.wait_for(lambda event: event["event"] == "unit-failed")

    def cut_off_in_gpc_exec(self, supervisor):
        """Starts the limited unit again, and replaces gpcsupd while gpc-exec stands still. Its pid."""
        self.run_once(supervisor)
        supervisor.init.send_signal(signal.SIGSTOP)  # gpc-exec waits for it to take the listener
        try:
            supervisor.gpcsup("start", "--no-wait", "limited")
            pid = supervisor.unit("limited")["pid"]
            os.kill(pid, signal.SIGSTOP)
            self.assertEqual("gpc-exec", command_name(pid))
            killed = self.kill_supervisor(supervisor)
        finally:
            supervisor.init.send_signal(signal.SIGCONT)
        self.assertNotEqual(killed, supervisor.supervisor_pid())
        return pid

    def supervise_limited(self):
        return self.supervise({"limited": 'enabled = false\n[service]\ncommand = ["sleep", "100000"]\nrestart = "no"\n'
                                          'start_timeout = "%ds"\n[limits]\nnumtasks.limit = 8\n' % (15 * harness.SLOW)},
                              **self.options)

    def test_a_start_that_was_cut_off_ends_when_it_has_been_executed(self):
        supervisor = self.supervise_limited()
        pid = self.cut_off_in_gpc_exec(supervisor)
        self.assertEqual("starting", supervisor.unit("limited")["state"])
        told = supervisor.gpcsup("events", "--json").stdout.splitlines()
        events = Events(supervisor, since=json.loads(told[-1])["seq"])  # the first start was told to be active too
        self.addCleanup(events.close)
        os.kill(pid, signal.SIGCONT)
        if supervisor.unit("limited")["state"] == "starting":
            events.wait_for(lambda event: event["event"] == "unit-active" and event["unit"] == "limited", 10)
        unit = supervisor.unit("limited")
        self.assertEqual(("active", pid), (unit["state"], unit["pid"]))

    def test_an_older_exit_says_nothing_of_a_start(self):
        supervisor = self.supervise_limited()
        pid = self.cut_off_in_gpc_exec(supervisor)
        self.assertEqual("starting", supervisor.unit("limited")["state"], "it has not been executed yet")
        self.replace_supervisor(supervisor)
        self.assertEqual("starting", supervisor.unit("limited")["state"], "it has not been executed yet")
        os.kill(pid, signal.SIGCONT)


class StartsOfAnOrdinaryUser(Starts):
    user = harness.ORDINARY if os.getuid() == 0 else None


@needs_root
class SampledStarts(Starts):
    user = harness.ORDINARY
    options = {"limits": without_connector}


class Restarts(Successors):
    def test_a_kill_is_not_meant_for_who_is_started_next(self):
        supervisor = self.supervise({"stubborn": STUBBORN % "50ms"})
        supervisor.gpcsup("start", "stubborn")
        for _ in range(10):
            supervisor.gpcsup("restart", "stubborn")
        pid = supervisor.unit("stubborn")["pid"]
        self.replace_supervisor(supervisor)
        self.replace_supervisor(supervisor)
        unit = supervisor.unit("stubborn")
        self.assertEqual(("active", pid, 0), (unit["state"], unit["pid"], unit["restarts"]))
        self.assertIsNotNone(stat_of(pid))

    def test_at_random_moments(self):
        print(f"seed {SEED} (GPCSUP_SEED repeats it)", flush=True)
        chance = random.Random(SEED)
        supervisor = self.supervise({"stubborn": STUBBORN % "50ms"})
        supervisor.gpcsup("start", "stubborn")
        for _ in range(ROUNDS):
            restart = supervisor.popen("restart", "stubborn")
            harness.select.select([], [], [], chance.uniform(0.03, 0.09))
            self.kill_supervisor(supervisor)
            self.assertEqual(0, restart.wait(20 * harness.SLOW))
            unit = supervisor.unit("stubborn")
            self.replace_supervisor(supervisor)
            after = supervisor.unit("stubborn")
            self.assertEqual(("active", unit["pid"], 0), (after["state"], after["pid"], after["restarts"]))


@needs_root
class SampledRestarts(Restarts):
    user = harness.ORDINARY

    def supervise(self, units=None, config=harness.CONFIG, **options):
        return super().supervise(units, config, limits=without_connector, **options)


TALKER = """import os, socket
link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
link.connect(os.environ["NOTIFY_SOCKET"])
for number in range(1500):
    link.send(b"STATUS=%d " % number + b"x" * 1000)
link.send(b"READY=1")
link.recv(1)
"""


class Uptime(Successors):
    def journal(self, supervisor):
        """The memory that holds it: another one after each compaction."""
        folder = f"/proc/{supervisor.helper('gpcsupd')}/fd"
        return next(os.stat(f"{folder}/{number}").st_ino for number in os.listdir(folder)
                    if os.readlink(f"{folder}/{number}").startswith("/memfd:gpcsup-journal"))

    def test_compaction_does_not_make_it_younger(self):
        supervisor = self.supervise({"talker": 'enabled = false\n[service]\ntype = "notify"\ncommand = ["/usr/bin/python3", '
                                               f'"-c", """{TALKER}"""]\n'})
        started = time.monotonic()
        before = self.journal(supervisor)
        supervisor.gpcsup("start", "talker")
        self.assertNotEqual(before, self.journal(supervisor), "1.5 MiB were said, so the journal was compacted")
        self.replace_supervisor(supervisor)
        passed = time.monotonic() - started
        self.assertGreater(supervisor.json("status")["supervisor"]["uptime_ns"], passed * 1e9)


class OtherVersions(Successors):
    def overwrite(self, supervisor, name, offset, data):
        """Writes into the memory that gpc-init keeps under this name, as another version would have."""
        folder = f"/proc/{supervisor.helper('gpcsupd')}/fd"
        for number in os.listdir(folder):
            if os.readlink(f"{folder}/{number}").startswith(f"/memfd:{name}"):
                with open(f"{folder}/{number}", "r+b") as file:
                    file.seek(offset)
                    file.write(data)
                return
        self.fail(f"gpcsupd has no {name}")

    def check_taken_over(self, supervisor, what):
        events = Events(supervisor, since=0)
        self.addCleanup(events.close)
        before = supervisor.unit("family")
        members = {row["pid"] for row in supervisor.json("ps", "family")["processes"]}
        self.replace_supervisor(supervisor)
        events.close()
        events = Events(supervisor, since=0)
        self.addCleanup(events.close)
        self.assertIn(what, events.wait_for(lambda event: event["event"] == "state-lost")["what"])
        after = supervisor.unit("family")
        self.assertEqual(("active", before["pid"], 0), (after["state"], after["pid"], after["restarts"]))
        self.assertEqual(members, {row["pid"] for row in supervisor.json("ps", "family")["processes"]})
        supervisor.gpcsup("stop", "family")
        for pid in members:
            self.assertTrue(wait_gone(pid, 5))

    def supervise_family(self):
        supervisor = self.supervise({"family": '[service]\ncommand = ["sh", "-c", "sleep 100000 & sleep 100000"]\n'
                                               '[place]\ncompute = "/batch"\n'}, user=self.user)
        supervisor.gpcsup("start", "family")
        self.eventually(lambda: len(supervisor.json("ps", "family")["processes"]) == 3, 10, self.events_of(supervisor),
                        "the shell has two children")
        return supervisor

    def events_of(self, supervisor):
        events = Events(supervisor)
        self.addCleanup(events.close)
        return events

    def test_a_process_table(self):
        supervisor = self.supervise_family()
        self.overwrite(supervisor, "gpcsup-processes", 4, b"\xff\xff\xff\x7f")
        self.check_taken_over(supervisor, "process table")

    def test_start_slots(self):
        supervisor = self.supervise_family()
        self.overwrite(supervisor, "gpcsup-start-slots", 0, b"\xff\xff\xff\x7f")
        self.check_taken_over(supervisor, "start slots")

    def test_an_enforcement_table(self):
        # bash forks again after EAGAIN: who waits for a count in the very moment of the change is told that, since
        # its place in the old table is lost and a guess might exceed the limit.
        supervisor = self.supervise_family()
        go = supervisor.directory / "go"
        supervisor.write_unit("forker", f"""
[service]
command = ["bash", "-c", "while :; do sleep 0.05; if [ -e {go} ]; then for n in 1 2 3 4 5 6 7 8; do sleep 100000 & done; fi; done"]
[limits]
numtasks.limit = 5
""")
        supervisor.gpcsup("apply")
        supervisor.gpcsup("start", "forker")
        before = supervisor.unit("forker")["pid"]
        self.assertEqual("enforced", supervisor.unit("forker")["enforcement"]["numtasks"])
        self.overwrite(supervisor, "gpcsup-enforcement", 0, b"\xff\xff\xff\x7f")
        self.check_taken_over(supervisor, "enforcement table")
        unit = supervisor.unit("forker")
        self.assertEqual(("active", before, "enforced"), (unit["state"], unit["pid"], unit["enforcement"]["numtasks"]))
        events = self.events_of(supervisor)
        go.write_text("")
        self.assertEqual("numtasks.limit", events.wait_for(lambda event: event["event"] == "refused")["attribute"])


class OtherVersionsOfAnOrdinaryUser(OtherVersions):
    user = harness.ORDINARY if os.getuid() == 0 else None


@needs_root
class EndedBeforeRecorded(Successors):
    """A gpcsupd that gets little CPU time sees many of its children only as records of their exits."""

    def hold_back(self, supervisor):
        cpus = sorted(os.sched_getaffinity(0))
        for cpu in cpus:
            burner = harness.subprocess.Popen(["sh", "-c", "while :; do :; done"],
                                              preexec_fn=lambda cpu=cpu: os.sched_setaffinity(0, {cpu}))
            self.addCleanup(burner.wait)
            self.addCleanup(burner.kill)
        os.sched_setscheduler(supervisor.helper("gpcsupd"), os.SCHED_IDLE | os.SCHED_RESET_ON_FORK, os.sched_param(0))

    def test_runs_and_commands(self):
        supervisor = self.supervise(
            {"commanded": '[service]\ncommand = ["sleep", "100000"]\nreload_command = ["true"]\nstart_timeout = "60s"\n'},
            user=harness.ORDINARY, limits=without_connector)
        supervisor.gpcsup("start", "commanded")
        self.hold_back(supervisor)
        for _ in range(ROUNDS):
            self.assertEqual(0, supervisor.gpcsup("run", "--", "true", timeout=15, check=False).returncode)
            supervisor.gpcsup("reload", "commanded", timeout=15)
        self.assertEqual("", supervisor.unit("commanded").get("reason") or "")


SPEAKING_CHILD = """import os, signal, socket
if os.fork() == 0:
    speaker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    speaker.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


@needs_root
class SampledNotify(Case):
    def test_a_child_that_no_sweep_has_met_says_ready(self):
        supervisor = self.supervise({"speaks": f"""enabled = false
[service]
type = "notify"
start_timeout = "20s"
command = ["/usr/bin/python3", "-c", '''{SPEAKING_CHILD}''']
"""}, user=harness.ORDINARY, limits=without_connector)
        self.assertEqual("sampled", supervisor.json("status")["supervisor"]["tracking"])
        supervisor.gpcsup("start", "speaks")
        self.assertEqual("active", supervisor.unit("speaks")["state"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
