"""Processes that run without a filter and are attached to a limited group: from then on the limit is enforced."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import harness
from harness import Case, MISBEHAVE, children_of, needs_root, read_line, status_field, threads_of
from test_services import ask_redis, free_port

SUPPORT = MISBEHAVE.parent
GRAFTEE = SUPPORT / "graftee"
CONFIG = """
[hierarchy.compute]
controllers = ["cpuset", "cpuacct"]
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
numtasks.limit = 64
[hierarchy.tenant.group."/other"]
numtasks.limit = 80
[hierarchy.tenant.group."/open/below"]
"""


def may_trace():
    """Whether a process may trace its child here at all (containers, seccomp): else there is nothing to test."""
    child = subprocess.Popen(["sleep", "100"])
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return libc.ptrace(0x4206, child.pid, None, None) == 0  # PTRACE_SEIZE; what has ended is released
    finally:
        child.kill()
        child.wait()


def service(*command, extra=""):
    words = ", ".join(f'"{word}"' for word in command)
    return f"enabled = true\n[service]\ncommand = [{words}]\n{extra}\n"


def ask(connection, question):
    """The answer of one line."""
    connection.sendall(question)
    answer = b""
    while not answer.endswith(b"\n"):
        piece = connection.recv(64)
        if not piece:
            return answer + b" and then the connection ended"
        answer += piece
    return answer


class Asking:
    """Asks the same over and over, on one connection, until its block ends; what else than this was answered."""

    def __init__(self, port, question, answer):
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20 * harness.SLOW)
        self.question, self.answer = question, answer
        self.asked, self.wrong = 0, []
        self.over, self.begun = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.go_on)

    def go_on(self):
        while not self.over.is_set() and not self.wrong:
            try:
                answer = ask(self.connection, self.question)
            except OSError as error:
                answer = str(error)
            if answer != self.answer:
                self.wrong.append(answer)
            self.asked += 1
            self.begun.set()
        self.begun.set()

    def __enter__(self):
        self.thread.start()
        self.begun.wait()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.connection.close()


@unittest.skipUnless(may_trace(), "ptrace is not permitted here")
class Graft(Case):
    def begin(self, units, **options):
        self.supervisor = self.supervise(units, CONFIG, **options)
        self.events = harness.Events(self.supervisor, since=0)
        self.addCleanup(self.events.close)
        for name in units:
            self.eventually(lambda name=name: self.supervisor.unit(name)["state"] == "active", 20, self.events,
                            f"{name} is active")

    def grafted(self, pid):
        return self.events.wait_for(lambda event: event["event"] in ("grafted", "graft-refused") and event["pid"] == pid)

    def attach(self, unit, group="tenant:/acme"):
        pid = self.supervisor.unit(unit)["pid"]
        self.supervisor.gpcsup("attach", unit, group)
        return self.grafted(pid)

    def enforcement(self, unit, controller="numtasks"):
        return self.supervisor.unit(unit)["enforcement"].get(controller)

    def filtered(self, pid):
        return [status_field(pid, "Seccomp", task) for task in threads_of(pid)]


class Enforced(Graft):
    def test_a_service_that_was_started_without_a_limit(self):
        self.begin({"plain": service("sleep", "100000")})
        self.assertIsNone(self.enforcement("plain"))
        event = self.attach("plain")
        self.assertEqual(("grafted", ["numtasks"]), (event["event"], event["controllers"]))
        self.assertEqual("enforced", self.enforcement("plain"))
        pid = self.supervisor.unit("plain")["pid"]
        self.assertEqual({"2"}, set(self.filtered(pid)))
        self.assertEqual([], [link for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()
                              if "seccomp" in os.readlink(link)])
        row = next(row for row in self.supervisor.json("ps", "plain")["processes"] if row["pid"] == pid)
        self.assertEqual({"numtasks": "enforced"}, row["enforcement"])

    def test_a_limit_that_is_set_where_it_runs(self):
        place = '[place]\ntenant = "/open/below"'
        self.begin({"set": service(GRAFTEE, "nanosleep", "alone", extra=place)})
        self.assertEqual((None, {"0"}), (self.enforcement("set"), set(self.filtered(self.supervisor.unit("set")["pid"]))))
        self.supervisor.gpcsup("set", "tenant:/open", "numtasks.forkrate=10/1s")
        self.check_enforced("set")
        self.supervisor.gpcsup("set", "tenant:/open", "numtasks.forkrate=max")
        self.assertIsNone(self.enforcement("set"))
        # By a file, too; and whoever has a filter keeps it.
        self.supervisor.write_unit("applied", service("sleep", "100000", extra=place))
        self.supervisor.gpcsup("apply")
        self.supervisor.gpcsup("start", "applied")
        self.assertIsNone(self.enforcement("applied"))
        (self.supervisor.directory / "gpcsup.toml").write_text(CONFIG + "numtasks.limit = 50\n")
        self.supervisor.gpcsup("apply")
        self.check_enforced("applied")
        self.assertEqual("enforced", self.enforcement("set"))

    def check_enforced(self, unit):
        pid = self.supervisor.unit(unit)["pid"]
        self.assertEqual("grafted", self.grafted(pid)["event"])
        self.assertEqual(("enforced", {"2"}), (self.enforcement(unit), set(self.filtered(pid))))

    @unittest.skipUnless(shutil.which("redis-server") and shutil.which("redis-benchmark"), "needs redis")
    def test_redis_under_load(self):
        port = free_port()
        self.begin({"cache": service("/usr/bin/redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                                     "--appendonly", "no", "--dir", "/tmp", "--dbfilename", f"gpcsup-test-{port}.rdb",
                                     "--supervised", "systemd", "--daemonize", "no",
                                     extra='type = "notify"')})
        self.addCleanup(pathlib.Path(f"/tmp/gpcsup-test-{port}.rdb").unlink, missing_ok=True)
        pid = self.supervisor.unit("cache")["pid"]
        self.assertGreater(len(threads_of(pid)), 1)
        load = subprocess.Popen(["redis-benchmark", "-p", str(port), "-c", "20", "-n", "50000", "-t", "set,get", "-q"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(load.kill)
        with Asking(port, b"PING\r\n", b"+PONG\r\n") as asking:
            event = self.attach("cache")
        self.assertEqual("grafted", event["event"], event)
        self.assertEqual(([], True), (asking.wrong, asking.asked > 0))
        output = load.communicate(timeout=200 * harness.SLOW)[0]
        self.assertEqual(0, load.returncode, output)
        self.assertNotIn("Error", output)
        self.assertEqual("enforced", self.enforcement("cache"))
        self.assertEqual({"2"}, set(self.filtered(pid)))
        # A fork at the edge: refused, counted, and let in again with more room.
        current = self.supervisor.json("get", "tenant:/acme")["attributes"]["numtasks.current"]
        self.supervisor.gpcsup("set", "tenant:/acme", f"numtasks.limit={current}")
        self.assertIn("-ERR", ask_redis(port, "BGSAVE"))
        self.assertGreater(self.supervisor.json("get", "tenant:/acme")["attributes"]["numtasks.failcnt"], 0)
        # Its limit is that of the group in which it is now, with the same filter.
        self.supervisor.gpcsup("attach", "cache", "tenant:/other")
        self.assertEqual("enforced", self.enforcement("cache"))
        self.assertIn("started", ask_redis(port, "BGSAVE"))

    @unittest.skipUnless(shutil.which("javac") and shutil.which("java"), "needs a JDK")
    def test_java_under_load(self):
        place = pathlib.Path(tempfile.mkdtemp(prefix="gpcsup-java-"))
        self.addCleanup(shutil.rmtree, place)
        subprocess.run(["javac", "-d", place, pathlib.Path(__file__).with_name("Echo.java")], check=True,
                       timeout=100 * harness.SLOW)
        place.chmod(0o755)
        port = free_port()
        self.begin({})
        server = self.supervisor.popen("run", "--name", "echo", "--", "/usr/bin/java", "-Xmx64m", "-cp", place, "Echo", port,
                                       stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.assertEqual("ready", read_line(server.stdout, 60))
        pid = self.supervisor.unit("echo")["pid"]
        self.assertGreater(len(threads_of(pid)), 10)
        with contextlib.ExitStack() as stack:
            asking = [stack.enter_context(Asking(port, b"%d\n" % number, b"%d\n" % number)) for number in range(8)]
            event = self.attach("echo")
        self.assertEqual("grafted", event["event"], event)
        self.assertEqual([([], True)] * 8, [(each.wrong, each.asked > 0) for each in asking])
        self.assertEqual("enforced", self.enforcement("echo"))
        self.assertEqual({"2"}, set(self.filtered(pid)))
        with socket.create_connection(("127.0.0.1", port), timeout=20 * harness.SLOW) as connection:
            self.assertEqual(b"exit 0\n", ask(connection, b"run\n"))
            current = self.supervisor.json("get", "tenant:/acme")["attributes"]["numtasks.current"]
            self.supervisor.gpcsup("set", "tenant:/acme", f"numtasks.limit={current}")
            self.assertEqual(b"refused\n", ask(connection, b"run\n"))
            self.supervisor.gpcsup("set", "tenant:/acme", "numtasks.limit=max")
            self.assertEqual(b"exit 0\n", ask(connection, b"run\n"))

    @unittest.skipUnless((SUPPORT / "brood").exists(), "needs brood")
    def test_children_that_it_forks_meanwhile(self):
        self.begin({})
        brood = self.supervisor.popen("run", "--name", "brood", "--", SUPPORT / "brood", 8, stdout=subprocess.PIPE,
                                      stdin=subprocess.DEVNULL)
        self.assertEqual("going 0", read_line(brood.stdout))
        pid = self.supervisor.unit("brood")["pid"]
        self.supervisor.gpcsup("attach", "--tree", pid, "tenant:/acme")
        self.assertEqual("grafted", self.grafted(pid)["event"])
        # While it pauses nobody is born and nobody dies, so /proc shows all of them. Who was there before is grafted as well,
        # the others have been born with the filter.
        os.kill(pid, signal.SIGUSR1)
        forks = int(read_line(brood.stdout).removeprefix("paused "))
        children = children_of(pid)
        self.assertEqual(min(forks, 8), len(children))
        for child in children:
            if status_field(child, "Seccomp") == "0":
                self.assertEqual("grafted", self.grafted(child)["event"])
        self.assertEqual({"2"}, {status_field(child, "Seccomp") for child in children})
        self.assertEqual("enforced", self.enforcement("brood"))
        rows = self.supervisor.json("ps", "brood")["processes"]
        self.assertEqual({pid, *children}, {row["pid"] for row in rows})
        os.kill(pid, signal.SIGUSR1)
        self.assertEqual(f"going {forks}", read_line(brood.stdout))

    def test_many_at_once(self):
        self.begin({f"plain{number}": service("sleep", "100000") for number in range(12)})
        pids = {self.supervisor.unit(f"plain{number}")["pid"] for number in range(12)}
        self.supervisor.gpcsup("attach", *pids, "tenant:/acme")
        done = set()
        while done != pids:
            event = self.events.wait_for(lambda event: event["event"] in ("grafted", "graft-refused"))
            self.assertEqual("grafted", event["event"])
            done.add(event["pid"])


class Observed(Graft):
    def test_a_filter_of_its_own(self):
        self.begin({"own": service(GRAFTEE, "filtered", "alone")})
        pid = self.supervisor.unit("own")["pid"]
        self.eventually(lambda: "2" in self.filtered(pid), 20, self.events, "it has its filter")
        self.assertEqual("graft-refused", self.attach("own")["event"])
        self.assertEqual("observed: it has a seccomp filter of its own", self.enforcement("own"))

    def test_a_descendant_with_a_filter_of_its_own(self):
        """Its parent is given one: the descendant's is not taken for that."""
        place = '[place]\ntenant = "/open/below"'
        self.begin({"both": service("sh", "-c", f"{GRAFTEE} filtered alone & exec sleep 100000", extra=place)})
        parent = self.supervisor.unit("both")["pid"]
        self.eventually(lambda: any("2" in self.filtered(pid) for pid in children_of(parent)), 20, self.events, "it has its filter")
        child = children_of(parent)[0]
        self.supervisor.gpcsup("set", "tenant:/open", "numtasks.limit=50")
        seen = {}
        while set(seen) != {parent, child}:
            event = self.events.wait_for(lambda event: event["event"] in ("grafted", "graft-refused"))
            seen[event["pid"]] = event["event"]
        self.assertEqual({parent: "grafted", child: "graft-refused"}, seen)
        words = {row["pid"]: row["enforcement"]["numtasks"] for row in self.supervisor.json("ps", "both")["processes"]}
        self.assertEqual({parent: "enforced", child: "observed: it has a seccomp filter of its own"}, words)

    def test_a_debugger_is_not_disturbed(self):
        self.begin({"traced": service("sleep", "100000")})
        pid = self.supervisor.unit("traced")["pid"]
        libc = ctypes.CDLL(None, use_errno=True)
        self.assertEqual(0, libc.ptrace(0x4206, pid, None, None))
        self.addCleanup(os.waitpid, pid, 0x40000000)  # __WALL: its tracer has to let its zombie go
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        self.attach("traced")
        self.assertEqual(f"observed: it is traced by process {os.getpid()}", self.enforcement("traced"))


class Ordinary(Graft):
    user = harness.ORDINARY if os.getuid() == 0 else None

    def test_only_with_the_promise_that_an_ordinary_user_has_to_make(self):
        self.begin({"bare": service("sleep", "100000"),
                    "promised": service("sleep", "100000", extra="no_new_privileges = true")})
        self.attach("bare")
        self.assertEqual("observed: needs no_new_privs in all its threads, or CAP_SYS_ADMIN in one",
                         self.enforcement("bare"))
        self.assertEqual("0", status_field(self.supervisor.unit("bare")["pid"], "NoNewPrivs"))
        self.attach("promised")
        self.assertEqual("enforced", self.enforcement("promised"))


class Crash(Graft):
    @needs_root
    def test_gpcsupd_is_killed_while_it_grafts(self):
        names = [f"plain{number}" for number in range(6)]
        self.begin({name: service(GRAFTEE, "nanosleep", "futex", "alone") for name in names})
        pids = {self.supervisor.unit(name)["pid"] for name in names}
        self.supervisor.gpcsup("attach", *pids, "tenant:/acme")
        for _ in range(2):
            supervisor = self.supervisor.helper("gpcsupd")
            os.kill(supervisor, signal.SIGKILL)
            self.assertTrue(harness.wait_gone(supervisor, 10))
            self.events.close()
            self.events = harness.Events(self.supervisor, since=0)
            self.supervisor.json("status")  # served by the successor
        done = {}
        while set(done) != pids:
            event = self.events.wait_for(lambda event: event["event"] in ("grafted", "graft-refused"), 40)
            done[event["pid"]] = event["event"]
        self.assertEqual({"grafted"}, set(done.values()))
        for name in names:
            self.assertEqual("enforced", self.enforcement(name))
            self.assertEqual({"2"}, set(self.filtered(self.supervisor.unit(name)["pid"])))


if __name__ == "__main__":
    unittest.main()
