"""What a successor of a killed gpcsupd finds at awkward moments: an end, a start or a kill that was under way."""

import os
import random
import signal
import unittest

import harness
from harness import Case, Events, descendants, stat_of, wait_gone

ROUNDS = int(os.environ.get("GPCSUP_ENDS", "6"))
SEED = int(os.environ.get("GPCSUP_SEED", str(random.SystemRandom().randrange(1 << 32))))
STUBBORN = '[service]\ncommand = ["sh", "-c", "trap \'\' TERM; exec sleep 100000"]\nstop_timeout = "%s"\n'
AT_ONCE = '[service]\ncommand = ["sleep", "100000"]\n'
SLOWLY = '[service]\ncommand = ["sh", "-c", "trap \'sleep 0.3; exit 0\' TERM; while :; do sleep 0.05; done"]\n'


def is_zombie(pid):
    return (stat_of(pid) or ["Z"])[0] == "Z"


class Successors(Case):
    def kill_supervisor(self, supervisor):
        """Kills the gpcsupd that runs now, if one does, and waits until it has ended."""
        pid = supervisor.helper("gpcsupd")
        if pid is None or is_zombie(pid):
            return None
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        self.assertTrue(wait_gone(pid, 5))
        return pid

    def check_ended(self, supervisor, below, seconds):
        try:
            status = supervisor.init.wait(seconds * harness.SLOW)
        except harness.subprocess.TimeoutExpired:
            self.fail(f"gpc-init did not end within {seconds} s")
        self.assertEqual(0, status, supervisor.output())
        for pid in below:
            self.assertTrue(wait_gone(pid, 5), f"{pid} {harness.command_name(pid)} outlived gpc-init")


class Ends(Successors):
    def test_everything_has_ended_before_the_successor_looks(self):
        supervisor = self.supervise({"stubborn": STUBBORN % "600s"})
        supervisor.gpcsup("start", "stubborn")
        below = descendants(supervisor.init.pid)
        service = supervisor.unit("stubborn")["pid"]
        events = Events(supervisor)
        self.addCleanup(events.close)
        supervisor.gpcsup("exit", "--no-wait")
        events.wait_for(lambda event: event["event"] == "unit-stopping" and event.get("unit") == "stubborn")
        supervisor.init.send_signal(signal.SIGSTOP)  # nobody is replaced and nobody is reaped meanwhile
        try:
            self.assertIsNotNone(self.kill_supervisor(supervisor))
            os.kill(service, signal.SIGKILL)
            self.assertTrue(wait_gone(service, 5))
        finally:
            supervisor.init.send_signal(signal.SIGCONT)
        self.check_ended(supervisor, below, 20)

    def test_at_random_moments(self):
        print(f"seed {SEED} (GPCSUP_SEED repeats it)", flush=True)
        chance = random.Random(SEED)
        for round_ in range(ROUNDS):
            supervisor = self.supervise({"once": AT_ONCE, "slow": SLOWLY, "stubborn": STUBBORN % "400ms",
                                         "last": AT_ONCE + '[depends]\nbefore = ["once", "slow"]\n'})
            supervisor.gpcsup("start", "once", "slow", "stubborn", "last")
            below = descendants(supervisor.init.pid)
            supervisor.gpcsup("exit", "--no-wait")
            for _ in range(3):
                harness.select.select([], [], [], chance.uniform(0, 0.25))
                if supervisor.init.poll() is None:
                    self.kill_supervisor(supervisor)
            self.check_ended(supervisor, below, 30)


class EndsOfAnOrdinaryUser(Ends):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
