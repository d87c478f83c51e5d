"""Processes that run without a filter and are attached to a limited group: from then on the limit is enforced."""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
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
        over, wrong, asked = threading.Event(), [], [0]

        def ask_on():
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                while not over.is_set():
                    connection.sendall(b"PING\r\n")
                    answer = connection.recv(64)
                    asked[0] += 1
                    if answer != b"+PONG\r\n":
                        wrong.append(answer)
        asking = threading.Thread(target=ask_on)
        asking.start()
        try:
            event = self.attach("cache")
        finally:
            over.set()
            asking.join()
        self.assertEqual("grafted", event["event"], event)
        output = load.communicate(timeout=200 * harness.SLOW)[0]
        self.assertEqual((0, [], True), (load.returncode, wrong, asked[0] > 0), output)
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
