"""Members that try to get out of their limits: more tasks, more files, other CPUs, by every way there is."""

import errno
import json
import os
import pathlib
import select
import time
import unittest

import harness
from harness import Case, MISBEHAVE

CONFIG = """
[hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/a"]
cpuset.cpus = "0"
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/t"]
[hierarchy.files]
controllers = ["numfiles"]
[hierarchy.files.group."/f"]
[hierarchy.files.group."/other"]
"""
LIMIT = 20
KINDS = ["fork", "vfork", "clone", "clone-parent", "thread"]
BOMB = f'''enabled = false
[service]
command = ["{MISBEHAVE}", "--name", "NAME", "--fork-bomb", "--fork-how", "NAME", "--count-file", "FILE"]
restart = "no"
stop_timeout = "500ms"
[place]
tenant = "/t"
[limits]
numtasks.limit = {LIMIT}
'''


def tasks_by_name(init):
    """Tasks below gpc-init, wherever they are in the tree, by the --name that they were started with."""
    found = {}
    for pid in harness.descendants(init):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        fields = harness.stat_of(pid)
        if b"--name" in words and fields and fields[0] not in "ZX":
            name = words[words.index(b"--name") + 1].decode()
            found[name] = found.get(name, 0) + int(fields[17])
    return found


@unittest.skipUnless(MISBEHAVE.exists(), "needs the misbehaving daemon")
class Tasks(Case):
    def counts(self, path):
        said = harness.subprocess.run([MISBEHAVE, "--read-counts", path], capture_output=True, text=True, check=True).stdout
        return {words[0]: int(words[1]) for words in map(str.split, said.splitlines()) if len(words) == 2 and words[1].isdigit()}

    def test_bombs_of_every_kind_stay_below_their_limits(self):
        directory = harness.tempfile.mkdtemp(prefix="gpcsup-bombs-")
        self.addCleanup(harness.shutil.rmtree, directory, True)
        os.chmod(directory, 0o777)
        units = {f"b-{kind}": BOMB.replace("NAME", kind).replace("FILE", f"{directory}/{kind}") for kind in [*KINDS, "clone3"]}
        for kind in [*KINDS, "clone3"]:  # theirs to write, whoever of us comes first
            file = pathlib.Path(directory, kind)
            file.touch()
            file.chmod(0o666)
        supervisor = self.supervise(units, CONFIG)
        failcnt_of = lambda kind: supervisor.json("get", f"tenant:/t/b-{kind}")["attributes"]["numtasks.failcnt"]
        # Its flags are in memory: nobody has it here, and a C library goes on with clone.
        supervisor.gpcsup("start", "b-clone3")
        deadline = time.monotonic() + 10 * harness.SLOW
        while not (told := self.counts(f"{directory}/clone3"))["forks_refused"] and time.monotonic() < deadline:
            pass
        self.assertEqual(errno.ENOSYS, told["fork_errno"], told)
        self.assertEqual((2, 0), (tasks_by_name(supervisor.init.pid)["clone3"], failcnt_of("clone3")))
        supervisor.gpcsup("stop", "b-clone3")
        supervisor.gpcsup("start", *[f"b-{kind}" for kind in KINDS])
        most, failcnt = {}, {}
        deadline = time.monotonic() + 20 * harness.SLOW
        while time.monotonic() < deadline and not all(failcnt.get(kind, 0) > 5 for kind in KINDS):
            for kind, tasks in tasks_by_name(supervisor.init.pid).items():
                most[kind] = max(tasks, most.get(kind, 0))
            failcnt = {kind: failcnt_of(kind) for kind in KINDS}
        for kind, tasks in tasks_by_name(supervisor.init.pid).items():
            most[kind] = max(tasks, most.get(kind, 0))
        print("bombs: most tasks", most, "refused", failcnt)
        for kind in KINDS:
            self.assertEqual(LIMIT, most[kind], kind)
            self.assertGreater(failcnt[kind], 5, kind)
        supervisor.gpcsup("stop", *units)
        self.assertEqual([], supervisor.services())

    def test_refusals_are_told_by_group_at_a_bounded_rate(self):
        bomb = BOMB.replace("NAME", "fork").replace('"--count-file", "FILE"', '"--most", "100000"')
        supervisor = self.supervise({"one": bomb, "two": bomb}, CONFIG)
        events = harness.Events(supervisor)
        self.addCleanup(events.close)
        supervisor.gpcsup("start", "one", "two")
        seen = {"one": [], "two": []}
        while min(len(told) for told in seen.values()) < 4:
            event = events.wait_for(lambda event: event["event"] == "refused")
            self.assertEqual("numtasks.limit", event["attribute"])
            seen[event["group"].removeprefix("tenant:/t/")].append(event)
        for name, told in seen.items():
            moments = [event["monotonic_ns"] for event in told]
            # One a second, told of by when it happened; what is written is written a moment later.
            self.assertGreater(moments[-1] - moments[0], (len(told) - 1.5) * 1e9, name)
            failcnt = [event["failcnt"] for event in told]
            self.assertEqual(sorted(set(failcnt)), failcnt, name)
            self.assertGreater(failcnt[-1], len(told), "those that are not told are counted")
            self.assertTrue(all(event["command"] == "misbehave" for event in told), told[0])
        supervisor.gpcsup("stop", "one", "two")
        self.assertGreaterEqual(len([line for line in supervisor.gpcsup("events", "--json").stdout.splitlines()
                                     if json.loads(line)["event"] == "refused"]), 8)  # and the journal has them


class TasksOfAnOrdinaryUser(Tasks):
    user = harness.ORDINARY if os.getuid() == 0 else None


# Opens files where nobody limits it, and passes them on; then waits until the other side has gone.
GIVER = """
import array, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print('ready', flush=True)
peer, _ = server.accept()
for _ in range(int(sys.argv[2])):
    fd = os.open('/dev/null', os.O_RDONLY)
    socket.send_fds(peer, [b'x'], [fd])
    os.close(fd)
peer.recv(1)
"""
# Takes all of them, then opens until it is refused; gives back half and tries again.
TAKER = """
import os, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
taken = []
while len(taken) < int(sys.argv[2]):
    taken += socket.recv_fds(peer, 1, 1)[1]
opened, errors = 0, []
for back in (taken[:1], taken[1:10]):
    try:
        while opened < 1000:
            os.open('/dev/null', os.O_RDONLY)
            opened += 1
    except OSError as error:
        errors.append(error.errno)
    for fd in back:
        os.close(fd)
print(opened, *errors, flush=True)
input()
"""
# Puts files into a socket of its own, closes them, and takes them out again: meanwhile nobody has a descriptor of them.
HIDER = """
import os, socket, sys
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
hidden = 0
while hidden < int(sys.argv[1]):
    fd = os.open('/dev/null', os.O_RDONLY)
    socket.send_fds(ours, [b'x'], [fd])
    os.close(fd)
    hidden += 1
taken = [socket.recv_fds(theirs, 1, 1)[1][0] for _ in range(hidden)]
opened = 0
try:
    while opened < 1000:
        os.open('/dev/null', os.O_RDONLY)
        opened += 1
except OSError as error:
    print(opened, error.errno)
"""
# Duplicates of what is there already: by dup, fork, and out of another process.
DOUBLER = """
import ctypes, os
fd = os.open('/dev/null', os.O_RDONLY)
for _ in range(100):
    os.dup(fd)
child = os.fork()
if child == 0:
    import signal; signal.pause()
pidfd = os.pidfd_open(child)
got = [ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, fd, 0) for _ in range(100)]
os.kill(child, 9)
os.waitpid(child, 0)
print(min(got) >= 0 or 'no pidfd_getfd', sum(1 for _ in os.listdir('/proc/self/fd')) > 100)
"""


class Files(Case):
    def python(self, supervisor, group, code, *arguments, limit=None, **options):
        words = ["-l", f"numfiles.limit={limit}"] if limit else []
        return supervisor.popen("run", "-g", group, *words, "--", "/usr/bin/python3", "-c", code, *arguments,
                                stdin=harness.subprocess.PIPE, stdout=harness.subprocess.PIPE, text=True, **options)

    def line_of(self, process, seconds=30):
        self.assertTrue(select.select([process.stdout], [], [], seconds * harness.SLOW)[0], "it says nothing")
        return process.stdout.readline().strip()

    def test_files_that_others_pass_on_count_where_they_are_held(self):
        supervisor = self.supervise({}, CONFIG)
        address = str(supervisor.directory / "pass")
        giver = self.python(supervisor, "files:/other", GIVER, address, "60")
        self.assertEqual("ready", self.line_of(giver))
        taker = self.python(supervisor, "files:/f", TAKER, address, "60", limit=40)
        opened, *errors = map(int, self.line_of(taker).split())
        # Nobody is told of a passing: the next count, at the latest when it has opened as many as it may have, finds what it holds.
        self.assertLess(opened, 40)
        self.assertEqual([errno.EMFILE] * 2, errors, "it still holds 59 files of others")
        held = supervisor.json("get", "files:/f")["attributes"]["numfiles.held"]
        self.assertGreaterEqual(held, 50 + opened)
        taker.communicate("\n", timeout=30)
        giver.communicate(timeout=30 * harness.SLOW)

    def test_files_that_a_member_hides_in_a_socket_count_again_when_it_takes_them(self):
        supervisor = self.supervise({}, CONFIG)
        hider = self.python(supervisor, "files:/f", HIDER, "60", limit=40)
        opened, error = map(int, self.line_of(hider).split())
        self.assertEqual(errno.EMFILE, error)
        self.assertLess(opened, 40)
        hider.communicate(timeout=30 * harness.SLOW)

    def test_duplicates_cost_nothing(self):
        supervisor = self.supervise({}, CONFIG)
        doubler = self.python(supervisor, "files:/f", DOUBLER, limit=40)
        self.assertIn(self.line_of(doubler), ("True True", "no pidfd_getfd True"))
        doubler.communicate(timeout=30 * harness.SLOW)
        self.assertEqual(0, doubler.returncode)


class FilesOfAnOrdinaryUser(Files):
    user = harness.ORDINARY if os.getuid() == 0 else None


# Asks for CPUs in every way there is, for itself, a thread, a child, and what it executes; says which CPUs came out of it.
ASKER = """
import ctypes, os, subprocess, threading
seen, errors = set(), []
def ask(target, cpus):
    try:
        os.sched_setaffinity(target, cpus)
    except OSError as error:
        errors.append(error.errno)
def look(target):
    for task in os.listdir(f'/proc/{target}/task'):
        for line in open(f'/proc/{target}/task/{task}/status'):
            if line.startswith('Cpus_allowed_list:'):
                seen.add(line.split()[1])
ask(0, {0, 1})
ask(0, {1})
ask(os.getpid(), range(64))
def in_thread():
    ask(threading.get_native_id(), {0, 1})
    ask(0, {1})
    look(os.getpid())
thread = threading.Thread(target=in_thread)
thread.start()
thread.join()
child = os.fork()
if child == 0:
    import signal; signal.pause()
ask(child, {0, 1})
ask(child, {1})
look(child)
os.kill(child, 9)
os.waitpid(child, 0)
sleeper = subprocess.Popen(['taskset', '3', 'sleep', '1000'])
ask(sleeper.pid, {0, 1})
look(sleeper.pid)
sleeper.kill()
sleeper.wait()
look(os.getpid())
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 1, ctypes.create_string_buffer(256))
print(*sorted(seen), 'errors', *sorted(set(errors)), 'ring', ctypes.get_errno() if ring < 0 else 'made')
"""


@unittest.skipUnless({0, 1} <= os.sched_getaffinity(0), "needs CPUs 0 and 1")
class Cpus(Case):
    def test_nobody_gets_another_cpu_by_asking(self):
        supervisor = self.supervise({}, CONFIG)
        result = supervisor.gpcsup("run", "-g", "compute:/a", "--", "/usr/bin/python3", "-c", ASKER)
        self.assertEqual(f"0 errors {errno.EINVAL} ring {errno.EPERM}\n", result.stdout, result.stderr)


class CpusOfAnOrdinaryUser(Cpus):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main()
