"""Ownership: daemons that run away stay in their groups and end with their unit."""

import os
import time
import unittest

import harness
from harness import Case, Events, MISBEHAVE, wait_gone


def unit(*flags, place="", restart="no", kind="simple"):
    command = ", ".join(f'"{word}"' for word in (str(MISBEHAVE), *flags))
    return f'enabled = false\n[service]\ntype = "{kind}"\ncommand = [{command}]\nrestart = "{restart}"\nstop_timeout = "1s"\n{place}'


PLACE = '[place]\ncompute = "/batch"\ntenant = "/acme"\n'


@unittest.skipUnless(MISBEHAVE.exists(), "needs the misbehaving daemon")
class Runaways(Case):
    def setUp(self):
        self.supervisor = self.supervise({
            "runaway": unit("--double-fork", "--setsid", "--clear-env", "--ignore-term", place=PLACE,
                            kind="forking"),
            "orphans": unit("--orphans", "20", place=PLACE),
            "cousin": unit("--clone-parent", place=PLACE, kind="forking"),
            "chain": 'enabled = false\n[service]\ncommand = ["sh", "-c", "(setsid sh -c \'sleep 1000 & sleep 1001 & exec sleep 1002\' &) ; exec sleep 1003"]\n' + PLACE,
        })
        self.events = Events(self.supervisor, since=0)
        self.addCleanup(self.events.close)

    def members(self, name):
        return {row["pid"]: row for row in self.supervisor.json("ps", name)["processes"]}

    def settle(self, name, count):
        deadline = time.monotonic() + 15 * harness.SLOW
        while len(self.members(name)) != count and time.monotonic() < deadline:
            self.events.next(min(deadline, time.monotonic() + 0.2))
        return self.members(name)

    def check_owned_and_stopped(self, name, count):
        self.supervisor.gpcsup("start", "--no-wait", name)
        members = self.settle(name, count)
        self.assertEqual(count, len(members), members)
        outside = set(self.supervisor.services())
        self.assertEqual(outside, set(members), "what /proc shows below gpc-init is what we say")
        for row in members.values():
            self.assertEqual((name, "/batch", "/acme"), (row["unit"], row["place"]["compute"], row["place"]["tenant"]))
        self.supervisor.gpcsup("stop", name)
        for pid in members:
            self.assertTrue(wait_gone(pid, 0), f"{pid} outlived its unit")

    def test_double_fork_setsid_clear_environment(self):
        self.check_owned_and_stopped("runaway", 1)

    def test_orphans(self):
        self.check_owned_and_stopped("orphans", 21)

    def test_a_child_made_with_clone_parent(self):
        self.check_owned_and_stopped("cousin", 1)

    def test_sessions_of_their_own(self):
        self.check_owned_and_stopped("chain", 4)


class RunawaysOfAnOrdinaryUser(Runaways):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
