"""cpuset: what sched_setaffinity of a member gives it, whatever happens around it."""

import os
import signal
import unittest

import harness
from harness import Case, Events

FORKER = harness.MISBEHAVE.parent / "forker"  # asks for a mask, good or bad, and prints what became of it
CONFIG = """
[hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/a"]
cpuset.cpus = "0"
"""


@unittest.skipUnless(FORKER.exists() and 0 in os.sched_getaffinity(0), "needs the forker and CPU 0")
class Asking(Case):
    def ask(self, supervisor, *arguments):
        return supervisor.gpcsup("run", "-g", "compute:/a", "--", FORKER, *arguments).stdout

    def test_readers_that_miss_their_deadline_are_replaced_by_ones_that_are_heard(self):
        supervisor = self.supervise({}, CONFIG)
        self.assertEqual("errno 0 mask 1\n", self.ask(supervisor, "affinity", "3"))
        for _ in range(4):  # each costs a reader; there are two
            answer = self.ask(supervisor, "affinity-hang", "0")
            if answer.startswith("errno -1"):
                self.skipTest("userfaultfd is not permitted here")
            self.assertEqual("errno 14 mask 1\n", answer)
        for _ in range(4):
            self.assertEqual("errno 0 mask 1\n", self.ask(supervisor, "affinity", "3"))


class AskingAsOrdinaryUser(Asking):
    user = harness.ORDINARY if os.getuid() == 0 else None


@unittest.skipUnless(os.getuid() == 0 and {0, 1} <= os.sched_getaffinity(0), "needs root, and CPUs 0 and 1")
class Hotplug(Case):
    """CPUs that go and come are heard of at gpc-init's heartbeat (20 s), and by a successor of gpcsupd at once."""

    def test_masks_follow_what_was_asked(self):
        claimed = harness.ClaimedCpus("0-1")
        self.addCleanup(claimed.close)
        worker = '[service]\ncommand = ["sleep", "100000"]\n[place]\ncompute = "/b"\n'
        config = CONFIG + '[hierarchy.compute.group."/b"]\ncpuset.cpus = "1"\n'
        supervisor = self.supervise({"worker": worker}, config, limits=claimed.show)
        pid = supervisor.unit("worker")["pid"]
        events = Events(supervisor)
        self.addCleanup(events.close)
        cpus = lambda: [supervisor.json("get", "compute:/b")["attributes"][f"cpuset.{name}"] for name in ("cpus", "effective_cpus")]
        self.assertEqual((["1", "1"], {1}), (cpus(), os.sched_getaffinity(pid)))
        claimed.set("0")
        self.assertEqual("0", events.wait_for(lambda event: event["event"] == "cpus-changed", 40)["online"])
        self.assertEqual((["1", "0"], {0}), (cpus(), os.sched_getaffinity(pid)))
        claimed.set("0-1")
        os.kill(supervisor.helper("gpcsupd"), signal.SIGKILL)
        events.wait_for(lambda event: event["event"] == "supervisor-replaced")
        self.assertEqual((["1", "1"], {1}), (cpus(), os.sched_getaffinity(pid)))


if __name__ == "__main__":
    unittest.main()
