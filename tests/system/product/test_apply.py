"""gpcsup snapshot and apply: the groups as a file, and the files as they are now, all or nothing."""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
import unittest

import harness
from harness import Case, Events

CONFIG = """
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
numtasks.limit = 64
[hierarchy.tenant.group."/old/deep"]
"""
NEXT = """
[hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/batch"]
cpuset.cpus = "0"
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
numtasks.limit = 128
[hierarchy.tenant.group."/new"]
[[rule]]
unit = "ci-*"
place = { tenant = "/ci" }
"""
SERVICE = '[service]\ncommand = ["sleep", "100000"]\n'


class Apply(Case):
    def write(self, supervisor, config):
        (supervisor.directory / "gpcsup.toml").write_text(config)

    def groups(self, supervisor):
        return {group["group"] for group in supervisor.json("group", "list")["groups"] if not group["group"].startswith("unit:")}

    def limit(self, supervisor, group="tenant:/acme"):
        return supervisor.json("get", group, "numtasks.limit")["attributes"]["numtasks.limit"]

    def test_snapshot_is_what_makes_it(self):
        """Printed, written to disk and applied: nothing to do. A supervisor started with it has the same."""
        supervisor = self.supervise({"web": SERVICE + '[place]\ntenant = "/acme"\n[limits]\nnumtasks.limit = 5\n'}, NEXT)
        supervisor.gpcsup("start", "web")
        supervisor.gpcsup("group", "create", "-p", "tenant:/by/hand")
        supervisor.gpcsup("group", "create", "tenant:/by/two words: so")
        supervisor.gpcsup("set", "tenant:/by/hand", "numtasks.limit=9", "group.notify_on_release=true")
        supervisor.gpcsup("set", "tenant:/", "group.release_agent=/bin/true")
        text = supervisor.gpcsup("snapshot").stdout
        self.assertIn('[hierarchy.tenant.group."/by/hand"]\ngroup.notify_on_release = true\nnumtasks.limit = 9\n', text)
        self.assertIn('[hierarchy.tenant.group."/by/two words: so"]\n', text)
        self.assertIn('# "tenant:/acme/web": goes when it is empty\n', text)
        self.assertEqual(text, supervisor.json("snapshot")["toml"])
        self.write(supervisor, text)
        check = subprocess.run([harness.BIN / "gpcsup", "check", supervisor.directory / "gpcsup.toml"], capture_output=True, text=True)
        self.assertEqual((0, ""), (check.returncode, check.stderr), check.stdout)
        self.assertEqual([], supervisor.json("apply", "--dry-run")["steps"])
        again = self.supervise({}, text)
        without_comments = "".join(line for line in text.splitlines(True) if not line.startswith("#"))
        self.assertEqual(without_comments, again.gpcsup("snapshot").stdout)

    # Inherited and said, the other way than the parent, deep, under a group that only rules need, and room that
    # is there only once it has been set.
    INHERITED = """
[hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/batch"]
cpuset.cpus = "0"
group.clone_children = true
[hierarchy.compute.group."/batch/copy"]
[hierarchy.compute.group."/batch/all"]
cpuset.cpus = ""
group.clone_children = false
[hierarchy.compute.group."/batch/all/plain"]
[hierarchy.tenant]
controllers = ["numtasks"]
release_agent = "/bin/true"
[hierarchy.tenant.group."/"]
group.max_descendants = 9
[hierarchy.tenant.group."/acme"]
group.owner = "4711"
group.notify_on_release = true
[hierarchy.tenant.group."/acme/web/deep"]
[hierarchy.tenant.group."/acme/quiet"]
group.notify_on_release = false
group.owner = "none"
[hierarchy.tenant.group."/acme/quiet/below"]
numtasks.limit = 7
"""
    BEFORE = """
[hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/batch"]
[hierarchy.compute.group."/batch/copy"]
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/"]
group.max_descendants = 3
[hierarchy.tenant.group."/acme"]
group.owner = "815"
[hierarchy.tenant.group."/acme/web"]
[hierarchy.tenant.group."/acme/quiet"]
"""

    def everything(self, supervisor):
        """Whatever can be set of any group, as it is."""
        found = {}
        for group in sorted(self.groups(supervisor)):
            attributes = supervisor.json("get", group)["attributes"]
            found[group] = {name: value for name, value in attributes.items() if name.split(".")[1] in (
                "cpus", "clone_children", "owner", "notify_on_release", "max_descendants", "release_agent", "limit")}
        return found

    def test_boot_apply_and_snapshot_make_the_same_tree(self):
        booted = self.supervise({}, self.INHERITED)
        expected = self.everything(booted)
        for group, attribute, value in (
                ("compute:/batch/copy", "cpuset.cpus", "0"), ("compute:/batch/all/plain", "group.clone_children", False),
                ("tenant:/acme/web/deep", "group.owner", 4711), ("tenant:/acme/web", "group.notify_on_release", True),
                ("tenant:/acme/quiet/below", "group.owner", "none"), ("tenant:/acme/quiet/below", "numtasks.limit", 7)):
            self.assertEqual(value, expected[group][attribute], (group, attribute))
        snapshot = booted.gpcsup("snapshot").stdout
        self.assertEqual(expected, self.everything(self.supervise({}, snapshot)), snapshot)
        for file in (self.INHERITED, snapshot):
            applied = self.supervise({}, self.BEFORE)
            self.write(applied, file)
            applied.gpcsup("apply")
            self.assertEqual(expected, self.everything(applied), file)
            self.assertEqual([], applied.json("apply", "--dry-run")["steps"])
            self.assertEqual(snapshot, applied.gpcsup("snapshot").stdout)

    def test_a_snapshot_says_what_nobody_set(self):
        """Inherited when it was made, and changed above since; made by a user, whose it is."""
        supervisor = self.supervise({}, CONFIG)
        supervisor.gpcsup("set", "tenant:/acme", "group.notify_on_release=true", "group.owner=4711")
        supervisor.gpcsup("group", "create", "tenant:/acme/web")
        supervisor.gpcsup("set", "tenant:/acme", "group.notify_on_release=false")
        supervisor.gpcsup("group", "create", "tenant:/acme/db")
        expected = self.everything(supervisor)
        self.assertEqual((True, 4711), tuple(expected["tenant:/acme/web"][name] for name in ("group.notify_on_release", "group.owner")))
        text = supervisor.gpcsup("snapshot").stdout
        self.assertIn('[hierarchy.tenant.group."/acme/web"]\ngroup.notify_on_release = true\n', text)
        self.assertIn('[hierarchy.tenant.group."/acme/db"]\n', text)
        self.assertEqual(expected, self.everything(self.supervise({}, text)), text)

    def test_what_a_file_cannot_have_is_told_at_boot_and_the_rest_is_there(self):
        supervisor = self.supervise({}, """
[hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/batch"]
group.owner = "4711"
[hierarchy.compute.group."/batch/far"]
cpuset.cpus = "8000"
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
numtasks.limit = 64
""")
        self.assertEqual(64, self.limit(supervisor))
        self.assertEqual(4711, supervisor.json("get", "compute:/batch/far", "group.owner")["attributes"]["group.owner"])
        problems = supervisor.gpcsup("status").stdout
        self.assertRegex(problems, r"gpcsup\.toml:6:\d+: cpuset\.cpus of compute:/batch/far: CPU 8000 is not")

    def test_apply(self):
        supervisor = self.supervise({"web": SERVICE, "gone": SERVICE, "ci-1": "enabled = false\n" + SERVICE}, CONFIG)
        supervisor.gpcsup("start", "web", "gone")
        web, gone = (supervisor.unit(name)["pid"] for name in ("web", "gone"))
        supervisor.gpcsup("group", "create", "tenant:/by-hand")
        self.write(supervisor, NEXT)
        supervisor.write_unit("web", SERVICE + 'environment = { A = "1" }\n')
        supervisor.write_unit("fresh", SERVICE)
        (supervisor.directory / "units/gone.toml").unlink()
        before = self.groups(supervisor)
        plan = supervisor.gpcsup("apply", "--dry-run").stdout
        self.assertEqual(before, self.groups(supervisor))
        for line in ("remove-group      tenant:/old/deep", "remove-group      tenant:/old", "create-hierarchy  compute  (cpuset)",
                     "create-group      compute:/batch", "create-group      tenant:/new", "set               tenant:/acme  (numtasks.limit: 64 → 128)",
                     "add-unit          fresh", "remove-unit       gone  (its file is gone: it is stopped)",
                     "change-unit       web  (service.environment; it runs: restart it to apply)"):
            self.assertIn(line + "\n", plan)
        result = supervisor.gpcsup("apply").stdout
        self.assertEqual(plan + "done\n", result)
        self.assertEqual({"compute:/", "compute:/batch", "tenant:/", "tenant:/acme", "tenant:/new", "tenant:/by-hand"}, self.groups(supervisor))
        self.assertEqual(128, self.limit(supervisor))
        supervisor.gpcsup("start", "fresh", "ci-1")
        self.assertEqual("/ci", supervisor.unit("ci-1")["place"]["tenant"])
        self.assertEqual(("active", web), (supervisor.unit("web")["state"], supervisor.unit("web")["pid"]))
        self.assertTrue(harness.wait_gone(gone, 20))
        self.assertEqual("nothing to do: the files are in force\n", supervisor.gpcsup("apply").stdout)
        supervisor.gpcsup("restart", "web")
        with open(f"/proc/{supervisor.unit('web')['pid']}/environ", "rb") as environ:
            self.assertIn(b"A=1", environ.read().split(b"\0"))
        # A successor goes by what was applied.
        self.write(supervisor, CONFIG)
        events = Events(supervisor)
        self.addCleanup(events.close)
        os.kill(supervisor.helper("gpcsupd"), signal.SIGKILL)
        events.wait_for(lambda event: event["event"] == "supervisor-replaced")
        self.assertEqual(128, self.limit(supervisor))
        self.assertEqual("/ci", supervisor.unit("ci-1")["place"]["tenant"])
        self.assertIn('[[rule]]\nunit = "ci-*"\n', supervisor.gpcsup("snapshot").stdout)

    def test_what_runs_goes_on_though_nothing_wants_it_any_more(self):
        """Disabled, masked, wanted by another: that is about the next start. Also for a successor."""
        supervisor = self.supervise({name: SERVICE for name in ("dis", "mas", "other")} | {"rescue": "enabled = false\n"})
        supervisor.gpcsup("start", "default")
        pids = {name: supervisor.unit(name)["pid"] for name in ("dis", "mas", "other")}
        supervisor.gpcsup("disable", "dis")
        supervisor.gpcsup("mask", "mas")
        supervisor.write_unit("other", 'wanted_by = ["rescue"]\n' + SERVICE)
        supervisor.gpcsup("apply")
        events = Events(supervisor)
        self.addCleanup(events.close)
        os.kill(supervisor.helper("gpcsupd"), signal.SIGKILL)
        events.wait_for(lambda event: event["event"] == "supervisor-replaced")
        for name, pid in pids.items():
            self.assertEqual(("active", pid), (supervisor.unit(name)["state"], supervisor.unit(name)["pid"]))
        supervisor.write_unit("idle", "masked = true\n" + SERVICE)
        supervisor.gpcsup("apply")
        self.assertEqual("masked: it says masked = true", supervisor.unit("idle")["reason"])
        self.assertIn("masked: it says masked = true", supervisor.gpcsup("why", "idle", check=False).stdout)
        supervisor.gpcsup("stop", "mas", "dis")
        refused = supervisor.gpcsup("start", "mas", check=False)
        self.assertEqual(1, refused.returncode)
        self.assertIn("masked", refused.stderr)

    def test_a_problem_in_any_file_refuses_all(self):
        supervisor = self.supervise({}, CONFIG)
        self.write(supervisor, NEXT)
        supervisor.write_unit("bad", '[service]\ncomand = ["true"]\n')
        result = supervisor.gpcsup("apply", check=False)
        self.assertEqual(1, result.returncode)
        self.assertIn('bad.toml:2:1: unknown key "comand"', result.stderr)
        self.assertIn("nothing has been changed", result.stderr)
        self.assertEqual(64, self.limit(supervisor))
        self.assertEqual({"tenant:/", "tenant:/acme", "tenant:/old", "tenant:/old/deep"}, self.groups(supervisor))
        problems = json.loads(supervisor.gpcsup("apply", "--json", check=False).stdout)["problems"]
        self.assertEqual((2, 1), (problems[0]["line"], problems[0]["column"]))

    def test_what_is_busy_refuses_all(self):
        supervisor = self.supervise({"web": SERVICE + '[place]\ntenant = "/old/deep"\n'}, CONFIG)
        supervisor.gpcsup("start", "web")
        self.write(supervisor, NEXT)
        for arguments in (("apply", "--dry-run"), ("apply",)):
            result = supervisor.gpcsup(*arguments, check=False)
            self.assertEqual(1, result.returncode)
            self.assertIn("tenant:/old/deep cannot be removed: 1 process is in it", result.stderr)
        self.assertEqual(64, self.limit(supervisor))
        self.assertNotIn("compute:/", self.groups(supervisor))

    def test_a_refused_setting_takes_all_back(self):
        """Several settings of one hierarchy are tried: what was done is taken back."""
        supervisor = self.supervise({}, CONFIG)
        self.write(supervisor, CONFIG.replace("64", "32") + """[hierarchy.tenant.group."/new"]
[hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/a"]
cpuset.cpus = "0"
[hierarchy.compute.group."/a/b"]
cpuset.cpus = "4000"
""")
        result = supervisor.gpcsup("apply", check=False)
        self.assertEqual(1, result.returncode, result.stdout)
        self.assertIn("4000", result.stderr)
        self.assertEqual(64, self.limit(supervisor))
        self.assertEqual({"tenant:/", "tenant:/acme", "tenant:/old", "tenant:/old/deep"}, self.groups(supervisor))
        self.write(supervisor, NEXT)
        supervisor.gpcsup("apply")
        self.assertEqual(128, self.limit(supervisor))

    def test_what_was_made_and_set_at_run_time_is_there_after_a_refusal(self):
        supervisor = self.supervise({}, CONFIG)
        supervisor.gpcsup("group", "create", "tenant:/mine")
        supervisor.gpcsup("group", "create", "tenant:/used")
        supervisor.gpcsup("set", "tenant:/acme", "numtasks.limit=50")
        supervisor.gpcsup("set", "tenant:/mine", "numtasks.limit=7", "group.max_depth=3")
        inside = supervisor.popen("run", "-g", "tenant:/used", "--", "sleep", "100000")
        self.addCleanup(inside.wait)
        self.addCleanup(inside.terminate)
        supervisor.gpcsup("wait", "tenant:/used", "--populated", "--timeout", "20s")
        self.write(supervisor, CONFIG.replace("64", "32") + """[hierarchy.tenant.group."/mine"]
numtasks.limit = 3
[hierarchy.tenant.group."/used"]
numtasks.limit = 3
[hierarchy.tenant.group."/new"]
[hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/a"]
cpuset.cpus = "0"
[hierarchy.compute.group."/a/b"]
cpuset.cpus = "4000"
""")
        result = supervisor.gpcsup("apply", check=False)
        self.assertEqual(1, result.returncode, result.stdout)
        self.assertIn("nothing has been changed", result.stderr)
        self.assertEqual([50, 7, None], [self.limit(supervisor, f"tenant:/{name}") for name in ("acme", "mine", "used")])
        self.assertEqual(3, supervisor.json("get", "tenant:/mine", "group.max_depth")["attributes"]["group.max_depth"])
        self.assertEqual({"tenant:/", "tenant:/acme", "tenant:/old", "tenant:/old/deep", "tenant:/mine", "tenant:/used"},
                         self.groups(supervisor))

    def test_a_problem_that_has_been_mended_is_told_no_more(self):
        supervisor = self.supervise({}, CONFIG.replace("numtasks.limit", "numtasks.limt"))
        self.assertIn("numtasks.limt", supervisor.gpcsup("status").stdout)
        self.write(supervisor, CONFIG.replace("numtasks.limit = 64", ""))
        supervisor.gpcsup("apply")
        self.assertNotIn("numtasks.limt", supervisor.gpcsup("status").stdout)

    def test_kill_in_the_middle(self):
        """kill -9 of gpcsupd while it applies: everything is as before, or everything is as it should become."""
        many = [f"/many/{i}" for i in range(200)]  # so that it takes a while
        files = [CONFIG, NEXT + "".join(f'[hierarchy.tenant.group."{path}"]\nnumtasks.limit = 9\n' for path in many)]
        supervisor = self.supervise({}, CONFIG)
        states = [{"tenant:/", "tenant:/acme", "tenant:/old", "tenant:/old/deep"},
                  {"compute:/", "compute:/batch", "tenant:/", "tenant:/acme", "tenant:/new", "tenant:/many"} |
                  {f"tenant:{path}" for path in many}]
        cut = 0
        current = 0
        for round_ in range(int(os.environ.get("GPCSUP_KILLS", 40 // harness.SLOW))):
            self.write(supervisor, files[1 - current])
            applying = supervisor.popen("apply", "-q", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            pid = supervisor.helper("gpcsupd")
            time.sleep(0.003 * (round_ % 12))  # spread over what it takes; the command itself goes on with the successor
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(0, applying.wait(60), applying.stderr.read())
            current = 1 - current
            self.assertEqual(states[current], self.groups(supervisor), f"round {round_}")
            self.assertEqual([64, 128][current], self.limit(supervisor))
            self.assertEqual([], supervisor.json("apply", "--dry-run")["steps"])
            # A successor tells first that it has completed what it found begun, then that it is there.
            events = [json.loads(line)["event"] for line in supervisor.gpcsup("events", "--json", "-n", "800").stdout.splitlines()]
            applied = max(at for at, event in enumerate(events) if event == "applied")
            cut += events[applied + 1:] == ["supervisor-replaced"]
        print(f"{cut} of {round_ + 1} kills were in the middle", flush=True)


class ApplyOfAnOrdinaryUser(Apply):
    user = harness.ORDINARY


FORKER = '''import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
told = os.open("{}", os.O_RDWR)
os.write(told, b"ready\\n")
while True:
    signal.sigwait([signal.SIGUSR1])
    try:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        os.write(told, b"forked\\n")
    except BlockingIOError:
        os.write(told, b"refused\\n")
'''


class ApplyToRunningServices(Case):
    """A service that was started with a filter is under the limits of a hierarchy that `apply` makes, binds or takes away."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="gpcsup-fifo-")
        self.addCleanup(self.directory.cleanup)
        os.chmod(self.directory.name, 0o777)
        fifo = self.directory.name + "/told"
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        self.told = open(os.open(fifo, os.O_RDWR), "rb", buffering=0)
        self.addCleanup(self.told.close)
        unit = ('[service]\nenforce = ["numtasks"]\n'
                f"command = ['/usr/bin/python3', '-c', '''{FORKER.format(fifo)}''']\n")
        self.supervisor = self.supervise({"forker": unit}, self.config([]))
        self.addCleanup(setattr, self, "supervisor", None)
        self.assertEqual(b"ready\n", self.answer())

    def config(self, controllers, group="/", limit=1):
        text = f"[hierarchy.tenant]\ncontrollers = {json.dumps(controllers)}\n"
        return text + (f'[hierarchy.tenant.group."{group}"]\nnumtasks.limit = {limit}\n' if controllers else "")

    def answer(self):
        self.assertTrue(select.select([self.told], [], [], 20 * harness.SLOW)[0], "the service does not answer")
        return self.told.readline()

    def fork(self):
        self.supervisor.gpcsup("kill", "-s", "USR1", "--main", "forker")
        return self.answer()

    def apply(self, text, check=True):
        (self.supervisor.directory / "gpcsup.toml").write_text(text)
        return self.supervisor.gpcsup("apply", check=check)

    def test_a_limit_on_a_root_that_came_holds_and_goes_with_it(self):
        self.assertEqual(b"forked\n", self.fork())
        self.apply(self.config(["numtasks"]))
        self.assertEqual("enforced", self.supervisor.unit("forker")["enforcement"]["numtasks"])
        self.assertEqual(b"refused\n", self.fork())
        self.apply(self.config([]))
        self.assertEqual(b"forked\n", self.fork())
        self.apply(self.config(["numtasks"]).replace("tenant", "other"))
        self.assertEqual(b"refused\n", self.fork())

    def test_what_is_taken_back_is_as_before(self):
        self.apply(self.config(["numtasks"]))
        refused = self.apply(self.config([]) + '[hierarchy.other]\ncontrollers = ["numtasks", "cpuset"]\n'
                             '[hierarchy.other.group."/x"]\ncpuset.cpus = "4000"\n', check=False)
        self.assertEqual(1, refused.returncode, refused.stdout)
        self.assertEqual(b"refused\n", self.fork())


class ApplyToRunningServicesOfAnOrdinaryUser(ApplyToRunningServices):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main()
