"""Threads apart from their process: other CPUs than its own, what ends that, and what it survives."""

import json
import os
import pwd
import random
import select
import signal
import subprocess
import sys
import unittest

import harness
from harness import BIN, Case, Events, MISBEHAVE, needs_root, read_line, status_field, threads_of

MOVER = MISBEHAVE.parent / "mover"
KILLS = int(os.environ.get("GPCSUP_KILLS", "12"))
SEED = int(os.environ.get("GPCSUP_SEED", str(random.SystemRandom().randrange(1 << 32))))
CONFIG = """
[hierarchy.cpus]
controllers = ["cpuset"]
[hierarchy.cpus.group."/zero"]
cpuset.cpus = "0"
[hierarchy.cpus.group."/one"]
cpuset.cpus = "1"
[hierarchy.cpus.group."/free"]
[hierarchy.tags]
controllers = []
[hierarchy.tags.group."/red"]
[hierarchy.time]
controllers = ["cpuacct"]
[hierarchy.time.group."/a"]
"""

# Reads "NAME VERB" and has that thread do it: threads are "main" and what "start" made. Each line is answered.
WORKER = r"""
import os, queue, sys, threading
mails = {}
def say(text):
    print(text, flush=True)
def obey(name, verb):
    if verb.startswith("start="):
        start(verb[6:])
    elif verb == "fork":
        pid = os.fork()
        if pid == 0:
            os.execvp("sleep", ["sleep", "1000"])
        say(pid)
    elif verb.startswith("bind="):
        os.sched_setaffinity(0, {int(cpu) for cpu in verb[5:].split(",")})
        say(",".join(map(str, sorted(os.sched_getaffinity(0)))))
    elif verb == "exec":
        os.execvp("sleep", ["sleep", "1001"])
def body(name):
    while (verb := mails[name].get()) != "end":
        obey(name, verb)
    say("ended")
def start(name):
    mails[name] = queue.Queue()
    thread = threading.Thread(target=body, args=(name,), daemon=True)
    thread.start()
    say(thread.native_id)
say(os.getpid())
for line in sys.stdin:
    name, verb = line.split()
    if name == "main":
        obey(name, verb)
    else:
        mails[name].put(verb)
"""


class Worker:
    """A process with threads that do what they are told."""

    def __init__(self, supervisor, *options, through=()):
        self.process = supervisor.popen("run", *options, "--", *through, sys.executable, "-u", "-c", WORKER,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = int(self.line())

    def line(self, seconds=20):
        return read_line(self.process.stdout, seconds)

    def tell(self, name, verb):
        self.process.stdin.write(f"{name} {verb}\n".encode())
        self.process.stdin.flush()

    def ask(self, name, verb):
        self.tell(name, verb)
        return self.line()

    def start(self, name, by="main"):
        return int(self.ask(by, f"start={name}"))


def cpus(pid, tid=None):
    return status_field(pid, "Cpus_allowed_list", tid or pid)


@unittest.skipUnless({0, 1} <= os.sched_getaffinity(0), "needs CPUs 0 and 1")
class Apart(Case):
    def setUp(self):
        self.supervisor = self.supervise({}, CONFIG)
        self.events = Events(self.supervisor)
        self.addCleanup(self.events.close)
        self.worker = Worker(self.supervisor, "-g", "cpus:/zero")
        self.pid = self.worker.pid
        self.tid = self.worker.start("a")
        self.other = self.worker.start("b")

    def attach(self, *words, check=True):
        return self.supervisor.gpcsup("attach", *words, check=check)

    def masks(self, *tids):
        return [cpus(self.pid, tid) for tid in (self.pid, self.tid, self.other, *tids)]

    def apart(self):
        return {thread["tid"]: thread["groups"] for thread in self.rows()[self.pid].get("threads_apart", [])}

    def rows(self):
        return {row["pid"]: row for row in self.supervisor.json("ps", "cpus:/")["processes"]}

    def asked_until(self, holds):
        """What no event tells: each `ps` takes in what the tracker has heard. The rows of the last one."""
        deadline = harness.time.monotonic() + 20 * harness.SLOW
        while not holds(rows := self.rows()):
            self.assertLess(harness.time.monotonic(), deadline, f"{rows} {self.masks()}")
        return rows

    def kill_supervisor(self, pid):
        os.kill(pid, signal.SIGKILL)
        self.events.wait_for(lambda event: event["event"] == "supervisor-replaced")

    def group(self, path):
        return next(row for row in self.supervisor.json("group", "list", path)["groups"] if row["group"] == path)

    # --- being apart ----------------------------------------------------------------------------------------------
    def test_a_thread_has_other_cpus_than_its_process(self):
        self.assertEqual(["0", "0", "0"], self.masks())
        moved = json.loads(self.attach("--thread", "--json", self.tid, "cpus:/one").stdout)["moved"]
        self.assertEqual((self.pid, self.tid, False, "/one"),
                         (moved[0]["pid"], moved[0]["tid"], moved[0]["already"], moved[0]["place"]["cpus"]))
        self.assertEqual(["0", "1", "0"], self.masks())
        self.assertEqual({self.tid: {"cpus": "/one"}}, self.apart())
        event = self.events.wait_for(lambda event: event["event"] == "thread-attached")
        self.assertEqual((self.pid, self.tid, {"cpus": "/one"}),
                         tuple(event["moved"][0][key] for key in ("pid", "tid", "place")))
        self.assertIn("already there", self.attach("--thread", self.tid, "cpus:/one").stdout)
        self.assertIn(f"thread {self.tid} of {self.pid}", self.supervisor.gpcsup("ps", "cpus:/").stdout)
        visiting = self.supervisor.json("ps", "cpus:/one")
        self.assertEqual(([], [(self.tid, self.pid)]),
                         (visiting["processes"], [(row["tid"], row["pid"]) for row in visiting["threads"]]))
        self.assertIn(f"thread {self.tid} of ", self.supervisor.gpcsup("ps", "cpus:/one").stdout)
        self.assertIn(f"is a thread of process {self.pid}", self.supervisor.gpcsup("why", self.tid, check=False).stderr)
        self.assertEqual((True, 0), tuple(self.group("cpus:/one")[key] for key in ("populated", "processes")))
        self.assertEqual(1, self.group("cpus:/zero")["processes"])
        # Its group's CPUs and its process's are each its own.
        self.supervisor.gpcsup("set", "cpus:/one", "cpuset.cpus=0-1")
        self.assertEqual(["0", "0-1", "0"], self.masks())
        self.supervisor.gpcsup("set", "cpus:/zero", "cpuset.cpus=1")
        self.assertEqual(["1", "0-1", "1"], self.masks())

    def test_the_main_thread_is_one_too(self):
        self.attach("--thread", self.pid, "cpus:/one")
        self.assertEqual(["1", "0", "0"], self.masks())
        self.assertEqual({self.pid: {"cpus": "/one"}}, self.apart())
        self.attach("--thread", self.pid, self.tid, "cpus:/zero")
        self.assertEqual(["0", "0", "0"], self.masks())
        self.assertEqual({}, self.apart())

    def test_a_hierarchy_without_controllers(self):
        self.attach("--thread", self.tid, self.other, "tags:/red", "cpus:/one")
        self.assertEqual({tid: {"cpus": "/one", "tags": "/red"} for tid in (self.tid, self.other)}, self.apart())
        self.attach("--thread", self.tid, "tags:/")
        self.assertEqual({"cpus": "/one"}, self.apart()[self.tid])

    def test_its_group_stays_and_says_why(self):
        self.attach("--thread", self.tid, "cpus:/one")
        for how in ((), ("--recursive",), ("--kill",)):
            refused = self.supervisor.gpcsup("group", "remove", *how, "cpus:/one", check=False)
            self.assertEqual(1, refused.returncode)
            self.assertIn(f"1 thread is in it: {self.tid} of process {self.pid}", refused.stderr)
        told = self.supervisor.json("why", "cpus:/one")
        self.assertEqual((False, [(self.tid, self.pid)], 0),
                         (told["removable"], [(row["tid"], row["pid"]) for row in told["threads"]], told["process_count"]))
        self.assertIn(f"thread {self.tid} in cpus:/one", self.supervisor.gpcsup("why", self.pid).stdout)
        self.assertNotIn(str(self.tid), self.supervisor.gpcsup("snapshot").stdout)

    def test_it_may_narrow_its_own_mask_within_its_own_group(self):
        self.supervisor.gpcsup("set", "cpus:/one", "cpuset.cpus=0-1")
        self.attach("--thread", self.tid, "cpus:/one")
        self.assertEqual("1", self.worker.ask("a", "bind=1"))
        self.assertEqual("0-1", cpus(self.pid, self.tid) if self.worker.ask("a", "bind=0,1") == "0,1" else None)

    # --- what ends it ---------------------------------------------------------------------------------------------
    def test_its_process_takes_it_home(self):
        for target, expected in (("cpus:/one", "1"), ("cpus:/one", "1"), ("cpus:/free", "0-1"), ("cpus:/zero", "0")):
            with self.subTest(target=target):
                self.attach("--thread", self.tid, "cpus:/free" if target == "cpus:/one" else "cpus:/one")
                self.attach(self.pid, target)
                self.assertEqual([expected] * 3, self.masks())
                self.assertEqual({}, self.apart())

    def test_its_end_frees_the_group(self):
        self.attach("--thread", self.tid, "cpus:/one")
        self.events.wait_for(lambda event: event["event"] == "group-populated" and event["group"] == "cpus:/one")
        waiting = self.supervisor.popen("wait", "cpus:/one", "--empty", stdout=subprocess.PIPE)
        self.assertEqual("ended", self.worker.ask("a", "end"))
        self.events.wait_for(lambda event: event["event"] == "group-empty" and event["group"] == "cpus:/one", 40)
        self.assertEqual(0, waiting.wait(20 * harness.SLOW))
        self.assertEqual({}, self.apart())
        self.supervisor.gpcsup("group", "remove", "cpus:/one")

    def test_the_end_of_its_process_frees_the_group(self):
        self.attach("--thread", self.tid, "cpus:/one")
        os.kill(self.pid, signal.SIGKILL)
        self.events.wait_for(lambda event: event["event"] == "group-empty" and event["group"] == "cpus:/one", 40)
        self.supervisor.gpcsup("group", "remove", "cpus:/one")

    def test_an_execve_leaves_one_thread_where_its_process_is(self):
        self.attach("--thread", self.tid, "cpus:/one")
        self.worker.tell("a", "exec")
        self.events.wait_for(lambda event: event["event"] == "group-empty" and event["group"] == "cpus:/one", 40)
        self.assertEqual([self.pid], threads_of(self.pid))
        self.assertEqual(("0", {}), (cpus(self.pid), self.apart()))

    # --- what it starts -------------------------------------------------------------------------------------------
    def test_what_it_starts_is_its_process_s(self):
        self.attach("--thread", self.tid, "cpus:/one")
        thread = self.worker.start("c", by="a")
        self.asked_until(lambda rows: self.masks(thread) == ["0", "1", "0", "0"])
        child = int(self.worker.ask("a", "fork"))
        row = self.asked_until(lambda rows: child in rows and cpus(child) == "0")[child]
        self.assertEqual(("/zero", None), (row["place"]["cpus"], row.get("threads_apart")))

    # --- what it survives -----------------------------------------------------------------------------------------
    def test_gpcsupd_is_killed(self):
        self.attach("--thread", self.tid, "cpus:/one", "tags:/red")
        self.kill_supervisor(self.supervisor.supervisor_pid())
        self.assertEqual({self.tid: {"cpus": "/one", "tags": "/red"}}, self.apart())
        self.assertEqual(["0", "1", "0"], self.masks())
        self.supervisor.gpcsup("set", "cpus:/zero", "cpuset.cpus=0-1")
        self.assertEqual(["0-1", "1", "0-1"], self.masks())
        killed = self.supervisor.supervisor_pid()
        self.supervisor.init.send_signal(signal.SIGSTOP)  # nobody is replaced, and nobody hears of the end
        try:
            os.kill(killed, signal.SIGKILL)
            self.assertEqual("ended", self.worker.ask("a", "end"))
        finally:
            self.supervisor.init.send_signal(signal.SIGCONT)
        self.events.wait_for(lambda event: event["event"] == "supervisor-replaced")
        self.assertEqual({}, self.apart())
        told = [json.loads(text) for text in self.supervisor.gpcsup("events", "--json", "--since", "0").stdout.splitlines()]
        self.assertIn("cpus:/one", [event["group"] for event in told if event["event"] == "group-empty"])
        self.supervisor.gpcsup("group", "remove", "cpus:/one")

    def test_gpcsupd_is_killed_in_the_middle_of_moves(self):
        print(f"seed {SEED} (GPCSUP_SEED repeats it)", flush=True)
        chance = random.Random(SEED)
        masks = {"/zero": "0", "/one": "1", "/free": "0-1"}
        for _ in range(KILLS):
            who = chance.choice([("--thread", self.tid), ("--thread", self.tid, self.other), ("--thread", self.pid), (self.pid,)])
            target = chance.choice(list(masks))
            gpcsupd = self.supervisor.supervisor_pid()
            moving = self.supervisor.popen("attach", *who, f"cpus:{target}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            select.select([], [], [], chance.uniform(0, 0.02))  # whatever it is doing then
            self.kill_supervisor(gpcsupd)
            moving.wait(20 * harness.SLOW)
            rows = self.rows()
            home = rows[self.pid]["place"]["cpus"]
            apart = {thread["tid"]: thread["groups"]["cpus"] for thread in rows[self.pid].get("threads_apart", [])}
            expected = {tid: masks[apart.get(tid, home)] for tid in (self.pid, self.tid, self.other)}
            self.assertEqual(expected, dict(zip(expected, self.masks())), f"{who} to {target}: {home} {apart}")
            self.assertNotIn(home, apart.values(), "where its process is a thread is not apart")
            threads = {path: list(apart.values()).count(path) for path in masks}
            self.assertEqual({f"cpus:{path}": count > 0 or home == path for path, count in threads.items()},
                             {f"cpus:{path}": self.group(f"cpus:{path}")["populated"] for path in masks})

    @unittest.skipUnless(MOVER.exists(), "needs mover")
    def test_the_journal_is_compacted(self):
        self.attach("--thread", self.tid, "cpus:/one")
        moves = 6000  # of somebody else: some 3 MiB of journal
        other = Worker(self.supervisor)
        done = subprocess.run([MOVER, self.supervisor.runtime, str(moves), "tags:/red", "tags:/", str(other.pid)],
                              preexec_fn=self.supervisor.become, capture_output=True, text=True, timeout=60 * harness.SLOW)
        self.assertEqual(0, done.returncode, done.stderr)
        told = self.supervisor.gpcsup("events", "--json", "--since", "0").stdout.splitlines()
        self.assertLess(len(told), moves, "what is older is forgotten")
        self.assertNotIn("thread-attached", [json.loads(text)["event"] for text in told])
        self.kill_supervisor(self.supervisor.supervisor_pid())
        self.assertEqual({self.tid: {"cpus": "/one"}}, self.apart())
        self.assertEqual(["0", "1", "0"], self.masks())

    # --- refusals -------------------------------------------------------------------------------------------------
    def refused(self, *words):
        before = self.masks(), self.apart()
        result = self.attach("--json", "--thread", *words, check=False)
        self.assertEqual(before, (self.masks(), self.apart()), "all or nothing")
        answer = json.loads(result.stdout)
        self.assertEqual([], answer["moved"])
        plain = self.attach("--thread", *words, check=False)
        self.assertEqual(result.returncode, plain.returncode)
        for item in answer["refused"]:
            self.assertIn(item["error"], plain.stderr)
        return result.returncode, answer["refused"]

    def test_where_figures_are_a_process_s_it_is_refused(self):
        code, items = self.refused(self.tid, "time:/a")
        self.assertEqual((1, [(self.tid, self.pid, 95)]), (code, [(item["tid"], item["pid"], item["errno"]) for item in items]))
        self.assertIn("controller cpuacct", items[0]["error"])
        self.assertEqual("time:/a", items[0]["group"])
        code, items = self.refused(self.tid, "cpus:/one", "time:/a")  # one of two is in the way
        self.assertEqual(["time:/a"], [item["group"] for item in items])

    def test_each_thread_that_is_in_the_way_is_named(self):
        self.assertEqual("ended", self.worker.ask("b", "end"))
        deadline = harness.time.monotonic() + 20 * harness.SLOW
        while self.other in threads_of(self.pid):  # it has said so, and is on its way
            self.assertLess(harness.time.monotonic(), deadline)
            os.sched_yield()
        gone, self.other = self.other, self.tid
        code, items = self.refused(self.tid, gone, "12ab", "sleepers", os.getpid(), "cpus:/one")
        self.assertEqual(1, code)
        by_tid = {item["tid"]: item for item in items}
        self.assertEqual({gone: 3, "12ab": 22, "sleepers": 22, os.getpid(): 22},
                         {tid: item["errno"] for tid, item in by_tid.items()})
        self.assertEqual("there is no such thread", by_tid[gone]["error"])
        self.assertEqual(4, self.attach("--thread", gone, "cpus:/one", check=False).returncode)
        self.assertEqual(64, self.attach("--thread", self.supervisor.helper("gpcsupd"), "cpus:/one", check=False).returncode)
        self.assertEqual(4, self.attach("--thread", self.tid, "cpus:/nowhere", check=False).returncode)


class ApartAsOrdinaryUser(Apart):
    user = harness.ORDINARY if os.getuid() == 0 else None


@needs_root
class ApartWhereTrackingIsSampled(Apart):
    """In a network namespace of its own the kernel tells of no process: each sweep looks at the threads apart."""

    def supervise(self, *arguments, **options):
        return super().supervise(*arguments, limits=harness.without_connector, **options)

    def test_tracking(self):
        self.assertEqual("sampled", self.supervisor.json("status")["supervisor"]["tracking"])


@needs_root
@unittest.skipUnless({0, 1} <= os.sched_getaffinity(0), "needs CPUs 0 and 1")
class Rights(Case):
    """A system's supervisor, asked by an ordinary user."""

    def setUp(self):
        self.supervisor = self.supervise({}, CONFIG)
        for path in (self.supervisor.directory, self.supervisor.runtime):
            path.chmod(0o755)
        self.user = pwd.getpwnam(harness.ORDINARY)

    def become(self):
        os.setgroups([])
        os.setgid(self.user.pw_gid)
        os.setuid(self.user.pw_uid)

    def asked(self, *words):
        result = subprocess.run([BIN / "gpcsup", "--runtime", self.supervisor.runtime, "attach", "--json", *map(str, words)],
                                env=self.supervisor.environ(), preexec_fn=self.become, capture_output=True, text=True)
        return result.returncode, [(item.get("tid"), item["pid"], item["errno"])
                                   for item in json.loads(result.stdout).get("refused", [])]

    def test_whoever_may_not_move_the_process_may_not_move_its_thread(self):
        roots = Worker(self.supervisor, "-g", "cpus:/zero")
        tid = roots.start("a")
        self.assertEqual((5, [(tid, roots.pid, 13)]), self.asked("--thread", tid, "cpus:/one"))
        self.assertEqual("0", cpus(roots.pid, tid))

    def test_within_what_is_delegated(self):
        self.supervisor.gpcsup("group", "create", "cpus:/own")
        self.supervisor.gpcsup("set", "cpus:/own", f"group.owner={self.user.pw_uid}")
        for name in ("x", "y"):
            self.supervisor.gpcsup("group", "create", f"cpus:/own/{name}")
        self.supervisor.gpcsup("set", "cpus:/own/y", "cpuset.cpus=1")
        theirs = Worker(self.supervisor, "-g", "cpus:/own/x",
                        through=("setpriv", f"--reuid={self.user.pw_uid}", "--clear-groups"))
        tid = theirs.start("a")
        self.assertEqual((0, []), self.asked("--thread", tid, "cpus:/own/y"))
        self.assertEqual("1", cpus(theirs.pid, tid))
        self.assertEqual((5, [(tid, theirs.pid, 13)]), self.asked("--thread", tid, "cpus:/one"))
        # One whom root has put elsewhere is not brought back by moving all of the process.
        self.supervisor.gpcsup("attach", "--thread", tid, "cpus:/zero")
        self.assertEqual((5, [(None, theirs.pid, 13)]), self.asked(theirs.pid, "cpus:/own/y"))
        self.assertEqual("0", cpus(theirs.pid, tid))
        self.supervisor.gpcsup("attach", "--thread", tid, "cpus:/own/x")
        self.assertEqual((0, []), self.asked(theirs.pid, "cpus:/own/y"))


@needs_root
@unittest.skipUnless({0, 1} <= os.sched_getaffinity(0), "needs CPUs 0 and 1")
class Hotplug(Case):
    def test_a_thread_apart_follows_its_own_group(self):
        claimed = harness.ClaimedCpus("0-1")
        self.addCleanup(claimed.close)
        supervisor = self.supervise({}, CONFIG, limits=claimed.show)
        worker = Worker(supervisor, "-g", "cpus:/zero")
        tid = worker.start("a")
        supervisor.gpcsup("attach", "--thread", tid, "cpus:/one")
        events = Events(supervisor)
        self.addCleanup(events.close)
        for online, expected in (("0", ["0", "0"]), ("0-1", ["0", "1"]), ("1", ["1", "1"]), ("0-1", ["0", "1"])):
            claimed.set(online)
            os.kill(supervisor.supervisor_pid(), signal.SIGKILL)  # its successor looks at once
            events.wait_for(lambda event: event["event"] == "supervisor-replaced")
            self.assertEqual(expected, [cpus(worker.pid, each) for each in (worker.pid, tid)], online)


if __name__ == "__main__":
    unittest.main(verbosity=2)
