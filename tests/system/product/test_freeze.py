"""freeze, thaw and kill of groups: what /proc says of every process, whoever forks, moves or kills meanwhile."""

import os
import select
import signal
import subprocess
import time
import unittest

import harness
from harness import Case, Events, ORDINARY, SLOW, children_of, command_name, needs_root, read_line, stat_of, \
    wait_gone

CONFIG = """
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
[hierarchy.tenant.group."/acme/web"]
[hierarchy.tenant.group."/other"]
[hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/batch"]
"""
READY = "import socket\nsocket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
# Four processes that wait; on SIGTERM the first says so and ends. It is taken by sigwait: one that came just before a pause
# would be seen after it.
COUNTER = ("import os, signal\n"
           "for _ in range(3):\n    if os.fork() == 0:\n        signal.pause()\n"
           "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n" + READY +
           "signal.sigwait([signal.SIGTERM])\nprint('bye', flush=True)\n")
# Five processes that fork as fast as they can; no child stays.
BOMB = ("import os\n"
        "for _ in range(4):\n    if os.fork() == 0:\n        break\n"
        "else:\n    " + READY.replace("\n", "\n    ", 1) +
        "while True:\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n")
# The main thread ends, another one says its number and goes on.
HEADLESS = ("import ctypes, platform, threading, time\n"
            "def on():\n"
            "    print(threading.get_native_id(), flush=True)\n"
            "    while True:\n        time.sleep(0.01)\n"
            "threading.Thread(target=on).start()\n"
            "ctypes.CDLL(None).syscall({'x86_64': 60}.get(platform.machine(), 93), 0)\n")


def service(script, place="", more=""):
    return f'enabled = false\n[service]\ntype = "notify"\ncommand = ["python3", "-c", """{script}"""]\n{more}[place]\n{place}'


UNITS = {
    "counter": service(COUNTER, 'tenant = "/acme/web"\n', 'restart = "no"\n'),
    "bomb": service(BOMB, 'tenant = "/acme"\n', "stop_timeout = \"2s\"\n"),
    "bystander": 'enabled = false\n[service]\ncommand = ["sleep", "100000"]\n[place]\ntenant = "/other"\n',
}


def pause(seconds):
    """Time passes: what must not happen has no event to wait for."""
    select.select([], [], [], seconds)


def wait_until_stopped(pid, seconds=20):
    """Nothing tells of a stop but to the parent."""
    deadline = time.monotonic() + seconds * SLOW
    while stat_of(pid)[0] != "T":
        if time.monotonic() > deadline:
            raise AssertionError(f"{pid} is not stopped but {stat_of(pid)[0]}")
        pause(0.02)


class Freeze(Case):
    def begin(self):
        supervisor = self.supervise(UNITS, CONFIG)
        events = Events(supervisor)
        self.addCleanup(events.close)
        return supervisor, events

    def members(self, supervisor, group):
        return [one["pid"] for one in supervisor.json("ps", group)["processes"]]

    def states(self, pids):
        return {pid: (stat_of(pid) or ["gone"])[0] for pid in pids}

    def assert_states(self, pids, state):
        self.assertEqual({state}, set(self.states(pids).values()) or {state}, self.states(pids))

    def start_counter(self, supervisor, events):
        supervisor.gpcsup("start", "counter")
        pids = self.members(supervisor, "unit:/counter")
        self.assertEqual(4, len(pids))
        return pids

    def test_everybody_stands_still_and_goes_on(self):
        supervisor, events = self.begin()
        pids = self.start_counter(supervisor, events)
        supervisor.gpcsup("start", "bystander")
        beside = supervisor.unit("bystander")["pid"]
        answer = supervisor.json("freeze", "tenant:/acme")
        self.assertEqual((4, []), (answer["processes"], answer["survivors"]))
        self.assert_states(pids, "T")
        self.assertNotEqual("T", stat_of(beside)[0])
        self.assertTrue(supervisor.json("get", "tenant:/acme/web", "group.frozen")["attributes"]["group.frozen"])
        frozen = events.wait_for(lambda event: event["event"] == "group-frozen")
        self.assertEqual("tenant:/acme", frozen["group"])
        supervisor.gpcsup("wait", "tenant:/acme", "--frozen", "--timeout", "5s")
        self.assertEqual(["tenant:/acme"], supervisor.unit("counter")["frozen_by"])
        self.assertEqual([], supervisor.unit("bystander")["frozen_by"])
        for screen in (supervisor.gpcsup("status"), supervisor.gpcsup("status", "counter")):
            self.assertIn("frozen with tenant:/acme: gpcsup thaw tenant:/acme", screen.stdout)
        self.assertEqual(2, supervisor.gpcsup("wait", "tenant:/acme", "--thawed", "--timeout", "50ms",
                                              check=False).returncode)
        supervisor.gpcsup("thaw", "tenant:/acme")
        self.assertNotIn("T", self.states(pids).values())
        events.wait_for(lambda event: event["event"] == "group-thawed")

    def test_an_own_stop_stays(self):
        supervisor, events = self.begin()
        pids = self.start_counter(supervisor, events)
        os.kill(pids[-1], signal.SIGSTOP)
        wait_until_stopped(pids[-1])
        supervisor.gpcsup("freeze", "counter")
        supervisor.gpcsup("thaw", "counter")
        self.assertEqual("T", stat_of(pids[-1])[0])
        self.assertNotIn("T", self.states(pids[:-1]).values())
        os.kill(pids[-1], signal.SIGCONT)

    def test_fork_bomb(self):
        supervisor, _ = self.begin()
        supervisor.gpcsup("start", "bomb")
        answer = supervisor.json("freeze", "bomb")
        self.assertEqual([], answer["survivors"])
        main = supervisor.unit("bomb")["pid"]
        below = [main, *harness.descendants(main)]
        self.assertGreaterEqual(len(below), 5)
        alive = {pid: state for pid, state in self.states(below).items() if state not in ("Z", "gone")}
        self.assertLessEqual(set(alive.values()), {"T"}, alive)
        pause(0.5)
        self.assertEqual(sorted(below), sorted([main, *harness.descendants(main)]))  # no child more, none less
        supervisor.gpcsup("thaw", "bomb")
        self.assertEqual("active", supervisor.unit("bomb")["state"])
        supervisor.gpcsup("kill", "-s", "KILL", "bomb")
        self.assertTrue(wait_gone(main, 10))

    def test_nested(self):
        supervisor, events = self.begin()
        pids = self.start_counter(supervisor, events)
        supervisor.gpcsup("freeze", "tenant:/acme")
        supervisor.gpcsup("freeze", "tenant:/acme/web")
        thawed = supervisor.gpcsup("thaw", "tenant:/acme/web")
        self.assertIn("stays frozen by tenant:/acme", thawed.stderr)
        self.assert_states(pids, "T")
        supervisor.gpcsup("freeze", "tenant:/acme/web")
        supervisor.gpcsup("thaw", "tenant:/acme")
        self.assert_states(pids, "T")
        supervisor.gpcsup("thaw", "tenant:/acme/web")
        self.assertNotIn("T", self.states(pids).values())

    def test_moving_in_and_out(self):
        supervisor, events = self.begin()
        pids = self.start_counter(supervisor, events)
        supervisor.gpcsup("freeze", "tenant:/other")
        supervisor.gpcsup("attach", "counter", "tenant:/other")
        for pid in pids:
            wait_until_stopped(pid)
        supervisor.gpcsup("attach", pids[0], "tenant:/acme")
        self.assertNotEqual("T", stat_of(pids[0])[0])
        self.assert_states(pids[1:], "T")
        # Two hierarchies: both have to let go.
        supervisor.gpcsup("freeze", "compute:/batch")
        supervisor.gpcsup("attach", pids[1], "compute:/batch")
        supervisor.gpcsup("thaw", "tenant:/other")
        self.assertEqual("T", stat_of(pids[1])[0])
        self.assertNotIn("T", self.states(pids[2:]).values())
        supervisor.gpcsup("thaw", "compute:/batch")
        self.assertNotEqual("T", stat_of(pids[1])[0])

    def test_born_frozen(self):
        supervisor, _ = self.begin()
        supervisor.gpcsup("freeze", "tenant:/other")
        supervisor.gpcsup("start", "--no-wait", "bystander")
        supervisor.gpcsup("wait", "tenant:/other", "--populated", "--timeout", "10s")
        for pid in self.members(supervisor, "tenant:/other"):
            wait_until_stopped(pid)
        supervisor.gpcsup("thaw", "tenant:/other")
        supervisor.gpcsup("start", "bystander")  # waits until it is active
        self.assertEqual("sleep", command_name(supervisor.unit("bystander")["pid"]))

    def test_somebody_elses_continue_is_undone(self):
        supervisor, events = self.begin()
        pids = self.start_counter(supervisor, events)
        supervisor.gpcsup("freeze", "counter")
        os.kill(pids[1], signal.SIGCONT)
        wait_until_stopped(pids[1])
        supervisor.gpcsup("thaw", "counter")
        self.assertNotEqual("T", stat_of(pids[1])[0])

    def test_supervisor_killed_between(self):
        supervisor, events = self.begin()
        pids = self.start_counter(supervisor, events)
        os.kill(pids[3], signal.SIGSTOP)
        wait_until_stopped(pids[3])
        supervisor.gpcsup("freeze", "tenant:/acme")
        killed = supervisor.helper("gpcsupd")
        os.kill(killed, signal.SIGKILL)
        self.assertTrue(wait_gone(killed, 10))
        os.kill(pids[1], signal.SIGCONT)  # while nobody looked
        supervisor.gpcsup("wait", "tenant:/acme", "--frozen", "--timeout", "20s")
        self.assert_states(pids, "T")
        self.assertTrue(supervisor.json("get", "tenant:/acme", "group.frozen")["attributes"]["group.frozen"])
        killed = supervisor.helper("gpcsupd")
        os.kill(killed, signal.SIGKILL)
        self.assertTrue(wait_gone(killed, 10))
        supervisor.gpcsup("thaw", "tenant:/acme")
        self.assertNotIn("T", self.states(pids[:3]).values())
        self.assertEqual("T", stat_of(pids[3])[0])
        os.kill(pids[3], signal.SIGCONT)

    def test_stop_lets_go_first(self):
        supervisor, events = self.begin()
        for frozen in ("counter", "tenant:/acme"):
            self.start_counter(supervisor, events)
            supervisor.gpcsup("freeze", frozen)
            supervisor.gpcsup("stop", "counter")
            self.assertTrue(supervisor.log("counter").rstrip().endswith(b"bye"), supervisor.log("counter"))
            if frozen != "counter":
                supervisor.gpcsup("thaw", frozen)
        self.assertFalse(supervisor.json("get", "unit:/counter", "group.frozen")["attributes"]["group.frozen"])

    def test_kill_of_a_frozen_group(self):
        supervisor, events = self.begin()
        pids = self.start_counter(supervisor, events)
        supervisor.gpcsup("freeze", "tenant:/acme")
        supervisor.gpcsup("kill", "-s", "KILL", "tenant:/acme/web")
        for pid in pids:
            self.assertTrue(wait_gone(pid, 5))
        supervisor.gpcsup("wait", "tenant:/acme", "--empty", "--timeout", "5s")

    def test_a_process_whose_leader_has_ended(self):
        """The main thread has ended, another counts on: it stands still, and /proc/PID/stat says Z all the while."""
        supervisor, events = self.begin()
        client = supervisor.popen("run", "--name", "headless", "-g", "tenant:/acme", "--", "python3", "-c", HEADLESS,
                                  stdout=subprocess.PIPE)
        tid = int(read_line(client.stdout))
        pid = supervisor.unit("headless")["pid"]
        deadline = time.monotonic() + 20 * SLOW
        while stat_of(pid)[0] != "Z":
            self.assertLess(time.monotonic(), deadline)
            pause(0.02)
        answer = supervisor.json("freeze", "tenant:/acme")
        self.assertEqual((1, []), (answer["processes"], answer["survivors"]))
        self.assertEqual(("Z", "T"), (stat_of(pid)[0], self.thread_state(pid, tid)))
        os.kill(pid, signal.SIGCONT)  # somebody else's: undone
        deadline = time.monotonic() + 20 * SLOW
        while self.thread_state(pid, tid) != "T":
            self.assertLess(time.monotonic(), deadline)
            pause(0.02)
        supervisor.gpcsup("thaw", "tenant:/acme")
        self.assertNotEqual("T", self.thread_state(pid, tid))
        supervisor.gpcsup("freeze", "tenant:/acme")
        supervisor.gpcsup("kill", "-s", "KILL", "tenant:/acme")
        self.assertTrue(wait_gone(pid, 10))
        client.wait(30 * SLOW)

    def thread_state(self, pid, tid):
        return harness.status_field(pid, "State", tid).split()[0]

    def test_what_cannot_be(self):
        supervisor, _ = self.begin()
        root = supervisor.gpcsup("freeze", "tenant:/", check=False)
        self.assertEqual(64, root.returncode)
        self.assertIn("root of a hierarchy", root.stderr)
        self.assertEqual(4, supervisor.gpcsup("freeze", "tenant:/nowhere", check=False).returncode)
        self.assertEqual(3, supervisor.gpcsup("freeze", "bystander", check=False).returncode)
        empty = supervisor.json("freeze", "tenant:/other")
        self.assertEqual(0, empty["processes"])


class FreezeAsOrdinaryUser(Freeze):
    user = ORDINARY if os.getuid() == 0 else None


class Kill(Case):
    def test_it_waits_until_the_last_one_is_gone(self):
        supervisor = self.supervise(UNITS, CONFIG)
        for _ in range(3):
            supervisor.gpcsup("start", "bomb")
            main = supervisor.unit("bomb")["pid"]
            supervisor.gpcsup("kill", "-s", "KILL", "tenant:/acme")
            # The answer means: nobody is left in it.
            self.assertIn((stat_of(main) or ["gone"])[0], ("Z", "gone"))
            supervisor.gpcsup("stop", "bomb")

    def test_moved_about_while_it_is_killed(self):
        supervisor = self.supervise(UNITS, CONFIG)
        supervisor.gpcsup("start", "bomb")
        main = supervisor.unit("bomb")["pid"]
        below = [main, *children_of(main)]
        mover = supervisor.popen("attach", "--tree", main, "tenant:/other", stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        supervisor.gpcsup("kill", "-s", "KILL", "unit:/bomb")
        mover.wait(30)
        for pid in below:
            self.assertTrue(wait_gone(pid, 10))

    def test_each_is_dead_or_was_moved_before(self):
        """Some are moved out while the group is killed: who lives is out of it and runs, nobody is in between."""
        supervisor = self.supervise(UNITS, CONFIG)
        fates = set()
        for killed_after in (0, 3, 6, 12):
            pids = []
            for _ in range(12):
                run = supervisor.gpcsup("run", "--detach", "-g", "tenant:/acme/web", "--", "sleep", "100000")
                pids.append(supervisor.unit(run.stdout.strip())["pid"])
            movers = {}
            for number, pid in enumerate([*pids, None]):
                if number == killed_after:
                    killing = supervisor.popen("kill", "-s", "KILL", "tenant:/acme", stderr=subprocess.PIPE)
                if pid is not None:
                    movers[pid] = supervisor.popen("attach", pid, "tenant:/other", stdout=subprocess.DEVNULL,
                                                   stderr=subprocess.DEVNULL)
            self.assertIn(killing.wait(30 * SLOW), (0, 3), killing.stderr.read())  # 3: all were out of it before
            moved = {pid for pid, mover in movers.items() if mover.wait(30 * SLOW) == 0}
            inside, outside = (self.members_of(supervisor, group) for group in ("tenant:/acme", "tenant:/other"))
            self.assertEqual(set(), inside)
            for pid in pids:
                state = (stat_of(pid) or ["gone"])[0]
                if state in ("Z", "X", "gone"):
                    fates.add("dead")
                    continue
                fates.add("moved")
                self.assertIn(pid, moved & outside)
                self.assertNotIn(state, "Tt", "it was not stopped for good on its way out")
            supervisor.gpcsup("kill", "-s", "KILL", "tenant:/other", check=False)
        self.assertEqual({"dead", "moved"}, fates)

    def members_of(self, supervisor, group):
        return {row["pid"] for row in supervisor.json("ps", group)["processes"]}

    def test_gpcsupd_killed_meanwhile(self):
        supervisor = self.supervise(UNITS, CONFIG)
        supervisor.gpcsup("start", "counter")
        pid = supervisor.unit("counter")["pid"]
        supervisor.gpcsup("kill", "--no-wait", "-s", "KILL", "tenant:/acme")
        os.kill(supervisor.helper("gpcsupd"), signal.SIGKILL)
        supervisor.gpcsup("wait", "tenant:/acme", "--empty", "--timeout", "20s")
        self.assertTrue(wait_gone(pid, 10))


class KillAsOrdinaryUser(Kill):
    user = ORDINARY if os.getuid() == 0 else None


@needs_root
class Survivors(Case):
    """An ordinary user's supervisor may not signal what has become another user's."""

    user = ORDINARY

    def test_they_are_named(self):
        command = self.command_of_root()
        supervisor = self.supervise({"other": f"enabled = false\n[service]\ncommand = {command}\n[place]\ntenant = \"/acme\"\n"},
                                    CONFIG)
        events = Events(supervisor)
        self.addCleanup(events.close)
        supervisor.gpcsup("start", "other")
        pid = supervisor.unit("other")["pid"]
        self.addCleanup(lambda: (os.kill(pid, signal.SIGKILL), wait_gone(pid, 10)))
        deadline = time.monotonic() + 20 * SLOW
        while (harness.status_field(pid, "Uid") or "0").split()[0] != "0" or command_name(pid) != "sleep":
            self.assertLess(time.monotonic(), deadline, "setpriv did not become root: is the directory mounted nosuid?")
            pause(0.05)
        for verb, event in ((("freeze",), "freeze-survivor"), (("kill", "-s", "KILL"), "kill-survivor")):
            tried = supervisor.gpcsup(*verb, "tenant:/acme", check=False)
            self.assertEqual(1, tried.returncode, tried)
            self.assertIn(f"process {pid} cannot be signalled", tried.stderr)
            told = events.wait_for(lambda one, event=event: one["event"] == event)
            self.assertEqual(pid, told["pid"])
            if verb == ("freeze",):
                running = supervisor.gpcsup("wait", "tenant:/acme", "--frozen", "--timeout", "300ms", check=False)
                self.assertEqual(2, running.returncode, running)
        supervisor.gpcsup("thaw", "tenant:/acme")


if __name__ == "__main__":
    unittest.main(verbosity=2)
