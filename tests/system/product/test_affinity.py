"""cpuset: what sched_setaffinity of a member gives it, whatever happens around it."""

import os
import unittest

import harness
from harness import Case

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


if __name__ == "__main__":
    unittest.main()
