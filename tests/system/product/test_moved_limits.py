"""Whose limit counts for the processes of one filtered unit, when some of them are moved and their parents end."""

import errno
import os
import select
import signal
import time
import unittest

import harness
from harness import Case

CONFIG = """
[hierarchy.compute]
controllers = ["cpuacct"]
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/a"]
numtasks.limit = 12
[hierarchy.tenant.group."/b"]
numtasks.limit = 30
[hierarchy.tenant.group."/small"]
numtasks.limit = 5
"""
# Does what it is told on its fifo, one word a line: `fork NAME` makes a child that listens on a fifo of its own, `bomb` makes
# processes that sleep until one is refused (at most 40) and says how many there were, `end` ends.
PUPPET = '''import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
def play(place, name):
    words, answers = open(f"{place}/{name}.in"), open(f"{place}/{name}.out", "w", buffering=1)
    print(os.getpid(), file=answers)
    for line in iter(words.readline, ""):
        word, *rest = line.split()
        if word == "end":
            os._exit(0)
        if word == "fork":
            if os.fork() == 0:
                play(place, rest[0])
        if word == "bomb":
            made, refused = 0, ""
            while made < 40 and not refused:
                try:
                    if os.fork() == 0:
                        signal.pause()
                    made += 1
                except OSError as error:
                    refused = error.errno
            print(made, refused, file=answers)
play(sys.argv[1], "main")
'''


class Puppet:
    def __init__(self, test, name):
        self.test = test
        self.path = test.place / name
        os.mkfifo(f"{self.path}.in")
        os.mkfifo(f"{self.path}.out")
        for end in ("in", "out"):
            os.chmod(f"{self.path}.{end}", 0o666)
        self.words = os.open(f"{self.path}.in", os.O_RDWR | os.O_CLOEXEC)
        self.answers = os.open(f"{self.path}.out", os.O_RDWR | os.O_CLOEXEC)
        test.addCleanup(os.close, self.words)
        test.addCleanup(os.close, self.answers)
        self.pid = None

    def tell(self, text):
        os.write(self.words, f"{text}\n".encode())

    def answer(self):
        said, deadline = b"", time.monotonic() + 30 * harness.SLOW
        while not said.endswith(b"\n"):
            self.test.assertTrue(select.select([self.answers], [], [], max(0, deadline - time.monotonic()))[0], "no answer")
            said += os.read(self.answers, 1)
        return said.decode().split()

    def meet(self):
        self.pid = int(self.answer()[0])
        return self

    def child(self, name):
        child = Puppet(self.test, name)
        self.tell(f"fork {name}")
        return child.meet()

    def bomb(self):
        self.tell("bomb")
        made, *refused = self.answer()
        return int(made), [int(number) for number in refused]


class Moved(Case):
    def setUp(self):
        self.place = self.make_directory(0o777)
        main = Puppet(self, "main")
        self.supervisor = self.supervise({"puppet": f"""enabled = false
[service]
restart = "no"
stop_timeout = "300ms"
command = ["/usr/bin/python3", "-c", '''{PUPPET}''', "{self.place}"]
[place]
tenant = "/a"
"""}, CONFIG)
        self.supervisor.gpcsup("start", "puppet")
        self.main = main.meet()

    def attach(self, puppet, group):
        self.supervisor.gpcsup("attach", puppet.pid, f"tenant:{group}")

    def refused_at(self, puppet, limit, there):
        """It can make so many that there are `limit` tasks in its group, where `there` are already."""
        self.assertEqual((limit - there, [errno.EAGAIN]), puppet.bomb())

    def test_who_stays_behind_keeps_its_limit(self):
        worker = self.main.child("worker")
        self.attach(self.main, "/b")
        self.refused_at(worker, 12, 1)
        self.refused_at(self.main, 30, 1)

    def test_children_that_stay_behind_keep_theirs(self):
        worker = self.main.child("worker")
        child = worker.child("child")
        self.attach(worker, "/small")
        self.refused_at(child, 12, 2)
        self.refused_at(worker, 5, 1)

    def test_who_comes_back_counts_where_it_was(self):
        worker = self.main.child("worker")
        self.attach(worker, "/small")
        child = worker.child("child")
        self.attach(worker, "/a")
        self.refused_at(child, 5, 1)
        self.refused_at(worker, 12, 2)

    def test_an_orphan_of_a_moved_process_keeps_the_new_one(self):
        if self.supervisor.json("status")["supervisor"]["tracking"] != "exact":
            self.skipTest("without the process connector the end of its parent is heard of at the next sweep")
        worker = self.main.child("worker")
        self.attach(worker, "/small")
        orphan = worker.child("orphan")
        ended = os.pidfd_open(worker.pid)
        self.addCleanup(os.close, ended)
        worker.tell("end")
        self.assertTrue(select.select([ended], [], [], 30)[0])
        self.supervisor.gpcsup("ps", "tenant:/small")  # what gpcsupd has been told before is through by now
        self.refused_at(orphan, 5, 1)

    def test_a_successor_knows_them_all(self):
        worker = self.main.child("worker")
        child = worker.child("child")
        self.attach(self.main, "/b")
        self.attach(worker, "/small")
        pid = self.supervisor.helper("gpcsupd")
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(harness.wait_gone(pid, 20))
        self.supervisor.gpcsup("status")
        self.refused_at(child, 12, 1)
        self.refused_at(worker, 5, 1)
        self.refused_at(self.main, 30, 1)


class MovedByAnOrdinaryUser(Moved):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
