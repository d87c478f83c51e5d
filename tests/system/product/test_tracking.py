"""Ownership: daemons that run away stay in their groups and end with their unit."""

import os
import time
import unittest

import harness
from harness import Case, Events, MISBEHAVE, needs_root, wait_gone


def unit(*flags, place="", restart="no", kind="simple"):
    command = ", ".join(f'"{word}"' for word in (str(MISBEHAVE), *flags))
    return f'enabled = false\n[service]\ntype = "{kind}"\ncommand = [{command}]\nrestart = "{restart}"\nstop_timeout = "1s"\n{place}'


PLACE = '[place]\ncompute = "/batch"\ntenant = "/acme"\n'


class Owned(Case):
    options = {}
    losing = ("--clear-env",)  # what a daemon loses beside parent and session

    def setUp(self):
        self.supervisor = self.supervise({
            "runaway": unit("--double-fork", "--setsid", *self.losing, "--ignore-term", place=PLACE, kind="forking"),
            "orphans": unit("--orphans", "20", place=PLACE),
            "cousin": unit("--clone-parent", place=PLACE, kind="forking"),
            "chain": 'enabled = false\n[service]\ncommand = ["sh", "-c", "(setsid sh -c \'sleep 1000 & sleep 1001 & exec sleep 1002\' &) ; '
                     'exec sleep 1003"]\n' + PLACE,
        }, **self.options)
        self.events = Events(self.supervisor, since=0)
        self.addCleanup(self.events.close)

    def members(self, name):
        return {row["pid"]: row for row in self.supervisor.json("ps", name)["processes"]}

    def settle(self, name, count):
        """What we say of the unit, once it has so many processes and they are those that /proc shows below gpc-init."""
        deadline = time.monotonic() + 15 * harness.SLOW
        while True:
            members, outside = self.members(name), set(self.supervisor.services())
            if (len(members) == count and set(members) == outside) or time.monotonic() > deadline:
                break
            self.events.next(min(deadline, time.monotonic() + 0.2))
        self.assertEqual((count, outside), (len(members), set(members)))
        for row in members.values():
            self.assertEqual((name, "/batch", "/acme"), (row["unit"], row["place"]["compute"], row["place"]["tenant"]))
        return members

    def stop(self, name, members):
        self.supervisor.gpcsup("stop", name)
        for pid in members:
            self.assertTrue(wait_gone(pid, 0), f"{pid} outlived its unit")
        self.assertEqual([], self.supervisor.services())

    def check_owned_and_stopped(self, name, count):
        self.supervisor.gpcsup("start", "--no-wait", name)
        self.stop(name, self.settle(name, count))


class InSight:
    """Who keeps a parent, a session or the environment until it has been seen."""

    def test_orphans(self):
        self.check_owned_and_stopped("orphans", 21)

    def test_sessions_of_their_own(self):
        self.check_owned_and_stopped("chain", 4)


@unittest.skipUnless(MISBEHAVE.exists(), "needs the misbehaving daemon")
class Runaways(InSight, Owned):
    def test_double_fork_setsid_clear_environment(self):
        self.check_owned_and_stopped("runaway", 1)

    def test_a_child_made_with_clone_parent(self):
        self.check_owned_and_stopped("cousin", 1)


class RunawaysOfAnOrdinaryUser(Runaways):
    user = harness.ORDINARY if os.getuid() == 0 else None


@needs_root
@unittest.skipUnless(MISBEHAVE.exists(), "needs the misbehaving daemon")
class SampledRunaways(Runaways):
    """Without the process connector. Who loses its parent, its session and its environment between two sweeps is nobody's, which
    docs/why/tracking.md says: here the environment is kept, or each such step waits for a sweep."""

    user = harness.ORDINARY
    losing = ()
    options = {"limits": harness.without_connector}

    def setUp(self):
        super().setUp()
        self.assertEqual("sampled", self.supervisor.json("status")["supervisor"]["tracking"])

    def test_without_environment_session_and_parents_step_by_step(self):
        steps = [self.supervisor.directory / name for name in ("first", "second")]
        for step in steps:
            os.mkfifo(step)
            step.chmod(0o644)
        self.supervisor.write_unit("stepper", f"""enabled = false
[service]
type = "forking"
command = ["env", "-i", "sh", "-c", "/usr/bin/setsid sh -c '/usr/bin/sleep 1000 & read go < {steps[1]}' & read go < {steps[0]}"]
restart = "no"
{PLACE}""")
        self.supervisor.gpcsup("apply")
        self.supervisor.gpcsup("start", "--no-wait", "stepper")
        for step, count in zip(steps, (3, 2)):
            members = self.settle("stepper", count)
            with open(step, "r+b", buffering=0) as both_ends:  # which waits for nobody to open it
                both_ends.write(b"\n")
                left = self.settle("stepper", count - 1)
            self.assertLess(set(left), set(members))
        self.stop("stepper", left)


if __name__ == "__main__":
    unittest.main(verbosity=2)
