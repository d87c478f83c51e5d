"""compat = "2006": the errnos, defaults, units and books of 2006, with real forks, opens and CPU time."""

import errno
import os
import pathlib
import signal
import subprocess
import unittest

import harness
from harness import Case, needs_root, read_line

OPENERS = pathlib.Path(os.environ.get("GPCSUP_SUPPORT", harness.BIN.parent / "tests/support")) / "openers"
CONFIG = """
[hierarchy.old]
controllers = ["numtasks", "numfiles", "cpuacct"]
compat = "2006"
[hierarchy.old.group."/a"]
[hierarchy.old.group."/a/below"]
"""
TODAY = CONFIG.replace('compat = "2006"\n', "")

# Forks until it is refused, or so many times; says how many it got, and the errno. Holds them until its input ends.
FORKS = """
import os, signal, sys
most, hold = int(sys.argv[1]), sys.argv[2] == "hold"
children, errors = [], []
for _ in range(most):
    try:
        child = os.fork()
    except OSError as error:
        errors.append(error.errno)
        if hold:
            break
        continue
    if child == 0:
        signal.pause()
    children.append(child)
print(len(children), *errors, flush=True)
if hold:
    sys.stdin.read()
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
# Opens as much as it is let, or so many; says how many, the errno, and how many it has then.
OPENS = """
import os, sys
errors, opened = 0, 0
for _ in range(int(sys.argv[1])):
    try:
        os.open("/dev/null", os.O_RDONLY)
    except OSError as error:
        errors = error.errno
        break
    opened += 1
print(opened, errors, flush=True)
if len(sys.argv) > 2:
    sys.stdin.read()
"""
BURN = """
import os, time
while sum(os.times()[:2]) < 0.4:
    pass
print(sum(os.times()[:2]), flush=True)
"""
PYTHON = "/usr/bin/python3"


class CompatCase(Case):
    def read(self, group):
        return self.supervisor.json("get", group)["attributes"]

    def set(self, group, *settings):
        self.supervisor.gpcsup("set", group, *settings)

    def run_in(self, group, *command):
        return self.supervisor.gpcsup("run", "-g", group, "--", *command).stdout.split()

    def hold(self, group, *command):
        """A process of the group that has said its numbers and stays until its input is closed; what it said."""
        process = self.supervisor.popen("run", "-g", group, "--", *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.end, process)
        return process, [int(word) for word in read_line(process.stdout).split()]

    def end(self, process):
        for stream in (process.stdin, process.stdout):
            stream.close()
        process.wait(20 * harness.SLOW)

    def replace(self):
        events = harness.Events(self.supervisor)
        os.kill(self.supervisor.helper("gpcsupd"), signal.SIGKILL)
        events.wait_for(lambda event: event["event"] == "supervisor-replaced")
        events.close()


class Forks(CompatCase):
    def test_a_refused_fork_is_enospc_and_every_group_counts_itself(self):
        self.supervisor = self.supervise({}, CONFIG)
        self.set("old:/a", "numtasks.limit=8")
        inside, said = self.hold("old:/a", PYTHON, "-c", FORKS, "60", "hold")
        self.assertEqual([7, errno.ENOSPC], said)
        below, said = self.hold("old:/a/below", PYTHON, "-c", FORKS, "20", "hold")
        self.assertEqual([20], said, "a limit above is nobody's below it")
        a, child = self.read("old:/a"), self.read("old:/a/below")
        self.assertEqual((8, 8, 1), tuple(a[f"numtasks.{name}"] for name in ("current", "peak", "failcnt")))
        self.assertEqual((21, 21, 0), tuple(child[f"numtasks.{name}"] for name in ("current", "processes", "failcnt")))
        self.set("old:/a/below", "numtasks.process_limit=21")
        self.assertEqual(errno.ENOSPC, int(self.run_in("old:/a/below", PYTHON, "-c", FORKS, "1", "go")[1]))
        self.replace()
        self.assertEqual((8, 1), (self.read("old:/a")["numtasks.current"], self.read("old:/a")["numtasks.failcnt"]))
        self.end(below)
        self.end(inside)
        self.assertEqual([7, errno.ENOSPC], self.hold("old:/a", PYTHON, "-c", FORKS, "60", "hold")[1], "as before gpcsupd died")

    def test_what_a_limit_refuses_has_spent_its_part_of_the_rate(self):
        """The rate was looked at first. Today a refused fork costs nothing of it."""
        for config, expected in ((CONFIG, (5, 3)), (TODAY, (8, 0))):
            self.supervisor = self.supervise({}, config)
            self.set("old:/a", "numtasks.limit=1", "numtasks.forkrate=5/1h")
            said = [int(word) for word in self.run_in("old:/a", PYTHON, "-c", FORKS, "8", "go")]
            self.assertEqual([0] + 8 * [errno.ENOSPC if config is CONFIG else errno.EAGAIN], said)
            read = self.read("old:/a")
            self.assertEqual(expected, (read["numtasks.failcnt"], read["numtasks.forkrate_failcnt"]))
        self.supervisor = None


class Opens(CompatCase):
    def test_a_new_group_has_256_and_512_and_the_root_has_no_limit(self):
        self.supervisor = self.supervise({}, CONFIG)
        edges = lambda group: tuple(self.read(group)[f"numfiles.{name}"] for name in ("barrier", "limit"))
        self.assertEqual([(None, None), (256, 512), (256, 512)], [edges(f"old:{path}") for path in ("/", "/a", "/a/below")])
        self.supervisor.gpcsup("group", "create", "old:/late")
        self.set("old:/a", "numfiles.barrier=max", "numfiles.limit=max")
        self.replace()
        self.assertEqual([(256, 512), (None, None), (256, 512)], [edges(f"old:{path}") for path in ("/late", "/a", "/a/below")])

    @unittest.skipUnless(OPENERS.exists(), "needs the opener of files")
    def test_whatever_makes_the_file_is_refused_with_enfile(self):
        self.supervisor = self.supervise({}, CONFIG)
        self.set("old:/a", "numfiles.barrier=30", "numfiles.limit=30")
        lines = [line.split() for line in self.supervisor.gpcsup("run", "-g", "old:/a", "--", str(OPENERS)).stdout.splitlines()]
        errors = {name: int(error) for name, made, error, kept in lines}
        for way in ("open", "openat", "socket", "socketpair", "pipe2", "eventfd", "memfd_create", "epoll_create1", "accept4"):
            self.assertEqual(errno.ENFILE, errors[way], way)
        self.assertNotIn(errno.EMFILE, errors.values())

    def test_the_barrier_and_the_limit_are_where_they_were(self):
        self.supervisor = self.supervise({}, CONFIG)
        inside, (opened, error) = self.hold("old:/a", PYTHON, "-c", OPENS, "1000", "hold")
        edge = 256 if os.getuid() != 0 or self.supervisor.user else 512
        self.assertEqual(errno.ENFILE, error)
        read = self.read("old:/a")
        self.assertEqual((edge, edge, 1), tuple(read[f"numfiles.{name}"] for name in ("held", "maxheld", "failcnt")))
        self.assertLess(edge - 8, opened)
        below, (opened, error) = self.hold("old:/a/below", PYTHON, "-c", OPENS, "200", "hold")
        self.assertEqual((200, 0), (opened, error), "the group above is full, and no matter")
        self.assertEqual(edge, self.read("old:/a")["numfiles.held"])
        self.assertIn(self.read("old:/a/below")["numfiles.held"], range(200, 210))
        rows = {group["group"]: row for group in self.supervisor.json("beancounters")["groups"]
                for row in group["resources"] if row["resource"] == "numfile"}
        self.assertEqual((edge, 256, 512), tuple(rows["old:/a"][name] for name in ("held", "barrier", "limit")))

    @needs_root
    def test_the_unprivileged_of_a_privileged_supervisor(self):
        if self.user:
            self.skipTest("everybody is unprivileged there")
        self.supervisor = self.supervise({}, CONFIG)
        command = ("/usr/bin/setpriv", "--reuid=65534", "--clear-groups", PYTHON, "-c", OPENS, "1000", "hold")
        _, (opened, error) = self.hold("old:/a", *command)
        self.assertEqual((errno.ENFILE, 256), (error, self.read("old:/a")["numfiles.held"]))


class CpuTime(CompatCase):
    def test_milliseconds_of_the_group_alone(self):
        self.supervisor = self.supervise({}, CONFIG)
        burnt = float(self.run_in("old:/a/below", PYTHON, "-c", BURN)[0]) * 1000
        below, a, root = (self.read(f"old:{path}") for path in ("/a/below", "/a", "/"))
        self.assertAlmostEqual(burnt, below["cpuacct.usage"], delta=0.15 * burnt)
        self.assertLessEqual(below["cpuacct.usage"] - below["cpuacct.user"] - below["cpuacct.system"], 1)
        self.assertEqual(below["cpuacct.usage"], below["cpuacct.own_usage"])
        self.assertEqual(0, a["cpuacct.usage"])
        if harness.SLOW == 1:  # under sanitizers our own helpers, which are in the root, use more than that
            self.assertLess(root["cpuacct.usage"], burnt / 2)
        # A group takes what it has used with it.
        self.supervisor.gpcsup("group", "remove", "old:/a/below")
        self.assertEqual(0, self.read("old:/a")["cpuacct.usage"])
        self.supervisor.gpcsup("group", "remove", "old:/a")
        self.replace()
        if harness.SLOW == 1:
            self.assertLess(self.read("old:/")["cpuacct.usage"], burnt / 2)

    def test_own_usage_beside_the_hierarchical_one(self):
        self.supervisor = self.supervise({}, TODAY)
        for group in ("old:/a", "old:/a/below"):
            self.run_in(group, PYTHON, "-c", BURN)
        below, a = self.read("old:/a/below"), self.read("old:/a")
        self.assertEqual(below["cpuacct.usage"], below["cpuacct.own_usage"])
        self.assertEqual(a["cpuacct.usage"], a["cpuacct.own_usage"] + below["cpuacct.usage"])
        self.assertGreater(a["cpuacct.own_usage"], 390_000_000)
        self.supervisor.gpcsup("group", "remove", "old:/a/below")
        self.replace()
        names = ("cpuacct.usage", "cpuacct.own_usage")
        self.assertEqual([a[name] for name in names], [self.read("old:/a")[name] for name in names])

    def test_a_mark_outlives_the_supervisor_and_takes_nothing_from_the_usage(self):
        for config, unit in ((TODAY, 1), (CONFIG, 1_000_000)):
            self.supervisor = self.supervise({}, config)
            self.assertEqual(0, self.read("old:/a")["cpuacct.mark"])
            self.run_in("old:/a", PYTHON, "-c", BURN)
            before = self.read("old:/a")
            self.assertEqual(before["cpuacct.usage"], before["cpuacct.since_mark"])
            self.set("old:/a", "cpuacct.mark=now")
            marked = self.read("old:/a")
            self.assertEqual((before["cpuacct.usage"], before["cpuacct.usage"], 0),
                             tuple(marked[f"cpuacct.{name}"] for name in ("usage", "mark", "since_mark")))
            self.run_in("old:/a", PYTHON, "-c", BURN)
            self.replace()
            after = self.read("old:/a")
            self.assertEqual(marked["cpuacct.mark"], after["cpuacct.mark"])
            self.assertAlmostEqual(after["cpuacct.usage"], after["cpuacct.mark"] + after["cpuacct.since_mark"], delta=1)
            self.assertGreater(after["cpuacct.since_mark"] * unit, 390_000_000)
            self.assertNotIn("mark", self.supervisor.gpcsup("snapshot").stdout, "no setting")
            # Taken back with the transaction that it was in.
            refused = self.supervisor.gpcsup("set", "old:/a", "cpuacct.mark=now", "numfiles.barrier=10", "numfiles.limit=5", check=False)
            self.assertEqual(1, refused.returncode)
            self.assertEqual(marked["cpuacct.mark"], self.read("old:/a")["cpuacct.mark"])
            slip = self.supervisor.gpcsup("set", "old:/a", "cpuacct.mark=0", check=False)
            self.assertEqual(64, slip.returncode)
            self.assertIn('expected "now"', slip.stderr)
        self.supervisor = None


class Cpus(CompatCase):
    def test_nobody_can_be_in_an_empty_set(self):
        cpu = max(os.sched_getaffinity(0))
        config = """[hierarchy.old]\ncontrollers = ["cpuset"]\ncompat = "2006"
[hierarchy.old.group."/a/below"]\n"""
        self.supervisor = self.supervise({"web": 'enabled = false\n[service]\ncommand = ["sleep", "100000"]\n[place]\nold = "/a"\n'}, config)
        refused = lambda *words: self.supervisor.gpcsup(*words, check=False)
        started = refused("run", "-g", "old:/a", "--", "true")
        self.assertEqual(125, started.returncode)
        self.assertIn('cpuset.cpus of old:/a is empty: with compat = "2006" nobody can be in it', started.stderr)
        self.assertNotEqual(0, refused("start", "web").returncode)
        self.assertEqual(1, refused("set", "old:/a/below", f"cpuset.cpus={cpu}").returncode, "its parent has none")
        self.set("old:/a", f"cpuset.cpus={cpu}")
        self.supervisor.gpcsup("start", "web")
        pid = self.supervisor.unit("web")["pid"]
        self.assertEqual(str(cpu), harness.status_field(pid, "Cpus_allowed_list"))
        moved = refused("attach", str(pid), "old:/a/below")
        self.assertEqual(1, moved.returncode)
        self.assertIn("cpuset.cpus of old:/a/below is empty", moved.stderr)
        self.assertEqual("/a", self.supervisor.unit("web")["place"]["old"])
        emptied = refused("set", "old:/a", "cpuset.cpus=")
        self.assertEqual(1, emptied.returncode)
        self.assertIn("there are processes in it", emptied.stderr)
        told = [harness.json.loads(line) for line in self.supervisor.gpcsup("events", "--json").stdout.splitlines()]
        self.assertEqual({errno.ENOSPC}, {event["errno"] for event in told if event["event"] == "refused-attach"})
        self.assertEqual(errno.ENOSPC, [event["errno"] for event in told if event["event"] == "refused-set"][-1])


class Declared(CompatCase):
    def row(self, name):
        return {row["name"]: row for row in self.supervisor.json("hierarchy", "list")["hierarchies"]}[name]

    def write(self, config):
        (self.supervisor.directory / "gpcsup.toml").write_text(config)

    def test_at_run_time(self):
        self.supervisor = self.supervise({}, "")
        run = lambda *words: self.supervisor.gpcsup("hierarchy", *words, check=False)
        self.assertEqual(0, run("create", "--compat", "2006", "old", "numtasks", "numfiles").returncode)
        self.assertEqual(0, run("create", "old", "numfiles", "numtasks", "--compat=2006").returncode, "the same again")
        other = run("create", "old", "numtasks", "numfiles")
        self.assertEqual(1, other.returncode)
        self.assertIn('old exists with compat "2006"', other.stderr)
        unknown = run("create", "--compat", "2007", "new")
        self.assertEqual(64, unknown.returncode)
        self.assertIn("2006", unknown.stderr)
        self.assertEqual(("2006", None), (self.row("old")["compat"], self.row("unit")["compat"]))
        lines = self.supervisor.gpcsup("hierarchy", "list").stdout.splitlines()
        self.assertEqual(["2006", "-"], [line.split()[3] for name in ("old ", "unit ") for line in lines if line.startswith(name)])
        self.assertEqual(0, run("rebind", "old", "numfiles", "cpuacct").returncode)
        self.replace()
        self.assertEqual(("2006", {"numfiles", "cpuacct"}), (self.row("old")["compat"], set(self.row("old")["controllers"])))
        self.supervisor.gpcsup("group", "create", "old:/a")
        self.assertEqual(256, self.read("old:/a")["numfiles.barrier"])

    def test_a_snapshot_makes_the_same(self):
        self.supervisor = self.supervise({}, CONFIG)
        self.set("old:/a", "numfiles.barrier=max", "numfiles.limit=max", "numtasks.limit=9")
        text = self.supervisor.gpcsup("snapshot").stdout
        self.assertIn('[hierarchy.old]\ncontrollers = ["numtasks", "numfiles", "cpuacct"]\ncompat = "2006"\n', text)
        self.assertIn('numfiles.barrier = "max"\nnumfiles.limit = "max"\nnumtasks.limit = 9\n', text)
        self.assertNotIn("256", text)
        self.write(text)
        self.assertEqual([], self.supervisor.json("apply", "--dry-run")["steps"])
        self.assertEqual(text, self.supervise({}, text).gpcsup("snapshot").stdout)

    def test_apply_makes_it_and_never_changes_it(self):
        self.supervisor = self.supervise({}, "")
        self.write(CONFIG + 'numfiles.limit = 512\n')
        answer = self.supervisor.json("apply")
        self.assertEqual([], answer["problems"])
        self.assertIn("2006", next(step["detail"] for step in answer["steps"] if step["action"] == "create-hierarchy"))
        self.assertNotIn("set", [step["action"] for step in answer["steps"]], "512 it has")
        self.assertEqual(512, self.read("old:/a")["numfiles.limit"])
        for config, told in ((TODAY, 'old exists with compat = "2006" and cannot come to be without compat'),
                             (CONFIG.replace("2006", "2007"), 'write compat = "2006"')):
            self.write(config)
            answer = self.supervisor.gpcsup("apply", check=False)
            self.assertEqual(1, answer.returncode)
            self.assertIn(told, answer.stdout + answer.stderr)
            self.assertEqual("2006", self.row("old")["compat"])
        self.write("")
        self.supervisor.gpcsup("apply")
        self.write(TODAY)
        self.supervisor.gpcsup("apply")
        self.assertIsNone(self.row("old")["compat"])
        self.assertIsNone(self.read("old:/a")["numfiles.limit"])


class ForksOfAnOrdinaryUser(Forks):
    user = harness.ORDINARY if os.getuid() == 0 else None


class OpensOfAnOrdinaryUser(Opens):
    user = harness.ORDINARY if os.getuid() == 0 else None


class CpuTimeOfAnOrdinaryUser(CpuTime):
    user = harness.ORDINARY if os.getuid() == 0 else None


class CpusOfAnOrdinaryUser(Cpus):
    user = harness.ORDINARY if os.getuid() == 0 else None


class DeclaredByAnOrdinaryUser(Declared):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
