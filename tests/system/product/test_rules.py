"""Placement rules: what gpcsup starts is born where they say; what executes or changes its user later is moved there."""

import contextlib
import grp
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import subprocess
import unittest

import harness
from harness import Case, needs_root, status_field

CONFIG = """
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/fixed"]
numtasks.limit = 100
[hierarchy.compute]
controllers = ["cpuset"]
"""
SLEEP = ["sleep", "100000"]


def unit(command, more=""):
    words = ", ".join("'''" + word + "'''" for word in command)
    return f"enabled = false\n[service]\ncommand = [{words}]\n{more}"


class Placed(Case):
    def places(self, supervisor, pid):
        for process in supervisor.json("ps")["processes"]:
            if process["pid"] == pid:
                return process["place"]
        return None

    def me(self):
        return self.user or "root"


class Rules(Placed):
    def test_a_start_is_placed_before_exec(self):
        """Born in a group that did not exist, which goes when it is empty; [place] and [limits] are stronger."""
        supervisor = self.supervise({
            "ci-1": unit(SLEEP),
            "ci-2": unit(SLEEP, '[place]\ntenant = "/fixed"\n'),
            "ci-3": unit(SLEEP, "[limits]\nnumtasks.limit = 7\n"),
            "web": unit(SLEEP),
        }, CONFIG + f"""
[[rule]]
unit = "ci-*"
user = "{self.me()}"
place = {{ tenant = "/ci/%u-%p" }}
""")
        supervisor.gpcsup("start", "ci-1", "ci-2", "ci-3", "web")
        expected = {"ci-1": f"/ci/{self.me()}-sleep", "ci-2": "/fixed", "ci-3": f"/ci/{self.me()}-sleep/ci-3", "web": "/"}
        for name, path in expected.items():
            status = supervisor.unit(name)
            self.assertEqual(path, self.places(supervisor, status["pid"])["tenant"], name)
            self.assertEqual(path, status["place"]["tenant"], name)
        listed = {group["group"] for group in supervisor.json("group", "list")["groups"]}
        self.assertIn(f"tenant:/ci/{self.me()}-sleep", listed)
        supervisor.gpcsup("stop", "ci-1", "ci-3")
        listed = {group["group"] for group in supervisor.json("group", "list")["groups"]}
        self.assertFalse([name for name in listed if name.startswith("tenant:/ci")], listed)

    def test_run_is_placed_unless_it_says_where(self):
        supervisor = self.supervise({}, CONFIG + '[[rule]]\nexecutable = "sleep"\nplace = { tenant = "/sleepers" }\n')
        supervisor.gpcsup("run", "--detach", "--name", "one", "--", *SLEEP)
        supervisor.gpcsup("run", "--detach", "--name", "two", "-g", "tenant:/fixed", "--", *SLEEP)
        self.assertEqual("/sleepers", self.places(supervisor, supervisor.unit("one")["pid"])["tenant"])
        self.assertEqual("/fixed", self.places(supervisor, supervisor.unit("two")["pid"])["tenant"])
        event = next(event for event in map(json.loads, supervisor.gpcsup("events", "--json").stdout.splitlines())
                     if event["event"] == "placed")
        self.assertEqual(("one", "tenant:/sleepers", 1, "start"), tuple(event[key] for key in ("unit", "group", "rule", "cause")))
        self.assertRegex(event["location"], r"gpcsup\.toml:\d+$")

    def test_ignore_and_first_match(self):
        supervisor = self.supervise({"a": unit(SLEEP), "b": unit(SLEEP)}, CONFIG + """
[[rule]]
unit = "a"
place = { compute = "/a" }
[[rule]]
unit = "a"
ignore = true
[[rule]]
place = { tenant = "/rest", compute = "/rest" }
""")
        supervisor.gpcsup("start", "a", "b")
        a, b = (self.places(supervisor, supervisor.unit(name)["pid"]) for name in "ab")
        self.assertEqual(("/", "/a"), (a["tenant"], a["compute"]))
        self.assertEqual(("/rest", "/rest"), (b["tenant"], b["compute"]))

    def test_an_absolute_executable_is_that_file_by_whatever_link(self):
        """/bin may be a link to /usr/bin, and the file a link to another: what is executed counts. A namesake does not."""
        supervisor = harness.Supervisor({}, CONFIG, user=self.user)
        self.addCleanup(self._finish, supervisor)
        supervisor.directory.chmod(0o755)
        real = os.path.realpath(shutil.which("sleep"))
        link, namesake = supervisor.directory / "link", supervisor.directory / "there" / "sleep"
        link.symlink_to(real)
        namesake.parent.mkdir()
        namesake.parent.chmod(0o755)
        shutil.copy(real, namesake)
        (supervisor.directory / "gpcsup.toml").write_text(
            CONFIG + f'[[rule]]\nexecutable = "{link}"\nplace = {{ tenant = "/that-file" }}\n')
        for name, command in (("real", real), ("path", "sleep"), ("link", link), ("namesake", namesake)):
            supervisor.write_unit(name, unit([str(command), "100000"]))
        supervisor.start()
        supervisor.gpcsup("start", "real", "path", "link", "namesake")
        expected = {"real": "/that-file", "path": "/that-file", "link": "/that-file", "namesake": "/"}
        self.assertEqual(expected, {name: self.places(supervisor, supervisor.unit(name)["pid"])["tenant"] for name in expected})

    def test_a_bad_rule_is_told_with_its_place(self):
        file = pathlib.Path(self.supervise().directory, "bad.toml")
        file.write_text(CONFIG + '[[rule]]\nplace = { tenat = "/a" }\n')
        result = subprocess.run([harness.BIN / "gpcsup", "check", file], capture_output=True, text=True)
        self.assertEqual(1, result.returncode)
        self.assertIn(f'{file}:9:11: rule.place.tenat: there is no hierarchy "tenat"; did you mean "tenant"?', result.stdout)


class RulesOfAnOrdinaryUser(Rules):
    user = harness.ORDINARY


@needs_root
class RulesByGroup(Placed):
    """By the group of users: a process's own, or one that it is in besides."""

    def test_the_group_of_users_decides(self):
        user = pwd.getpwnam(harness.ORDINARY)
        name = grp.getgrgid(user.pw_gid).gr_name
        others = next(group for group in grp.getgrall() if group.gr_gid not in (0, user.pw_gid))
        supervisor = self.supervise({
            "own": unit(SLEEP, f'user = "{harness.ORDINARY}"\n'),
            "by-number": unit(SLEEP, f'group = "{user.pw_gid}"\n'),
            "other": unit(SLEEP, f'group = "{others.gr_name}"\n'),
        }, CONFIG + f'[[rule]]\ngroup = "{name}"\nplace = {{ tenant = "/class/%g" }}\n'
                    f'[[rule]]\ngroup = {others.gr_gid}\nplace = {{ compute = "/others/%G" }}\n')
        supervisor.gpcsup("start", "own", "by-number", "other")
        found = {}
        for unit_name in ("own", "by-number", "other"):
            pid = supervisor.unit(unit_name)["pid"]
            place = self.places(supervisor, pid)
            found[unit_name] = (int(status_field(pid, "Gid").split()[0]), place["tenant"], place["compute"])
        self.assertEqual({"own": (user.pw_gid, f"/class/{name}", "/"), "by-number": (user.pw_gid, f"/class/{name}", "/"),
                          "other": (others.gr_gid, "/", f"/others/{others.gr_gid}")}, found)


class Back:
    """A fifo by which processes say who they are, once they have been executed."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        os.chmod(path, 0o666)
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        self.text = b""

    def line(self, seconds=20):
        while b"\n" not in self.text:
            if not select.select([self.fd], [], [], seconds * harness.SLOW)[0]:
                raise AssertionError(f"nobody said anything within {seconds} s")
            self.text += os.read(self.fd, 65536)
        line, self.text = self.text.split(b"\n", 1)
        return line.decode()

    def close(self):
        os.close(self.fd)


@needs_root
class RulesWithExactTracking(Case):
    """The process connector tells of exec and of changes of the user."""

    # Says that it is there, then does each line that it reads.
    PYTHON = """
import os, signal
os.mkfifo(os.environ["RUNTIME_DIRECTORY"] + "/orders")
open("BACK", "w").write("ready\\n")
while True:
    for line in open(os.environ["RUNTIME_DIRECTORY"] + "/orders"):
        exec(line)
"""
    RULES = f"""
[[rule]]
user = "{harness.ORDINARY}"
place = {{ tenant = "/students/%u-%p" }}
[[rule]]
executable = "sh"
place = {{ tenant = "/shells/%P" }}
"""
    SHELL = 'os.fork() or os.execvp("sh", ["sh", "-c", "echo $$ >BACK; sleep 100000; true"])'

    def start(self):
        supervisor = harness.Supervisor({}, CONFIG + self.RULES)
        self.addCleanup(self._finish, supervisor)
        supervisor.directory.chmod(0o755)  # who becomes another user says so through it, too
        self.back = Back(supervisor.directory / "back")
        self.addCleanup(self.back.close)
        supervisor.write_unit("python", unit(["python3", "-c", self.PYTHON.replace("BACK", str(self.back.path))]))
        supervisor.start()
        if supervisor.json("status")["supervisor"]["tracking"] != "exact":
            self.skipTest("the process connector is not to be had here")
        supervisor.gpcsup("start", "python")
        self.assertEqual("ready", self.back.line())
        return supervisor

    def order(self, supervisor, line):
        with open(supervisor.runtime / "units/python/orders", "w") as orders:
            orders.write(line.replace("BACK", str(self.back.path)) + "\n")

    def place(self, supervisor, pid):
        return next(process["place"]["tenant"] for process in supervisor.json("ps")["processes"] if process["pid"] == pid)

    def placed(self, supervisor):
        lines = supervisor.gpcsup("events", "--json").stdout.splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == "placed"]

    def test_exec_moves(self):
        supervisor = self.start()
        self.order(supervisor, self.SHELL)
        pid = int(self.back.line())
        self.assertEqual(f"/shells/{pid}", self.place(supervisor, pid))
        self.assertEqual("/", self.place(supervisor, supervisor.unit("python")["pid"]))
        [event] = self.placed(supervisor)
        self.assertEqual((pid, f"tenant:/shells/{pid}", 2, "exec", "python"),
                         tuple(event[key] for key in ("pid", "group", "rule", "cause", "unit")))
        supervisor.gpcsup("stop", "python")
        self.assertNotIn("tenant:/shells", supervisor.gpcsup("group", "list").stdout)

    def test_why_of_a_process(self):
        supervisor = self.start()
        self.order(supervisor, self.SHELL)
        shell = int(self.back.line())
        text = supervisor.gpcsup("why", shell).stdout
        self.assertRegex(text, rf"(?m)^  in tenant:/shells/{shell}: rule 2 \(.*gpcsup\.toml:\d+\), which placed it or an ancestor$")
        self.assertIn("compute:/: nobody placed it\n", text)
        supervisor.gpcsup("attach", shell, "compute:/")
        self.assertIn("compute:/: placed explicitly", supervisor.gpcsup("why", shell).stdout)
        self.assertEqual(4, supervisor.gpcsup("why", "1", check=False).returncode)

    def test_a_change_of_the_user_moves(self):
        supervisor = self.start()
        user = pwd.getpwnam(harness.ORDINARY)
        self.order(supervisor, f'os.fork() or (os.setgid({user.pw_gid}), os.setuid({user.pw_uid}), '
                               'open("BACK", "w").write(str(os.getpid()) + "\\n"), signal.pause())')
        pid = int(self.back.line())
        self.assertEqual(str(user.pw_uid), status_field(pid, "Uid").split()[0])
        program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        self.assertEqual(f"/students/{harness.ORDINARY}-{program}", self.place(supervisor, pid))
        self.assertEqual("identity", self.placed(supervisor)[-1]["cause"])

    def test_what_a_rule_placed_keeps_its_descendants(self):
        """The same rule would put the child elsewhere (%p): it stays with its parent. libcgroup moved it away."""
        supervisor = self.start()
        supervisor.gpcsup("run", "--detach", "--name", "job", "--", "python3", "-c",
                          "import os,subprocess; subprocess.run(['sh', '-c', 'echo $$ >%s; sleep 100000; true'])" % self.back.path)
        self.assertEqual("/", self.place(supervisor, supervisor.unit("job")["pid"]))
        shell = int(self.back.line())
        self.assertEqual(f"/shells/{shell}", self.place(supervisor, shell))
        self.order(supervisor, 'os.fork() or os.execvp("sh", ["sh", "-c", '
                               '"echo $$ >BACK; sh -c \'echo $$ >BACK; sleep 100000; true\'; true"])')
        outer, inner = int(self.back.line()), int(self.back.line())
        self.assertEqual(f"/shells/{outer}", self.place(supervisor, outer))
        self.assertEqual(f"/shells/{outer}", self.place(supervisor, inner))

    def test_who_lost_its_parent_before_the_rules_were_asked_follows_nobody(self):
        """What it forks later, before it executes something that a rule moves, stays where it was born."""
        supervisor = self.start()
        gpcsupd = supervisor.helper("gpcsupd")
        middle = ('import os\nif os.fork() == 0:\n    while os.getppid() == PARENT: pass\n'
                  '    open("BACK", "w").write(str(os.getpid()) + "\\n")\n    os.read(os.open("GO", os.O_RDONLY), 1)\n'
                  '    child = os.fork()\n    if child == 0:\n        import signal; signal.pause()\n'
                  '    open("BACK", "w").write(str(child) + "\\n")\n'
                  '    os.execvp("sh", ["sh", "-c", "echo $$ >BACK; sleep 100000; true"])\n')
        go = str(supervisor.directory / "go")
        os.mkfifo(go)
        program = supervisor.directory / "middle.py"
        program.write_text(middle.replace("PARENT", "int(os.environ['PARENT'])").replace("BACK", str(self.back.path)).replace("GO", go))
        stopped = (supervisor.init.pid, gpcsupd)  # in this order: a gpcsupd that stands still is replaced
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        self.order(supervisor, f'os.fork() or os.execvpe("sh", ["sh", "-c", "PARENT=$$ exec python3 {program}"], os.environ)')
        orphan = int(self.back.line())
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
        supervisor.gpcsup("list")
        with open(go, "w") as order:
            order.write("x")
        child, shell = int(self.back.line()), int(self.back.line())
        self.assertEqual(orphan, shell)
        self.assertEqual(f"/shells/{shell}", self.place(supervisor, shell))
        self.assertNotEqual(f"/shells/{shell}", self.place(supervisor, child))

    def test_what_was_attached_stays(self):
        supervisor = self.start()
        supervisor.gpcsup("attach", supervisor.unit("python")["pid"], "tenant:/fixed")
        self.order(supervisor, self.SHELL)
        self.assertEqual("/fixed", self.place(supervisor, int(self.back.line())))
        supervisor.gpcsup("run", "--detach", "-g", "tenant:/fixed", "--name", "job", "--", "sh", "-c",
                          f"sh -c 'echo $$ >{self.back.path}; sleep 100000; true'; true")
        self.assertEqual("/fixed", self.place(supervisor, int(self.back.line())))
        self.assertEqual([], self.placed(supervisor))

    def drops(self, supervisor):
        """Of the connector that gpc-init keeps: messages for which there was no room, as the kernel counts them."""
        sockets = set()
        for entry in pathlib.Path(f"/proc/{supervisor.init.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                sockets.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
        rows = [row.split() for row in pathlib.Path(f"/proc/{supervisor.init.pid}/net/netlink").read_text().splitlines()[1:]]
        return sum(int(row[8]) for row in rows if row[1] == "11" and row[9] in sockets)  # NETLINK_CONNECTOR

    def test_news_that_were_lost_keep_nobody_out_of_its_place(self):
        """The connector overruns while gpcsupd stands still; what executed meanwhile is placed all the same."""
        supervisor = self.start()
        before = self.drops(supervisor)
        stopped = (supervisor.init.pid, supervisor.helper("gpcsupd"))  # in this order: see above
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            storm = [subprocess.Popen([harness.MISBEHAVE.parent / "forker", "vfork", "10000"], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL) for _ in range(2)]
            for one in storm:
                self.assertEqual(0, one.wait(120 * harness.SLOW))
            self.order(supervisor, self.SHELL)
            shell = int(self.back.line())
            lost = self.drops(supervisor) - before
        finally:
            for pid in reversed(stopped):
                os.kill(pid, signal.SIGCONT)
        self.assertGreater(lost, 0, "the queue held all of it")
        events = harness.Events(supervisor, since=0)
        self.addCleanup(events.close)
        events.wait_for(lambda event: event["event"] == "placed" and event["pid"] == shell)
        self.assertEqual(f"/shells/{shell}", self.place(supervisor, shell))

    def test_a_successor_goes_on_with_the_rules(self):
        """kill -9 of gpcsupd: the rules are in force, whatever the file says now, and who was placed stays where it is."""
        supervisor = self.start()
        (supervisor.directory / "gpcsup.toml").write_text(CONFIG)
        seen = []
        for _ in range(10):
            os.kill(supervisor.helper("gpcsupd"), signal.SIGKILL)
            self.order(supervisor, self.SHELL)
            seen.append(int(self.back.line()))
            for pid in seen:
                self.assertEqual(f"/shells/{pid}", self.place(supervisor, pid))
        self.assertEqual(seen, [event["pid"] for event in self.placed(supervisor)])


if __name__ == "__main__":
    unittest.main()
