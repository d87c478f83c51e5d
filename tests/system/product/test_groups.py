"""Hierarchies at run time, groups, delegation and removal, seen from outside; the documented examples of the original."""

import contextlib
import errno
import json
import os
import pwd
import signal
import subprocess
import time
import unittest

import harness
from harness import Case, Events, read_line, stat_of, status_field, wait_gone

EMPTY = "[hierarchy.compute]\ncontrollers = [\"cpuset\"]\n"
SLEEPER = '[service]\ncommand = ["sleep", "100000"]\n'
# Forks when it is told to, and says what came of it.
FORKER = '''import os, sys
commands, answers = open(sys.argv[1]), open(sys.argv[2], "w", buffering=1)
for line in commands:
    try:
        child = os.fork()
    except OSError as error:
        print("refused", error.errno, file=answers)
        continue
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    print("forked", file=answers)
'''


class GroupCase(Case):
    def start(self, units=None, config=EMPTY, **options):
        self.supervisor = self.supervise(units or {}, config, **options)
        self.addCleanup(setattr, self, "supervisor", None)
        return self.supervisor

    def run_gpcsup(self, *arguments):
        return self.supervisor.gpcsup(*arguments)

    def refused(self, *arguments, status=1, says=()):
        result = self.supervisor.gpcsup(*arguments, check=False)
        self.assertEqual(status, result.returncode, f"{arguments}: {result.stdout}{result.stderr}")
        for text in (says,) if isinstance(says, str) else says:
            self.assertIn(text, result.stderr)
        return result.stderr

    def hierarchies(self):
        return {row["name"]: row for row in self.supervisor.json("hierarchy", "list")["hierarchies"]}

    def unbound(self):
        return self.supervisor.json("hierarchy", "list")["unbound"]

    def groups(self, prefix=""):
        return [row["group"] for row in self.supervisor.json("group", "list", *([prefix] if prefix else []))["groups"]]

    def get(self, group, attribute):
        return self.supervisor.json("get", group, attribute)["attributes"][attribute]

    def sleeper(self, *groups, command=("sleep", "100000")):
        """A process born in these groups: its pid, from its own unit."""
        places = [word for group in groups for word in ("-g", group)]
        name = self.supervisor.gpcsup("run", "--detach", *places, "--", *command).stdout.split()[0]
        return self.supervisor.unit(name)["pid"]

    def place(self, pid):
        return {row["pid"]: row["place"] for row in self.supervisor.json("ps")["processes"]}[pid]

    def events(self, *kinds):
        lines = self.supervisor.gpcsup("events", "--json").stdout.splitlines()
        return [event for event in map(json.loads, lines) if event["event"] in kinds]

    def kill_supervisor(self):
        killed = self.supervisor.helper("gpcsupd")
        os.kill(killed, signal.SIGKILL)
        self.assertTrue(wait_gone(killed, 10))


class Hierarchies(GroupCase):
    """Section 1.1 and the examples of section 8 that concern mounting."""

    def test_the_same_set_again_is_the_same_hierarchy_and_a_part_of_it_is_busy(self):
        self.start(config="")
        self.run_gpcsup("hierarchy", "create", "both", "cpuset", "numtasks")
        self.run_gpcsup("group", "create", "both:/child")
        self.run_gpcsup("hierarchy", "create", "both", "numtasks", "cpuset")
        self.assertEqual(["both:/", "both:/child"], self.groups("both"))
        self.refused("hierarchy", "create", "other", "cpuset", says="controller cpuset is bound to hierarchy both already")
        self.refused("hierarchy", "create", "both", "cpuset", says="exists with other controllers")
        self.refused("hierarchy", "create", "x", "cpuste", status=4, says="did you mean 'cpuset'?")
        self.refused("hierarchy", "create", "x", "cpuacct", "", status=4)
        self.refused("hierarchy", "create", "x", "cpuacct", "cpuacct", status=64, says="named twice")
        self.assertEqual({"unit", "both"}, set(self.hierarchies()))
        created = self.events("hierarchy-created")
        self.assertEqual([("both", ["cpuset", "numtasks"])], [(one["hierarchy"], one["controllers"]) for one in created])

    def test_there_are_so_many_hierarchies_and_no_more(self):
        self.start(config="")
        for number in range(15):
            self.run_gpcsup("hierarchy", "create", f"h{number}")
        self.refused("hierarchy", "create", "one-more", says="there are 16 already")

    def test_children_keep_a_hierarchy(self):
        self.start(config="")
        self.run_gpcsup("hierarchy", "create", "first", "cpuset", "numtasks")
        self.run_gpcsup("group", "create", "first:/child")
        self.refused("hierarchy", "remove", "first", says="it has the child child")
        self.assertEqual(["first:/", "first:/child"], self.groups("first"))
        self.run_gpcsup("group", "remove", "first:/child")
        self.run_gpcsup("hierarchy", "remove", "first")
        self.refused("hierarchy", "remove", "first", status=4)
        self.run_gpcsup("hierarchy", "create", "second", "numtasks")
        self.run_gpcsup("hierarchy", "create", "third", "cpuset")
        self.assertEqual(["first"], [one["hierarchy"] for one in self.events("hierarchy-removed")])
        self.refused("hierarchy", "remove", "unit", says="built in")

    def test_rebinding_needs_an_empty_tree(self):
        self.start(config="")
        self.run_gpcsup("hierarchy", "create", "h", "numtasks")
        self.run_gpcsup("set", "h:/", "numtasks.limit=5000")
        self.run_gpcsup("hierarchy", "rebind", "h", "cpuset", "cpuacct")
        self.assertEqual(["cpuset", "cpuacct"], self.hierarchies()["h"]["controllers"])
        self.assertIn("numtasks", self.unbound())
        self.run_gpcsup("group", "create", "h:/child")
        self.refused("hierarchy", "rebind", "h", "numtasks", says="it has the child child")
        self.run_gpcsup("group", "remove", "h:/child")
        self.run_gpcsup("hierarchy", "rebind", "h", "numtasks")
        self.assertIsNone(self.get("h:/", "numtasks.limit"), "what left has forgotten its settings")
        self.run_gpcsup("hierarchy", "rebind", "h")
        self.assertEqual([], self.hierarchies()["h"]["controllers"])
        self.assertEqual(3, len(self.events("hierarchy-rebound")))
        self.refused("hierarchy", "rebind", "unit", "cpuacct", status=64)

    def test_a_tracking_only_hierarchy(self):
        self.start(config="")
        self.run_gpcsup("hierarchy", "create", "trk")
        self.refused("hierarchy", "create", "trk", "cpuset", says="exists with other controllers")
        self.refused("hierarchy", "create", "bad name!", status=64)
        self.run_gpcsup("group", "create", "trk:/a")
        pid = self.sleeper("trk:/a")
        self.assertEqual("/a", self.place(pid)["trk"])

    def test_an_unbound_controller_accounts_everything_in_one_place(self):
        supervisor = self.start(config="")
        self.assertEqual({"cpuacct", "cpuset", "numtasks"}, set(self.unbound()) & {"cpuacct", "cpuset", "numtasks"})
        supervisor.gpcsup("run", "--", "python3", "-c", "import time\nwhile time.process_time() < 0.5: pass")
        answer = supervisor.json("get", "cpuacct:/")
        self.assertTrue(answer["unbound"])
        self.assertGreaterEqual(answer["attributes"]["cpuacct.usage"], 500_000_000)
        pid = self.sleeper()
        self.assertGreaterEqual(self.get("numtasks:/", "numtasks.processes"), 1)
        self.assertNotIn("cpuacct", self.place(pid))
        for arguments in (("set", "numtasks:/", "numtasks.limit=3"), ("group", "create", "cpuacct:/a"),
                          ("attach", str(pid), "cpuacct:/"), ("ps", "cpuacct:/"), ("get", "cpuacct:/a")):
            self.refused(*arguments, status=64, says=("unbound", "bind it with gpcsup hierarchy create or rebind"))
        self.assertIn("unbound", supervisor.gpcsup("hierarchy", "list").stdout)
        supervisor.gpcsup("hierarchy", "create", "h", "cpuacct")
        bound = self.get("h:/", "cpuacct.usage")
        self.assertGreaterEqual(bound, answer["attributes"]["cpuacct.usage"], "binding loses nothing")
        supervisor.gpcsup("hierarchy", "remove", "h")
        self.assertGreaterEqual(self.get("cpuacct:/", "cpuacct.usage"), bound, "nor does unbinding")

    def test_a_limited_process_follows_the_hierarchy_of_its_limit(self):
        supervisor = self.start(config="")
        pipes = [supervisor.directory / name for name in ("commands", "answers")]
        for pipe in pipes:
            os.mkfifo(pipe)
            if supervisor.user:
                os.chown(pipe, supervisor.user.pw_uid, supervisor.user.pw_gid)
        supervisor.gpcsup("hierarchy", "create", "first", "numtasks")
        supervisor.gpcsup("run", "--detach", "-l", "numtasks.limit=1000", "--", "python3", "-c", FORKER, *map(str, pipes))
        with open(pipes[0], "w", buffering=1) as commands, open(pipes[1]) as answers:
            def fork():
                commands.write("fork\n")
                return answers.readline().split()[0]

            self.assertEqual("forked", fork())
            pid = next(pid for pid in supervisor.services() if harness.command_name(pid) == "python3")
            supervisor.gpcsup("attach", str(pid), "first:/")
            for group in self.groups("first")[1:]:
                supervisor.gpcsup("group", "remove", group)
            supervisor.gpcsup("set", "first:/", "numtasks.limit=1")
            self.assertEqual("refused", fork())
            supervisor.gpcsup("hierarchy", "remove", "first")
            self.assertEqual("forked", fork(), "the limit went with its hierarchy")
            supervisor.gpcsup("hierarchy", "create", "second", "numtasks")
            self.assertEqual("forked", fork())
            supervisor.gpcsup("set", "second:/", "numtasks.limit=1")
            self.assertEqual("refused", fork(), "the limit of the new hierarchy binds a process that runs")
            self.kill_supervisor()
            self.assertEqual("refused", fork(), "also for a successor")
            supervisor.gpcsup("hierarchy", "rebind", "second", "cpuacct")
            self.assertEqual("forked", fork())
            supervisor.gpcsup("hierarchy", "rebind", "second", "cpuacct", "numtasks")
            self.assertEqual("forked", fork(), "a limit that left is forgotten")
            supervisor.gpcsup("set", "second:/", "numtasks.limit=1")
            self.assertEqual("refused", fork())

    def test_what_was_answered_outlives_the_supervisor(self):
        supervisor = self.start()
        supervisor.gpcsup("hierarchy", "create", "late", "numtasks")
        supervisor.gpcsup("hierarchy", "create", "gone")
        supervisor.gpcsup("hierarchy", "remove", "gone")
        supervisor.gpcsup("set", "late:/", "group.notify_on_release=true", "group.max_depth=3")
        supervisor.gpcsup("group", "create", "-p", "late:/a/b")
        supervisor.gpcsup("set", "late:/a", "group.max_descendants=1", "numtasks.limit=77")
        pid = self.sleeper("late:/a/b")
        self.kill_supervisor()
        self.assertEqual({"unit", "compute", "late"}, set(self.hierarchies()))
        self.assertEqual(["late:/", "late:/a", "late:/a/b"], self.groups("late"))
        self.assertEqual("/a/b", self.place(pid)["late"])
        self.assertTrue(self.get("late:/a/b", "group.notify_on_release"), "inherited")
        self.assertEqual((3, 1, 77), (self.get("late:/", "group.max_depth"), self.get("late:/a", "group.max_descendants"),
                                      self.get("late:/a", "numtasks.limit")))
        self.refused("group", "create", "late:/a/c", says="allows 1 group below it")
        self.refused("hierarchy", "remove", "late")

    def test_killing_the_supervisor_in_the_middle(self):
        """Commands run while gpcsupd is killed again and again: each is carried out once, nothing is half there."""
        supervisor = self.start()
        rounds = int(os.environ.get("GPCSUP_KILLS", "20"))
        for number in range(rounds):
            busy = [supervisor.popen("hierarchy", "create", f"h{number % 5}", stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT),
                    supervisor.popen("group", "create", "-p", f"compute:/g{number}/sub", stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT)]
            killed = supervisor.helper("gpcsupd")
            if killed is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(killed, signal.SIGKILL)
                self.assertTrue(wait_gone(killed, 10))
            for client in busy:
                self.assertEqual(0, client.wait(30), client.stdout.read())
            removal = supervisor.popen("group", "remove", "-r", f"compute:/g{number}", stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)
            killed = supervisor.helper("gpcsupd")
            if killed is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(killed, signal.SIGKILL)
            self.assertEqual(0, removal.wait(30), removal.stdout.read())
            self.assertEqual(["compute:/"], self.groups("compute"))
        self.assertEqual({"unit", "compute", *(f"h{number}" for number in range(min(5, rounds)))}, set(self.hierarchies()))


class Groups(GroupCase):
    """Section 1.2 and the examples of section 8 that concern directories."""

    def test_charlie(self):
        """mkdir Charlie, set its CPUs, start a shell there: it and its children are in /charlie and on those CPUs."""
        self.start()
        cpu = max(os.sched_getaffinity(0))
        self.run_gpcsup("group", "create", "compute:/charlie")
        self.run_gpcsup("set", "compute:/charlie", f"cpuset.cpus={cpu}")
        client = self.supervisor.popen("run", "-g", "compute:/charlie", "--", "sh", "-c",
                                       "sleep 100000 & echo $$ $!; wait", stdout=subprocess.PIPE)
        shell, child = map(int, read_line(client.stdout).split())
        rows = {row["pid"]: row for row in self.supervisor.json("ps", "compute:/charlie")["processes"]}
        self.assertEqual({shell, child}, set(rows))
        for pid, row in rows.items():
            self.assertEqual("/charlie", row["place"]["compute"])
            self.assertEqual(str(cpu), status_field(pid, "Cpus_allowed_list"))

    def test_a_fresh_child(self):
        self.start()
        self.run_gpcsup("group", "create", "compute:/fresh")
        attributes = self.supervisor.json("get", "compute:/fresh")["attributes"]
        self.assertEqual((False, 0, False, "none", None, None, ""),
                         tuple(attributes[name] for name in (
                             "group.populated", "group.references", "group.notify_on_release", "group.owner",
                             "group.max_depth", "group.max_descendants", "cpuset.cpus")))

    def test_removing_needs_an_empty_group_and_names_what_is_in_the_way(self):
        self.start()
        self.run_gpcsup("group", "create", "-p", "compute:/my_container/my_sub_cs")
        self.refused("group", "remove", "compute:/my_container", says="it has the child my_sub_cs")
        self.run_gpcsup("group", "remove", "compute:/my_container/my_sub_cs")
        pid = self.sleeper("compute:/my_container")
        self.refused("group", "remove", "compute:/my_container", says=f"1 process is in it: {pid}")
        self.refused("group", "remove", "compute:/", says="root of its hierarchy")
        os.kill(pid, signal.SIGKILL)
        wait_gone(pid, 10)
        self.run_gpcsup("group", "remove", "compute:/my_container")
        self.refused("set", "compute:/my_container", "cpuset.cpus=0", status=4, says="there is no group")
        self.refused("group", "remove", "compute:/my_container", status=4)

    def test_renaming_within_the_parent(self):
        self.start()
        self.run_gpcsup("group", "create", "-p", "compute:/a/x")
        self.run_gpcsup("group", "create", "compute:/b")
        pid = self.sleeper("compute:/a/x")
        self.run_gpcsup("group", "rename", "compute:/a", "c")
        self.assertEqual("/c/x", self.place(pid)["compute"])
        self.refused("group", "rename", "compute:/c", "b", says="exists")
        self.refused("group", "rename", "compute:/c/x", "compute:/b/x", status=64, says="somewhere else")
        self.refused("group", "rename", "compute:/", "d", status=64)
        renamed = self.events("group-renamed")
        self.assertEqual([("compute:/a", "compute:/c")], [(one["from"], one["group"]) for one in renamed])
        self.kill_supervisor()
        self.assertEqual("/c/x", self.place(pid)["compute"])

    def test_two_hierarchies_are_independent(self):
        """The university: a browser moves to another class of CPUs and back; its network class does not change."""
        self.start()
        self.run_gpcsup("hierarchy", "create", "net")
        for group in ("net:/www", "compute:/students", "compute:/professors"):
            self.run_gpcsup("group", "create", group)
        browser = self.sleeper("net:/www", "compute:/students")
        self.run_gpcsup("attach", browser, "compute:/professors")
        self.assertEqual(("/www", "/professors"), tuple(map(self.place(browser).get, ("net", "compute"))))
        self.run_gpcsup("attach", browser, "compute:/students")
        self.assertEqual(("/www", "/students"), tuple(map(self.place(browser).get, ("net", "compute"))))

    def test_creating(self):
        self.start()
        self.refused("group", "create", "compute:/a/b", status=4, says="`-p` makes the parents")
        self.run_gpcsup("group", "create", "-p", "compute:/a/b")
        self.run_gpcsup("group", "create", "-p", "compute:/a/b")
        self.refused("group", "create", "compute:/a/b", says="exists")
        self.refused("group", "create", "compute:/" + "n" * 256)
        self.refused("group", "create", "compute:/..", status=64)
        self.refused("group", "create", "unit:/mine", status=64, says="made and removed with their units")
        self.assertEqual(["compute:/a", "compute:/a/b"], [one["group"] for one in self.events("group-created")])

    def test_bounds_on_depth_and_number(self):
        self.start()
        self.run_gpcsup("group", "create", "compute:/a")
        self.run_gpcsup("set", "compute:/a", "group.max_depth=1", "group.max_descendants=2")
        self.refused("group", "create", "-p", "compute:/a/b/c", says="allows 1 level of groups below it")
        self.assertEqual(["compute:/", "compute:/a"], self.groups("compute"), "and nothing half made")
        self.run_gpcsup("group", "create", "compute:/a/b", "compute:/a/c")
        self.refused("group", "create", "compute:/a/d", says="allows 2 groups below it and has 2")
        self.run_gpcsup("group", "remove", "compute:/a/b")
        self.run_gpcsup("group", "create", "compute:/a/d")
        self.run_gpcsup("set", "compute:/a", "group.max_descendants=max")
        self.run_gpcsup("group", "create", "compute:/a/e")

    def test_inheritance(self):
        self.start()
        cpu = str(max(os.sched_getaffinity(0)))
        self.run_gpcsup("group", "create", "compute:/a")
        self.run_gpcsup("set", "compute:/a", f"cpuset.cpus={cpu}", "group.notify_on_release=true",
                        "group.clone_children=true", "group.owner=12345", "group.max_depth=3", "group.auto_remove=true")
        self.run_gpcsup("group", "create", "compute:/a/b")
        self.kill_supervisor()
        child = self.supervisor.json("get", "compute:/a/b")["attributes"]
        self.assertEqual((cpu, True, True, 12345, None, False),
                         tuple(child[name] for name in (
                             "cpuset.cpus", "group.notify_on_release", "group.clone_children", "group.owner",
                             "group.max_depth", "group.auto_remove")))

    def test_the_owner_is_a_number_or_a_name_on_the_command_line(self):
        self.start()
        self.run_gpcsup("group", "create", "compute:/a")
        self.run_gpcsup("set", "compute:/a", f"group.owner={harness.ORDINARY}")
        self.assertEqual(pwd.getpwnam(harness.ORDINARY).pw_uid, self.get("compute:/a", "group.owner"))
        self.run_gpcsup("set", "compute:/a", "group.owner=none")
        self.assertEqual("none", self.get("compute:/a", "group.owner"))
        self.refused("set", "compute:/a", "group.owner=no-such-user", status=4, says="there is no user")

    def test_how_a_setting_is_refused(self):
        """1: a controller was asked, and said no, with whatever errno. 5 is for rights, 64 for slips, 4 for what is not there."""
        config = """[hierarchy.compute]\ncontrollers = ["cpuset", "memset", "numfiles", "freezer"]
[hierarchy.tenant]\ncontrollers = ["numtasks", "cpuacct"]\n"""
        cpu = max(os.sched_getaffinity(0))
        self.start(config=config)
        self.run_gpcsup("group", "create", "-p", "compute:/a/below", "compute:/b", "tenant:/acme")
        self.run_gpcsup("set", "compute:/a", f"cpuset.cpus={cpu}")
        self.run_gpcsup("set", "compute:/a/below", f"cpuset.cpus={cpu}")
        self.run_gpcsup("set", "compute:/b", "numfiles.barrier=10", "numfiles.limit=20")
        self.run_gpcsup("set", "tenant:/acme", "numtasks.limit=5")
        failed = (  # the errno of each is in its event
            ("compute:/a", "cpuset.cpus=1000", "CPU 1000 is not in its parent compute:/", errno.EACCES),
            ("compute:/a/below", "cpuset.cpu_exclusive=true", "its parent compute:/a is not exclusive", errno.EACCES),
            ("compute:/", f"cpuset.cpus={cpu}", "is the machine's and cannot be set", errno.EACCES),
            ("compute:/b", "memset.mems=1000", "node 1000 is not in its parent", errno.EINVAL),
            ("compute:/b", "numfiles.limit=5", "must not be above numfiles.limit (5)", errno.EINVAL),
            ("compute:/", "freezer.state=frozen", "the root of a hierarchy", errno.EINVAL),
            ("tenant:/", "numtasks.min_shares=5", "the root is no part of another group", errno.EACCES),
            ("tenant:/acme", "numtasks.max_shares=101", "is more than all of the parent's", errno.EINVAL),
        )
        for group, setting, sentence, _ in failed:
            self.refused("set", group, setting, status=1, says=sentence)
        self.run_gpcsup("set", "compute:/b", f"cpuset.cpus={cpu}")
        self.refused("set", "compute:/b", "cpuset.cpu_exclusive=true", status=1, says="would be shared with compute:/a")
        if len(os.sched_getaffinity(0)) > 1:
            other = min(os.sched_getaffinity(0))
            self.refused("set", "compute:/a", f"cpuset.cpus={other}", status=1, says=f"compute:/a/below still has CPU {cpu}")
        slips = (("compute:/a", "cpuset.cpus=3-1", "expected a list of CPUs"), ("tenant:/acme", "numtasks.limit=many", 'or "max"'),
                 ("tenant:/acme", "numtasks.current=5", "can only be read"), ("compute:/a", "numtasks.limit=5", "not bound to hierarchy compute"))
        for group, setting, sentence in slips:
            self.refused("set", group, setting, status=64, says=sentence)
        for group, setting in (("tenant:/none", "numtasks.limit=5"), ("tenant:/acme", "numtasks.limt=5")):
            self.refused("set", group, setting, status=4)
        events = [json.loads(line) for line in self.run_gpcsup("events", "--json").stdout.splitlines()]
        told = [(event["group"], *event["settings"], event["errno"]) for event in events if event["event"] == "refused-set"]
        for group, setting, _, code in failed:
            self.assertIn((group, setting, code), told)
        self.assertEqual(5, self.get("tenant:/acme", "numtasks.limit"))
        if os.getuid() == 0 and not self.user:
            for directory in (self.supervisor.directory, self.supervisor.runtime):
                directory.chmod(0o755)
            stranger = pwd.getpwnam(harness.ORDINARY).pw_uid
            denied = subprocess.run([harness.BIN / "gpcsup", "--runtime", self.supervisor.runtime, "set", "tenant:/acme", "numtasks.limit=6"],
                                    env=self.supervisor.environ(), user=stranger, group=stranger, extra_groups=[],
                                    capture_output=True, text=True, timeout=60)
            self.assertEqual(5, denied.returncode, denied.stderr)

    def test_a_group_that_removes_itself(self):
        supervisor = self.start()
        supervisor.gpcsup("group", "create", "compute:/once", "compute:/twice", "compute:/never")
        supervisor.gpcsup("set", "compute:/once", "group.auto_remove=true")
        supervisor.gpcsup("set", "compute:/twice", "group.auto_remove=true")
        supervisor.gpcsup("set", "compute:/never", "group.auto_remove=true")
        first, second = self.sleeper("compute:/once"), self.sleeper("compute:/twice")
        events = Events(supervisor)
        self.addCleanup(events.close)
        os.kill(first, signal.SIGKILL)
        events.wait_for(lambda event: event["event"] == "group-removed" and event["group"] == "compute:/once")
        self.kill_supervisor()
        self.assertIn("compute:/twice", self.groups("compute"))
        killed = supervisor.helper("gpcsupd")
        supervisor.init.send_signal(signal.SIGSTOP)  # who would replace a gpcsupd that is stopped at once
        try:
            os.kill(killed, signal.SIGSTOP)  # it hears of the death only as a successor
            os.kill(second, signal.SIGKILL)
            os.kill(killed, signal.SIGKILL)
        finally:
            supervisor.init.send_signal(signal.SIGCONT)
        self.assertTrue(wait_gone(killed, 10))
        events.wait_for(lambda event: event["event"] == "group-removed" and event["group"] == "compute:/twice")
        self.assertEqual(["compute:/", "compute:/never"], self.groups("compute"), "one that had no process yet stays")
        supervisor.gpcsup("group", "create", "compute:/late")
        last = self.sleeper("compute:/late")
        os.kill(last, signal.SIGKILL)
        supervisor.gpcsup("wait", "compute:/late", "--timeout", "10s")
        supervisor.gpcsup("set", "compute:/late", "group.auto_remove=true")  # it has been empty for a while
        events.wait_for(lambda event: event["event"] == "group-removed" and event["group"] == "compute:/late")


class Removal(GroupCase):
    def removal(self, *arguments):
        return self.supervisor.popen("group", "remove", *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def test_wait_returns_when_the_last_process_has_gone(self):
        self.start()
        self.run_gpcsup("group", "create", "compute:/a")
        pid = self.sleeper("compute:/a")
        waiting = self.removal("--wait", "compute:/a")
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(0, waiting.wait(10), waiting.stdout.read())
        self.assertNotIn("compute:/a", self.groups("compute"))

    def test_wait_has_a_deadline_and_names_who_is_in_the_way(self):
        self.start()
        self.run_gpcsup("group", "create", "-p", "compute:/a/b")
        pid = self.sleeper("compute:/a")
        started = time.monotonic()
        self.refused("group", "remove", "--wait=300ms", "compute:/a", status=2,
                     says=("in time", "the child b", f"1 process is in it or below: {pid}"))
        self.assertGreaterEqual(time.monotonic() - started, 0.3)
        self.refused("group", "remove", "--wait=soon", "compute:/a", status=64)
        self.assertIn("compute:/a", self.groups("compute"))

    def test_wait_sees_children_go(self):
        self.start()
        self.run_gpcsup("group", "create", "-p", "compute:/a/b")
        waiting = self.removal("--wait", "compute:/a")
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        self.run_gpcsup("group", "remove", "compute:/a/b")
        self.assertEqual(0, waiting.wait(10), waiting.stdout.read())
        self.assertEqual(["compute:/"], self.groups("compute"))

    def test_a_client_that_goes_away_waits_no_more(self):
        self.start()
        self.run_gpcsup("group", "create", "compute:/a")
        pid = self.sleeper("compute:/a")
        waiting = self.removal("--wait", "compute:/a")
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        waiting.kill()
        waiting.wait()
        self.run_gpcsup("status")  # answered after the end of that connection was seen
        os.kill(pid, signal.SIGKILL)
        wait_gone(pid, 10)
        self.assertIn("compute:/a", self.groups("compute"))

    def test_a_wait_outlives_the_supervisor(self):
        self.start()
        self.run_gpcsup("group", "create", "compute:/a")
        pid = self.sleeper("compute:/a")
        waiting = self.removal("--wait=60s", "compute:/a")
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        self.kill_supervisor()
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(0, waiting.wait(20), waiting.stdout.read())
        self.assertEqual(["compute:/"], self.groups("compute"))

    def test_kill(self):
        self.start()
        self.run_gpcsup("group", "create", "-p", "compute:/a/b")
        shell = self.sleeper("compute:/a/b", command=("sh", "-c", "trap '' TERM; while :; do sleep 100000 & wait; done"))
        self.refused("group", "remove", "--kill", "compute:/a", says=("the child b", "--recursive"))
        self.assertNotIn(stat_of(shell), (None,), "nothing is killed for a removal that cannot be")
        self.run_gpcsup("group", "remove", "--kill", "compute:/a/b")
        self.assertTrue(wait_gone(shell, 5))
        self.assertEqual(["compute:/", "compute:/a"], self.groups("compute"))

    def test_recursive_is_all_or_nothing_and_with_kill_removes_everything(self):
        self.start()
        self.run_gpcsup("group", "create", "-p", "compute:/a/b/c", "compute:/a/d")
        pid = self.sleeper("compute:/a/b/c")
        self.refused("group", "remove", "-r", "compute:/a", says=f": {pid}")
        self.assertEqual(5, len(self.groups("compute")))
        self.run_gpcsup("group", "remove", "-r", "--kill", "compute:/a")
        self.assertTrue(wait_gone(pid, 5))
        self.assertEqual(["compute:/"], self.groups("compute"))
        self.assertEqual(["compute:/a/d", "compute:/a/b/c", "compute:/a/b", "compute:/a"],
                         [one["group"] for one in self.events("group-removed")])


class HierarchiesOfAnOrdinaryUser(Hierarchies):
    user = harness.ORDINARY if os.getuid() == 0 else None


class GroupsOfAnOrdinaryUser(Groups):
    user = harness.ORDINARY if os.getuid() == 0 else None


class RemovalOfAnOrdinaryUser(Removal):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
