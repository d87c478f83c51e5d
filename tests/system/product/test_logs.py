"""What a service writes is in its log once and in order, whoever of us is killed meanwhile."""

import os
import random
import select
import signal
import unittest

import harness
from harness import Case, Events, command_name, descendants, read_line, wait_gone

ROUNDS = 12 // harness.SLOW
SEED = int(os.environ.get("GPCSUP_SEED", str(random.SystemRandom().randrange(1 << 32))))
HELPERS = ("gpcsupd", "gpc-logd", "gpc-enforce")
# Writes numbered lines, each with one write(2), and after a hundred of them their count to a fifo: those are out. Asked to
# end it says how many there were. The pause keeps the log below the size at which it is rotated; a pipe is full in 0.3 s.
TALKER = """
import os, signal, sys, time
marks = os.open(sys.argv[1], os.O_WRONLY)
going = True
def end(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
count = 0
while going:
    os.write(1, b"line %d\\n" % count)
    count += 1
    if count % 100 == 0:
        os.write(marks, b"%d\\n" % count)
        time.sleep(0.005)
os.write(marks, b"%d\\n" % count)
"""


class Logs(Case):
    def setUp(self):
        print(f"seed {SEED} (GPCSUP_SEED repeats it)", flush=True)
        self.random = random.Random(SEED)
        place = self.make_directory()
        (place / "talker.py").write_text(TALKER)
        os.mkfifo(place / "marks")
        (place / "marks").chmod(0o666)
        self.marks = os.fdopen(os.open(place / "marks", os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
        self.addCleanup(self.marks.close)
        command = harness.json.dumps(["/usr/bin/python3", str(place / "talker.py"), str(place / "marks")])
        self.supervisor = self.supervise({"talker": f'enabled = false\n[service]\ncommand = {command}\nstop_timeout = "2m"\n'
                                                    '[place]\ntenant = "/acme"\n[limits]\nnumtasks.limit = 8\n'})
        self.addCleanup(setattr, self, "supervisor", None)
        self.supervisor.gpcsup("start", "talker")
        self.assertGreater(self.mark(), 0)

    def mark(self):
        """The next count of lines that were written."""
        self.last = int(read_line(self.marks, 60))
        return self.last

    def marks_until_its_end(self):
        """The last count that the talker told, once it has ended: nobody has the fifo open any more."""
        text = b""
        while select.select([self.marks], [], [], 60 * harness.SLOW)[0] and (piece := os.read(self.marks.fileno(), 65536)):
            text += piece
        return max([self.last] + [int(line) for line in text.split(b"\n")[:-1]])

    def pass_over(self, most):
        """Reads on for a few marks: the service was not held up, and a random moment is reached."""
        for _ in range(self.random.randrange(1, most)):
            self.mark()

    def kill_helpers(self, names):
        for name in names:
            self.pass_over(20)
            pid = self.supervisor.helper(name)
            if pid is not None:  # else it is just being started again
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.assertTrue(wait_gone(pid, 20))

    def stop_and_compare(self):
        """At the end of gpc-init all must be there: what is in the pipe still gpc-logd writes before it ends."""
        main = self.supervisor.unit("talker")["pid"]
        self.supervisor.gpcsup("stop", "talker", timeout=150)
        self.assertTrue(wait_gone(main, 20))
        count = self.marks_until_its_end()
        self.assertEqual(0, self.supervisor.stop())
        self.compare(count, count)

    def compare(self, least, most=None):
        """The log is the lines 0, 1, 2… without a gap, at least so many, and each is whole."""
        written = self.supervisor.log("talker")
        lines = written.split(b"\n")
        self.assertEqual(b"", lines.pop(), "the last line is whole")
        wrong = next((number for number, line in enumerate(lines) if line != b"line %d" % number), None)
        self.assertIsNone(wrong, f"of {least} lines; around it: {lines[max(0, (wrong or 0) - 2):(wrong or 0) + 3]}")
        self.assertGreaterEqual(len(lines), least)
        if most is not None:
            self.assertEqual(most, len(lines))

    def test_kills_of_gpcsupd(self):
        before = self.supervisor.unit("talker")
        self.kill_helpers(["gpcsupd"] * ROUNDS)
        after = self.supervisor.unit("talker")
        self.assertEqual((before["pid"], 0, "active"), (after["pid"], after["restarts"], after["state"]))
        self.stop_and_compare()

    def test_kills_of_all_of_them_in_turn(self):
        before = self.supervisor.unit("talker")
        self.kill_helpers([self.random.choice(HELPERS) for _ in range(ROUNDS)])
        after = self.supervisor.unit("talker")
        self.assertEqual((before["pid"], 0, "active"), (after["pid"], after["restarts"], after["state"]))
        self.stop_and_compare()

    def test_gpcsupd_and_gpc_logd_killed_together(self):
        for _ in range(max(2, ROUNDS // 4)):
            self.pass_over(20)
            pids = [pid for pid in map(self.supervisor.helper, ("gpc-logd", "gpcsupd")) if pid is not None]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for pid in pids:
                self.assertTrue(wait_gone(pid, 20))
            self.supervisor.gpcsup("status")
        self.stop_and_compare()

    def test_gpc_init_killed(self):
        """Who is left writes down what had been said before: gpc-logd has four seconds for it."""
        self.pass_over(40)
        below = descendants(self.supervisor.init.pid)
        self.supervisor.init.kill()
        self.supervisor.init.wait()
        for pid in below:
            self.assertTrue(wait_gone(pid, 30), f"{pid} {command_name(pid)} outlived gpc-init")
        self.compare(self.marks_until_its_end())


class LogsOfAnOrdinaryUser(Logs):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
