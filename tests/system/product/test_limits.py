"""numtasks: never exceeded, never refused without need, noticed by nobody else."""

import errno
import math
import os
import pathlib
import signal
import statistics
import subprocess
import time
import unittest

import harness
from harness import Case, MISBEHAVE, needs_root, read_line

CONFIG = """
[hierarchy.compute]
controllers = ["cpuset", "cpuacct"]
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/bombs"]
"""
BOMB = f'''enabled = false
[service]
command = ["sh", "-c", "exec {MISBEHAVE} --count-file $RUNTIME_DIRECTORY/counts --fork-bomb"]
restart = "no"
stop_timeout = "500ms"
[place]
tenant = "/bombs"
[limits]
numtasks.limit = 50
'''
PIPELINES = "i=0; while [ $i -lt 300 ]; do echo a | cat | cat | cat >/dev/null || exit 9; i=$((i+1)); done"

# A shell that cannot fork ends; it says how far it came.
COUNTED_PIPELINES = ("echo begun; i=0; trap 'echo loops $i' EXIT; while [ $i -lt 100 ]; do echo a | /bin/cat | /bin/cat | /bin/cat >/dev/null; "
                     "i=$((i+1)); done")


class Pipelines:
    def __init__(self):
        self.loops = self.broken = 0

    def wait(self, client):
        said, _ = client.communicate(timeout=60 * harness.SLOW)
        counts = [line for line in said.splitlines() if line.startswith("loops ")]
        assert len(counts) == 1 and client.returncode in (0, 2), f"exit {client.returncode}: {said}"  # 2: "Cannot fork"
        self.loops += int(counts[0].split()[1])
        self.broken += client.returncode != 0


def tasks_below(pid):
    """Tasks of the process and its descendants, zombies included, from /proc."""
    count = 0
    for one in [pid, *harness.descendants(pid)]:
        fields = harness.stat_of(one)
        count += int(fields[17]) if fields else 0
    return count


def kernel_pids():
    """Where the kernel's pids controller lets us make a group: a v1 hierarchy, or a v2 one that hands pids down; or None."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, file_system = line.partition(" - ")
        kind, _, options = file_system.split(" ", 2)
        base = pathlib.Path(mount.split()[4])
        if not os.access(base, os.W_OK):
            continue
        if kind == "cgroup" and "pids" in options.split(","):
            return base
        if kind == "cgroup2" and "pids" in (base / "cgroup.subtree_control").read_text().split():
            return base
    return None


class PidsCgroup:
    """The kernel's own pids controller as the witness."""

    def __init__(self, base):
        self.path = base / f"gpcsup-test-{os.getpid()}"
        self.path.mkdir()

    def move(self, pid):
        (self.path / "cgroup.procs").write_text(str(pid))

    def most(self, seconds):
        """The most tasks there were, and how that is known: the kernel's own maximum, or what we saw of it in so many seconds."""
        peak, current = self.path / "pids.peak", self.path / "pids.current"
        deadline, seen = time.monotonic() + seconds, 0
        while (left := deadline - time.monotonic()) > 0:
            seen = max(seen, int(current.read_text()))
            harness.select.select([], [], [], min(left, 0.001))
        return (int(peak.read_text()), "pids.peak") if peak.exists() else (seen, "the highest pids.current seen")

    def remove(self):
        self.path.rmdir()


@unittest.skipUnless(MISBEHAVE.exists(), "needs the misbehaving daemon")
class Bombs(Case):
    def test_a_fork_bomb_stays_below_its_limit_and_disturbs_nobody(self):
        supervisor = self.supervise({"bomb": BOMB, "neighbour": '[service]\ncommand = ["sleep", "1000"]\n'}, CONFIG)
        supervisor.gpcsup("start", "bomb")
        main = supervisor.unit("bomb")["pid"]
        highest, times = 0, []
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            started = time.monotonic()
            supervisor.gpcsup("status", "neighbour")
            times.append(time.monotonic() - started)
            highest = max(highest, tasks_below(main))
        times.sort()
        p99 = times[math.ceil(0.99 * len(times)) - 1]
        print(f"fork bomb: most tasks {highest}, status p50 {statistics.median(times) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms "
              f"of {len(times)}")
        self.assertLessEqual(highest, 50)
        self.assertGreater(highest, 40, "the bomb must really press against its limit")
        before = self.counts(supervisor)
        attributes = supervisor.json("get", "tenant:/bombs/bomb")["attributes"]
        after = self.counts(supervisor)
        print(f"fork bomb: {after['forks']} forks, {after['forks_refused']} refused")
        self.assertGreater(before["forks_refused"], 0)
        self.assertEqual((errno.EAGAIN, 0), (after["fork_errno"], after["other_errno"]), "EAGAIN, and nothing else")
        self.assertGreaterEqual(attributes["numtasks.failcnt"], before["forks_refused"], "what the bomb was refused is counted")
        self.assertLessEqual(attributes["numtasks.failcnt"], after["forks_refused"] + 50, "and each of its tasks may be just told")
        self.assertLessEqual(attributes["numtasks.peak"], 50)
        self.assertTrue(any(event["event"] == "refused" for event in self.events_of(supervisor)))
        self.assertLess(p99, harness.latency(0.050))
        supervisor.gpcsup("stop", "bomb")
        self.assertEqual(["sleep"], [harness.command_name(pid) for pid in supervisor.services()])

    def counts(self, supervisor):
        """What the bomb itself has counted, in memory that outlives it."""
        said = subprocess.run([MISBEHAVE, "--read-counts", supervisor.runtime / "units/bomb/counts"], check=True,
                              capture_output=True, text=True).stdout
        return {name: int(number) for name, number in map(str.split, said.splitlines())}

    def events_of(self, supervisor):
        return [harness.json.loads(line) for line in supervisor.gpcsup("events", "--json").stdout.splitlines()]

    @needs_root
    def test_the_kernels_own_counter_agrees(self):
        base = kernel_pids()
        if base is None:
            self.skipTest("no pids cgroup, of v1 or v2, that can be written")
        cgroup = PidsCgroup(base)
        self.addCleanup(cgroup.remove)
        supervisor = self.supervise({}, CONFIG)
        go = supervisor.directory / "go"
        os.mkfifo(go)
        go.chmod(0o644)
        supervisor.write_unit("bomb", BOMB.replace("exec ", f"read go < {go} && exec "))
        supervisor.gpcsup("apply")
        supervisor.gpcsup("start", "bomb")
        cgroup.move(supervisor.unit("bomb")["pid"])
        with open(go, "r+b", buffering=0) as both_ends:  # which waits for nobody to open it
            both_ends.write(b"\n")
            most, known_from = cgroup.most(3)
        print(f"fork bomb: most tasks {most} ({known_from})")
        self.assertLessEqual(most, 50)
        self.assertGreater(most, 40)
        supervisor.gpcsup("stop", "bomb")

    def test_one_below_the_limit_is_never_refused(self):
        supervisor = self.supervise({}, CONFIG)
        for shell in ("bash", "perl", "python3"):
            loop = {"bash": "for ((i=0;i<400;i++)); do (:) || exit 9; done",
                    "perl": 'for (1..1000) { my $p = fork; die "refused: $!" unless defined $p; exit 0 unless $p; waitpid $p, 0 }',
                    "python3": "import os\nfor i in range(600):\n p = os.fork()\n if p == 0: os._exit(0)\n os.waitpid(p, 0)"}[shell]
            flag = {"bash": "-c", "perl": "-e", "python3": "-c"}[shell]
            result = supervisor.gpcsup("run", "-g", "tenant:/bombs", "-l", "numtasks.limit=2", "--", f"/usr/bin/{shell}", flag, loop,
                                       check=False)
            self.assertEqual((0, ""), (result.returncode, result.stderr), shell)

    def test_dash_pipelines_under_a_limit(self):
        """dash breaks when a signal comes between trap and RECV; the rate is compared in system_enforce; here: no limit refused it."""
        supervisor = self.supervise({}, CONFIG)
        broken = 0
        for _ in range(4):
            result = supervisor.gpcsup("run", "-g", "tenant:/bombs", "-l", "numtasks.limit=40", "--", "dash", "-c", PIPELINES,
                                       check=False)
            broken += result.returncode != 0
        print(f"dash pipelines: {broken} of 4 loops of 300 broke")
        calm = supervisor.gpcsup("run", "-g", "tenant:/bombs", "-l", "numtasks.limit=40", "--", "dash", "-c",
                                 PIPELINES.replace("300", "3"), check=False)
        self.assertIn(calm.returncode, (0, 2), calm.stderr)  # 2: dash's own "Cannot fork"
        self.assertEqual(0, supervisor.json("get", "tenant:/bombs")["attributes"]["numtasks.failcnt"], "none was refused")

    def test_dash_while_gpcsupd_is_being_killed(self):
        """In turns with calm ones, which system_enforce compares with a bare responder: at most twice as many break."""
        supervisor = self.supervise({}, CONFIG)
        calm, killed, kills = Pipelines(), Pipelines(), 0
        for _ in range(3):
            calm.wait(self.pipelines(supervisor))
            client = self.pipelines(supervisor)
            self.assertTrue(harness.select.select([client.stdout], [], [], 30 * harness.SLOW)[0], "it does not begin")
            self.assertEqual("begun\n", client.stdout.readline())  # a request that is cut off is not made again
            ended = os.pidfd_open(client.pid)
            while not harness.select.select([ended], [], [], 0.1)[0]:
                pid = supervisor.helper("gpcsupd")
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    self.assertTrue(harness.wait_gone(pid, 5))
                    supervisor.gpcsup("status")  # else a client would not get through to any of them
                    kills += 1
            os.close(ended)
            killed.wait(client)
        print(f"dash pipelines: {calm.broken} broke in {calm.loops}; {killed.broken} in {killed.loops} with {kills} kills of gpcsupd")
        self.assertGreater(kills, 4)
        expected = calm.broken * killed.loops / max(1, calm.loops)
        self.assertLessEqual(killed.broken, 2 * expected + 3 * (2 * expected + 1) ** 0.5)
        self.assertEqual(0, supervisor.json("get", "tenant:/bombs")["attributes"]["numtasks.failcnt"], "none was refused")

    def pipelines(self, supervisor):
        return supervisor.popen("run", "-g", "tenant:/bombs", "-l", "numtasks.limit=40", "--", "dash", "-c", COUNTED_PIPELINES,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class BombsOfAnOrdinaryUser(Bombs):
    user = harness.ORDINARY if os.getuid() == 0 else None


class Counts(Case):
    """What was counted of a limited group outlives gpcsupd, also when the limit has been lifted since."""

    def counts(self, supervisor):
        attributes = supervisor.json("get", "tenant:/bombs")["attributes"]
        return {name: attributes[f"numtasks.{name}"] for name in ("limit", "peak", "failcnt", "current")}

    def replace(self, supervisor):
        events = harness.Events(supervisor)
        os.kill(supervisor.helper("gpcsupd"), signal.SIGKILL)
        events.wait_for(lambda event: event["event"] == "supervisor-replaced")
        events.close()

    def test_they_outlive_gpcsupd(self):
        supervisor = self.supervise({}, CONFIG)
        supervisor.gpcsup("set", "tenant:/bombs", "numtasks.limit=5")
        script = "for n in 1 2 3 4; do sleep 100 & done; (:) || kill $(jobs -p)"  # the shell and four, then one too many
        supervisor.gpcsup("run", "-g", "tenant:/bombs", "--", "sh", "-c", script, check=False)
        supervisor.gpcsup("wait", "tenant:/bombs", "--empty")
        before = self.counts(supervisor)
        self.assertEqual((5, 5, 0), (before["limit"], before["peak"], before["current"]))
        self.assertGreater(before["failcnt"], 0)
        self.replace(supervisor)
        self.assertEqual(before, self.counts(supervisor))
        supervisor.gpcsup("set", "tenant:/bombs", "numtasks.limit=max")
        self.replace(supervisor)
        self.assertEqual(before | {"limit": None}, self.counts(supervisor))


WINDOW = 3 * harness.SLOW  # seconds
FORKS = """
import os, time
def forks(number):
    done = 0
    for _ in range(number):
        try:
            pid = os.fork()
        except BlockingIOError:
            continue
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        done += 1
    return done
started = time.monotonic()
first = forks(150)
took = time.monotonic() - started
while not forks(1) and time.monotonic() - started < 10 * WINDOW:
    time.sleep(0.05)
print(first, took < WINDOW, time.monotonic() - started >= WINDOW)
""".replace("WINDOW", str(WINDOW))


class Rates(Case):
    """numtasks.forkrate: so many forks in a window, on every level; what is refused elsewhere costs nothing."""

    def run_forks(self, supervisor, group):
        """A machine so busy that 150 forks take longer than the window says nothing; the next one begins after it."""
        for _ in range(5):
            told = supervisor.gpcsup("run", "-g", group, "--", "/usr/bin/python3", "-c", FORKS).stdout.split()
            if told[1] == "True":
                break
            harness.select.select([], [], [], WINDOW + 0.1)
        return told

    def test_a_window_lets_so_many_in(self):
        supervisor = self.supervise({}, CONFIG)
        supervisor.gpcsup("group", "create", "tenant:/bombs/a")
        supervisor.gpcsup("group", "create", "tenant:/bombs/b")
        supervisor.gpcsup("set", "tenant:/bombs/a", f"numtasks.forkrate=100/{WINDOW}s")
        self.assertEqual(["100", "True", "True"], self.run_forks(supervisor, "tenant:/bombs/a"))
        read = lambda group: supervisor.json("get", group)["attributes"]
        of_a = read("tenant:/bombs/a")
        self.assertGreaterEqual(of_a["numtasks.forkrate_failcnt"], 50)
        self.assertEqual((f"100/{WINDOW}s", 0), (of_a["numtasks.forkrate"], of_a["numtasks.failcnt"]))
        self.assertEqual("150", self.run_forks(supervisor, "tenant:/bombs/b")[0])
        supervisor.gpcsup("set", "tenant:/bombs", f"numtasks.forkrate=20/{WINDOW}s")
        self.assertEqual(["20", "True", "True"], self.run_forks(supervisor, "tenant:/bombs/b"))
        self.assertEqual(0, read("tenant:/bombs/b")["numtasks.forkrate_failcnt"])
        self.assertGreaterEqual(read("tenant:/bombs")["numtasks.forkrate_failcnt"], 130)


class RatesOfAnOrdinaryUser(Rates):
    user = harness.ORDINARY if os.getuid() == 0 else None


FILL = """import os, signal, sys
children = []
while len(children) < 60:
    try:
        child = os.fork()
    except BlockingIOError:
        break
    if child == 0:
        signal.pause()
    children.append(child)
print(len(children), flush=True)
sys.stdin.read()
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


class Shares(Case):
    """min_shares: what is kept for a group is there when it wants it, and is borrowed by nobody else."""

    def fill(self, group):
        """A process that forks until it is refused and keeps the children; how many it got."""
        process = self.supervisor.popen("run", "-g", group, "--", "/usr/bin/python3", "-c", FILL,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.end, process)
        return process, int(read_line(process.stdout, 60))

    def end(self, process):
        for stream in (process.stdin, process.stdout):
            stream.close()
        process.wait(20 * harness.SLOW)

    def tasks(self, group):
        return sum(int(harness.stat_of(one["pid"])[17]) for one in self.supervisor.json("ps", group)["processes"])

    def test_a_guarantee_is_kept_lent_to_nobody_and_exceeded_by_borrowing(self):
        self.supervisor = self.supervise({}, CONFIG)
        for name in ("a", "b"):
            self.supervisor.gpcsup("group", "create", f"tenant:/bombs/{name}")
        self.supervisor.gpcsup("set", "tenant:/bombs", "numtasks.limit=30")
        self.supervisor.gpcsup("set", "tenant:/bombs/a", "numtasks.min_shares=50")
        self.supervisor.gpcsup("set", "tenant:/bombs/b", "numtasks.max_shares=80")
        in_b, got = self.fill("tenant:/bombs/b")
        self.assertEqual((14, 15), (got, self.tasks("tenant:/bombs/b")), "half of the 30 are kept for a")
        killed = self.supervisor.helper("gpcsupd")
        os.kill(killed, signal.SIGKILL)
        self.assertTrue(harness.wait_gone(killed, 10))
        in_a, got = self.fill("tenant:/bombs/a")
        self.assertEqual((14, 30), (got, self.tasks("tenant:/bombs")))
        self.end(in_b)
        more_in_a, got = self.fill("tenant:/bombs/a")
        self.assertEqual((14, 30), (got, self.tasks("tenant:/bombs/a")), "what b does not use is borrowed")
        self.end(more_in_a)
        self.end(in_a)
        _, got = self.fill("tenant:/bombs/b")
        self.assertEqual(14, got)
        self.supervisor.gpcsup("set", "tenant:/bombs/a", "numtasks.min_shares=0")
        _, got = self.fill("tenant:/bombs/b")
        self.assertEqual((8, 24), (got, self.tasks("tenant:/bombs/b")), "max_shares: 80 of 100")
        said = {group: self.supervisor.json("get", f"tenant:/bombs{group}")["attributes"] for group in ("", "/a", "/b")}
        self.assertEqual((24, None), (said["/b"]["numtasks.effective_limit"], said["/b"]["numtasks.limit"]))
        self.assertGreater(said[""]["numtasks.failcnt"], 0)
        self.assertEqual(0, said["/a"]["numtasks.guarantee"])


class SharesOfAnOrdinaryUser(Shares):
    user = harness.ORDINARY if os.getuid() == 0 else None


class CountsOfAnOrdinaryUser(Counts):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
