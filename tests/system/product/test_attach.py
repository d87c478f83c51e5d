"""Attach: all or nothing with a reason for each item, rights, children of the moment, and what `why` tells of it."""

import collections
import json
import os
import pwd
import signal
import subprocess
import unittest

import harness
from harness import BIN, Case, MISBEHAVE, children_of, needs_root, read_line, stat_of, status_field, without_connector

SUPPORT = MISBEHAVE.parent
CONFIG = """
[hierarchy.compute]
controllers = ["cpuset", "cpuacct"]
[hierarchy.compute.group."/a"]
cpuset.cpus = "0"
[hierarchy.compute.group."/b"]
cpuset.cpus = "1"
[hierarchy.compute.group."/free"]
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
"""
SLEEPERS = '[service]\ncommand = ["sh", "-c", "for n in 1 2 3; do sleep 1000 & done; exec sleep 1001"]\n'
IDLE = 'enabled = false\n[service]\ncommand = ["sleep", "1000"]\n'


class Attaching(Case):
    def setUp(self):
        self.supervisor = self.supervise({"sleepers": SLEEPERS, "idle": IDLE}, CONFIG)
        events = harness.Events(self.supervisor, since=0)
        self.addCleanup(events.close)
        self.eventually(lambda: len(self.members("sleepers")) == 4, 20, events, "four sleepers")
        self.pids = sorted(self.members("sleepers"))

    def members(self, what):
        return {row["pid"]: row for row in self.supervisor.json("ps", what)["processes"]}

    def places(self, hierarchy="compute"):
        return {pid: row["place"][hierarchy] for pid, row in self.members("sleepers").items()}

    def attach(self, *words, check=True):
        return self.supervisor.gpcsup("attach", *words, check=check)

    def refused(self, *words):
        """Exit code and list of refusals of a call that must move nobody."""
        before = self.places(), self.places("tenant")
        result = self.attach("--json", *words, check=False)
        self.assertEqual(before, (self.places(), self.places("tenant")), "all or nothing")
        answer = json.loads(result.stdout)
        self.assertEqual([], answer["moved"])
        plain = self.attach(*words, check=False)
        self.assertEqual(result.returncode, plain.returncode, "with and without --json")
        for item in answer["refused"]:
            self.assertIn(item["error"], plain.stderr)
        return result.returncode, answer["refused"]

    def gone(self):
        child = subprocess.Popen(["true"])
        child.wait()
        return child.pid

    def test_many_and_several_hierarchies_at_once(self):
        answer = json.loads(self.attach("--json", *self.pids, "compute:/a", "tenant:/acme").stdout)
        self.assertEqual(self.pids, [row["pid"] for row in answer["moved"]])
        self.assertEqual({False}, {row["already"] for row in answer["moved"]})
        self.assertEqual({("/a", "/acme")}, {(row["place"]["compute"], row["place"]["tenant"]) for row in answer["moved"]})
        self.assertEqual({"0"}, {status_field(pid, "Cpus_allowed_list") for pid in self.pids})
        again = json.loads(self.attach("--json", *self.pids, "compute:/a", "tenant:/acme").stdout)
        self.assertEqual([True] * 4, [row["already"] for row in again["moved"]])
        self.assertIn("already there", self.attach(self.pids[0], "compute:/a").stdout)

    def test_a_tree(self):
        main = self.supervisor.unit("sleepers")["pid"]
        self.attach("--tree", main, "compute:/b")
        self.assertEqual({"/b"}, set(self.places().values()))
        self.attach(main, "compute:/a")
        self.assertEqual({main: "/a"}, {pid: path for pid, path in self.places().items() if path != "/b"})
        self.attach("sleepers", "compute:/free")
        self.assertEqual({"/free"}, set(self.places().values()))

    def test_every_item_has_its_reason(self):
        gone = self.gone()
        code, items = self.refused(self.pids[0], gone, "12ab", "nobody-knows", self.supervisor.init.pid, "idle", "compute:/a")
        self.assertEqual(1, code, "different reasons")
        by_name = {item.get("pid") or item["unit"]: item for item in items}
        self.assertEqual({gone, "12ab", "nobody-knows", self.supervisor.init.pid, "idle"}, set(by_name))
        self.assertEqual("there is no such process", by_name[gone]["error"])
        self.assertEqual({"compute:/a"}, {item["group"] for item in items})
        self.assertIn("gpc-init itself", by_name[self.supervisor.init.pid]["error"])
        self.assertIn("has no processes", by_name["idle"]["error"])

    def test_exit_codes(self):
        for expected, errno, words in (
                (4, 3, (self.gone(), "compute:/a")), (4, 3, ("99999999999999999999", "compute:/a")),
                (64, 22, ("12ab", "compute:/a")), (64, 22, ("0", "compute:/a")),
                (4, 2, (self.pids[0], "compute:/not-there")), (64, 22, (self.pids[0], "unit:/sleepers")),
                (64, 22, (self.pids[0], "compute:/a", "compute:/b")), (64, 22, (os.getpid(), "compute:/a")),
                (3, 3, ("idle", "compute:/a"))):
            with self.subTest(words=words):
                code, items = self.refused(*words)
                self.assertEqual((expected, {errno}), (code, {item["errno"] for item in items}), items)

    def test_a_removed_group(self):
        self.supervisor.gpcsup("group", "create", "compute:/short")
        self.supervisor.gpcsup("group", "remove", "compute:/short")
        self.assertEqual((4, [2]), (lambda code, items: (code, [item["errno"] for item in items]))(
            *self.refused(self.pids[0], "compute:/short")))

    def test_our_own_programs_stay(self):
        for name in ("gpcsupd", "gpc-logd"):
            code, items = self.refused(self.supervisor.helper(name), "compute:/a")
            self.assertEqual(64, code)
            self.assertIn("gpcsup's own programs", items[0]["error"])

    def test_a_thread_is_refused_where_figures_are_a_process_s(self):
        result = self.attach("--thread", self.pids[0], "compute:/a", check=False)
        self.assertEqual(1, result.returncode)
        self.assertIn("controller cpuacct, whose figures are a process's", result.stderr)
        self.assertEqual({"/"}, set(self.places().values()))

    def test_thirty_in_one_call(self):
        self.supervisor.gpcsup("run", "--detach", "--name", "thirty", "--", "sh", "-c",
                               "i=0; while [ $i -lt 29 ]; do sleep 1000 & i=$((i+1)); done; exec sleep 1000")
        events = harness.Events(self.supervisor, since=0)
        self.addCleanup(events.close)
        deadline = harness.time.monotonic() + 20 * harness.SLOW
        while len(self.members("thirty")) < 30 and harness.time.monotonic() < deadline:
            events.next(min(deadline, harness.time.monotonic() + 0.2))
        pids = sorted(self.members("thirty"))
        answer = json.loads(self.attach("--json", *pids, "compute:/b", "tenant:/acme").stdout)
        self.assertEqual(pids, [row["pid"] for row in answer["moved"]])
        self.assertEqual({"1"}, {status_field(pid, "Cpus_allowed_list") for pid in pids})

    # --- why --------------------------------------------------------------------------------------------------
    def test_why_a_process_is_where_it_is(self):
        main = self.supervisor.unit("sleepers")["pid"]
        child = next(pid for pid in self.pids if pid != main)
        self.assertEqual(("started", None), self.origin(main))
        self.assertEqual(("inherited", None), self.origin(child))
        self.attach(child, "compute:/a")
        self.refused(child, self.gone(), "compute:/b")
        told = self.supervisor.json("why", child)
        self.assertEqual(({"compute": "/a"}, "/a", "sleepers"),
                         (told["attached"]["place"], told["place"]["compute"], told["unit"]))
        self.assertIsNone(told["refused"], "it was not this one that was refused")
        event = next(event for event in self.history() if event["seq"] == told["attached"]["seq"])
        self.assertEqual(("attached", child), (event["event"], event["moved"][0]["pid"]))
        self.supervisor.gpcsup("attach", "--json", self.supervisor.helper("gpcsupd"), "compute:/a", check=False)
        self.assertIn("attached to compute:/a", self.supervisor.gpcsup("why", child).stdout)
        self.assertEqual(4, self.supervisor.gpcsup("why", self.gone(), check=False).returncode)

    def origin(self, pid):
        told = self.supervisor.json("why", pid)
        return told["origin"]["how"], told["attached"]

    def history(self):
        return [json.loads(text) for text in self.supervisor.gpcsup("events", "--json", "--since", "0").stdout.splitlines()]

    def test_why_a_group_cannot_be_removed(self):
        self.supervisor.gpcsup("group", "create", "-p", "compute:/a/below")
        self.assertEqual((False, ["compute:/a/below"]), self.in_the_way("compute:/a")[:2])
        self.attach(self.pids[0], "compute:/a/below")
        self.assertEqual(1, self.supervisor.gpcsup("group", "remove", "compute:/a/below", check=False).returncode)
        told = self.supervisor.json("why", "compute:/a/below")
        self.assertEqual((False, [self.pids[0]]), (told["removable"], [row["pid"] for row in told["processes"]]))
        self.assertEqual(["refused-remove"], [event["event"] for event in told["refusals"]])
        self.assertIn(str(self.pids[0]), told["refusals"][0]["reason"])
        self.attach(self.pids[0], "compute:/")
        self.assertTrue(self.supervisor.json("why", "compute:/a/below")["removable"])
        self.assertNotEqual(0, self.supervisor.gpcsup("set", "compute:/a/below", "cpuset.cpus=1", check=False).returncode)
        told = self.supervisor.json("why", "compute:/a/below")
        self.assertEqual({"refused-remove", "refused-set"}, {event["event"] for event in told["refusals"]})
        self.assertIn("can be removed", self.supervisor.gpcsup("why", "compute:/a/below").stdout)

    def in_the_way(self, group):
        told = self.supervisor.json("why", group)
        return told["removable"], told["children"], told["processes"]

    def test_refusals_in_a_loop_leave_room_for_others(self):
        for _ in range(60):
            self.attach("99999999", "compute:/a", check=False)
        kinds = collections.Counter(event["event"] for event in self.history())
        self.assertGreater(kinds["refused-attach"], 0)
        self.assertIn("unit-active", kinds)


class AttachingAsOrdinaryUser(Attaching):
    user = harness.ORDINARY if os.getuid() == 0 else None


@needs_root
class Rights(Case):
    """A system's supervisor, asked by an ordinary user who manages nothing there."""

    def test_a_stranger_may_not_move_anybody(self):
        supervisor = self.supervise({"sleepers": SLEEPERS}, CONFIG)
        for path in (supervisor.directory, supervisor.runtime):
            path.chmod(0o755)
        user = pwd.getpwnam(harness.ORDINARY)
        theirs = supervisor.gpcsup("run", "--detach", "--name", "theirs", "--", "setpriv", f"--reuid={user.pw_uid}",
                                   "--clear-groups", "sleep", "1000")
        self.assertEqual(0, theirs.returncode)
        own, root = supervisor.unit("theirs")["pid"], supervisor.unit("sleepers")["pid"]

        def become():
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        asked = subprocess.run([BIN / "gpcsup", "--runtime", supervisor.runtime, "attach", "--json", str(own), str(root),
                                "compute:/a"], env=supervisor.environ(), preexec_fn=become, capture_output=True, text=True)
        self.assertEqual(5, asked.returncode, asked.stderr)
        items = {item["pid"]: item for item in json.loads(asked.stdout)["refused"]}
        self.assertEqual(({own, root}, {13}), (set(items), {item["errno"] for item in items.values()}))
        self.assertIn("it is a process of user 0", items[root]["error"])
        self.assertIn("may", items[own]["error"])
        events = [json.loads(text) for text in supervisor.gpcsup("events", "--json", "--since", "0").stdout.splitlines()]
        self.assertEqual({user.pw_uid}, {event["uid"] for event in events if event["event"] == "refused-attach"})
        self.assertEqual("/", supervisor.json("why", own)["place"]["compute"])
        self.assertEqual(13, supervisor.json("why", own)["refused"]["errno"])


# Does what each line says: "fork N": a descendant N generations below a child says its pid; "end PID": that child, waited for.
FAMILY = """
import os, signal, sys
def live(below):
    if below == 0:
        print(os.getpid(), flush=True)
    elif os.fork() == 0:
        live(below - 1)
    while True:
        signal.pause()
for order in sys.stdin:
    word, number = order.split()
    if word == "end":
        os.kill(int(number), signal.SIGKILL)
        os.waitpid(int(number), 0)
        print("ended", flush=True)
    elif os.fork() == 0:
        live(int(number))
"""


@needs_root
class Sampled(Case):
    """Without the process connector: what a sweep has not met yet, or has not missed yet."""

    def start(self, *before, group="compute:/free"):
        supervisor = self.supervise({}, CONFIG, limits=without_connector)
        self.assertEqual("sampled", supervisor.json("status")["supervisor"]["tracking"])
        if group != "compute:/free":
            supervisor.gpcsup("group", "create", "-p", group)
        self.family = supervisor.popen("run", "--name", "family", "-g", group, "--", *before, "/usr/bin/python3", "-c", FAMILY,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.family.stdin.close)
        return supervisor

    def order(self, word, number):
        self.family.stdin.write(f"{word} {number}\n".encode())
        self.family.stdin.flush()
        return read_line(self.family.stdout)

    def test_a_process_that_no_sweep_has_met_is_attached(self):
        supervisor = self.start()
        for generations in range(3):
            pid = int(self.order("fork", generations))
            answer = json.loads(supervisor.gpcsup("attach", "--json", pid, "compute:/a").stdout)
            self.assertEqual([(pid, "/a", False)], [(row["pid"], row["place"]["compute"], row["already"]) for row in answer["moved"]])
            self.assertEqual("0", status_field(pid, "Cpus_allowed_list"))
            parent = int(stat_of(pid)[1])
            self.assertEqual("/free", supervisor.json("why", parent)["place"]["compute"])
        stranger = supervisor.gpcsup("attach", os.getpid(), "compute:/a", check=False)
        self.assertIn("does not descend from this gpc-init", stranger.stderr)

    def test_a_tree_with_what_no_sweep_has_met(self):
        supervisor = self.start()
        pids = [int(self.order("fork", generations)) for generations in (0, 1, 2)]
        supervisor.gpcsup("attach", "--tree", supervisor.unit("family")["pid"], "compute:/b")
        for pid in pids:
            self.assertEqual("1", status_field(pid, "Cpus_allowed_list"))
            self.assertEqual("/b", supervisor.json("why", pid)["place"]["compute"])

    def test_a_user_s_tree_of_which_some_have_just_ended(self):
        user = pwd.getpwnam(harness.ORDINARY)
        supervisor = self.start("setpriv", f"--reuid={user.pw_uid}", "--clear-groups", group="compute:/theirs/a")
        supervisor.gpcsup("group", "create", "compute:/theirs/b")
        for group in ("compute:/theirs", "compute:/theirs/b"):
            supervisor.gpcsup("set", group, f"group.owner={user.pw_uid}")
        for path in (supervisor.directory, supervisor.runtime):
            path.chmod(0o755)
        children = [int(self.order("fork", 0)) for _ in range(4)]
        main = supervisor.unit("family")["pid"]
        supervisor.gpcsup("attach", "--tree", main, "compute:/theirs/a")  # all of them are known from here on
        supervisor.user = user  # who asks from here on

        for target in ("b", "a"):
            ended = children.pop()
            self.assertEqual("ended", self.order("end", ended))
            answer = json.loads(supervisor.gpcsup("attach", "--json", "--tree", main, f"compute:/theirs/{target}").stdout)
            self.assertEqual({main, *children}, {row["pid"] for row in answer["moved"]})
        ended = children.pop()
        self.order("end", ended)
        named = supervisor.gpcsup("attach", main, ended, "compute:/theirs/b", check=False)
        self.assertEqual((4, ""), (named.returncode, named.stdout), named.stderr)
        self.assertIn(f"{ended}: ", named.stderr)


@needs_root
class RefusedByAController(Case):
    """Several processes, two hierarchies: what one controller cannot do to one of them moves nobody."""

    user = harness.ORDINARY

    def look(self, supervisor, pids):
        places = {row["pid"]: row["place"] for row in supervisor.json("ps")["processes"] if row["pid"] in pids}
        masks = {tid: status_field(pid, "Cpus_allowed_list", tid) for pid in pids for tid in harness.threads_of(pid)}
        return places, masks

    def test_nobody_moves_and_each_item_has_its_error(self):
        command = self.command_of_root()
        supervisor = self.supervise({"ours": SLEEPERS, "roots": f"[service]\ncommand = {command}\n"}, CONFIG)
        events = harness.Events(supervisor, since=0)
        self.addCleanup(events.close)
        root = supervisor.unit("roots")["pid"]
        self.addCleanup(lambda: os.kill(root, signal.SIGKILL))
        self.eventually(lambda: len(supervisor.json("ps", "ours")["processes"]) == 4
                        and (status_field(root, "Uid") or "1").split()[0] == "0", 20, events, "four of ours, one of root's")
        ours = [row["pid"] for row in supervisor.json("ps", "ours")["processes"]]
        before = self.look(supervisor, [*ours, root])
        self.assertEqual(5, len(before[0]))
        result = supervisor.gpcsup("attach", "--json", *ours, root, "compute:/a", "tenant:/acme", check=False)
        self.assertEqual(5, result.returncode, result)
        refused = json.loads(result.stdout)["refused"]
        self.assertEqual([(root, "compute:/a", 1)], [(item["pid"], item["group"], item["errno"]) for item in refused])
        self.assertEqual(before, self.look(supervisor, [*ours, root]))
        # Threads, where a controller's figures are a process's: asked before anybody moves.
        result = supervisor.gpcsup("attach", "--json", "--thread", *ours, "compute:/a", "tenant:/acme", check=False)
        refused = json.loads(result.stdout)["refused"]
        self.assertEqual({(tid, tid, group, 95) for tid in ours for group in ("compute:/a", "tenant:/acme")},
                         {(item["tid"], item["pid"], item["group"], item["errno"]) for item in refused})
        self.assertEqual(before, self.look(supervisor, [*ours, root]))
        moved = json.loads(supervisor.gpcsup("attach", "--json", *ours, "compute:/a", "tenant:/acme").stdout)["moved"]
        self.assertEqual(sorted(ours), [row["pid"] for row in moved])


@unittest.skipUnless((SUPPORT / "brood").exists() and (SUPPORT / "mover").exists(), "needs brood and mover")
class MovingAForker(Case):
    """A task that forks as fast as it can, moved between two groups: every child is in one of the two, whole."""

    moves, rounds, kept = 10_000, 10, 100

    def test_every_child_is_in_one_of_the_two(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("needs two CPUs to tell the groups apart")
        supervisor = self.supervise({}, CONFIG)
        brood = supervisor.popen("run", "--name", "brood", "-g", "compute:/a", "--", SUPPORT / "brood", self.kept,
                                 stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.assertEqual("going 0", read_line(brood.stdout))
        parent = supervisor.unit("brood")["pid"]
        masks, taken, seen = {"/a": "0", "/b": "1"}, [], collections.Counter()
        for _ in range(self.rounds):
            moved = subprocess.run([SUPPORT / "mover", supervisor.runtime, str(self.moves // self.rounds), "compute:/a",
                                    "compute:/b", str(parent)], capture_output=True, text=True, timeout=300 * harness.SLOW,
                                   preexec_fn=supervisor.become)
            self.assertEqual(0, moved.returncode, moved.stderr)
            taken.append(json.loads(moved.stdout))
            os.kill(parent, signal.SIGUSR1)
            forks = int(read_line(brood.stdout).removeprefix("paused "))
            alive = {pid for pid in children_of(parent) if (stat_of(pid) or "X")[0] not in "ZX"} | {parent}
            rows = {row["pid"]: row["place"] for row in supervisor.json("ps", "brood")["processes"]}
            self.assertEqual(alive, set(rows), "nobody is nowhere, nobody is twice")
            self.assertEqual(min(forks, self.kept) + 1, len(alive))
            for pid, place in rows.items():
                self.assertIn(place["compute"], masks)
                self.assertEqual(masks[place["compute"]], status_field(pid, "Cpus_allowed_list"), f"{pid} in {place}")
                seen[place["compute"]] += 1
            groups = {row["group"]: row["processes"] for row in supervisor.json("group", "list", "compute")["groups"]}
            self.assertEqual(len(alive), groups["compute:/a"] + groups["compute:/b"])
            os.kill(parent, signal.SIGUSR1)
            self.assertEqual(f"going {forks}", read_line(brood.stdout))
        self.assertGreater(forks, self.moves // 100, "it did fork meanwhile, on however busy a machine")
        print(f"{self.moves} moves beside {forks} forks: {sum(each['seconds'] for each in taken):.1f} s, median "
              f"{sorted(each['median_us'] for each in taken)[self.rounds // 2]:.0f} us a move; seen {dict(seen)}")
        supervisor.gpcsup("stop", "brood")
        self.assertEqual([], supervisor.services())


class MovingAForkerAsOrdinaryUser(MovingAForker):
    user = harness.ORDINARY if os.getuid() == 0 else None
    moves, rounds = 2_000, 5


if __name__ == "__main__":
    unittest.main(verbosity=2)
