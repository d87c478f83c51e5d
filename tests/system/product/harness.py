"""A real gpc-init with real units in a directory of its own, for the tests of the whole product.

Proof comes from outside: /proc, pidfds, the kernel's cgroups, the daemons' protocols. Everything waits on a descriptor
with a deadline. A Supervisor ends only processes below the gpc-init it started, and fails the test when any is left."""

import contextlib
import ctypes
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("GPCSUP_BIN", ROOT / "build/release/src"))
MISBEHAVE = pathlib.Path(os.environ.get("GPCSUP_MISBEHAVE", BIN.parent / "tests/support/misbehave"))
ORDINARY = "nobody"  # the ordinary user of the tests that run as root
SLOW = 4 if os.environ.get("GPCSUP_SANITIZED") else 1  # sanitizers make everything slower: deadlines grow with it

def patience(seconds):
    """The bound that the product promises on a machine of its own. Elsewhere, ten times that: timings belong to bench/."""
    return seconds if os.environ.get("GPCSUP_QUIET_MACHINE") else seconds * 10 * SLOW


def latency(seconds):
    """The same of the slowest of many commands. Under sanitizers one of them may wait for a processor for many seconds."""
    return patience(seconds) if SLOW == 1 else 60


CONFIG = """
[hierarchy.compute]
controllers = ["cpuset", "cpuacct"]
[hierarchy.compute.group."/batch"]
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
"""


def stat_of(pid):
    """The fields of /proc/PID/stat behind the name, or None; index 0 is the state (field 3 of proc(5))."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2:].split()


def read_line(stream, seconds=20):
    """A line of a pipe that nobody buffers, with a deadline."""
    text = b""
    while not text.endswith(b"\n"):
        if not select.select([stream], [], [], seconds * SLOW)[0]:
            raise AssertionError(f"no line within {seconds} s; so far {text!r}")
        piece = os.read(stream.fileno(), 1)
        if not piece:
            raise AssertionError(f"the output ended: {text!r}")
        text += piece
    return text.decode().strip()


def children_of(pid):
    found = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return found
    for task in tasks:
        with contextlib.suppress(OSError):
            found += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def descendants(pid):
    found, todo = [], [pid]
    while todo:
        for child in children_of(todo.pop()):
            found.append(child)
            todo.append(child)
    return found


def threads_of(pid):
    try:
        return [int(task) for task in os.listdir(f"/proc/{pid}/task")]
    except FileNotFoundError:
        return []


def status_field(pid, field, task=None):
    path = f"/proc/{pid}/status" if task is None else f"/proc/{pid}/task/{task}/status"
    with contextlib.suppress(OSError), open(path) as file:
        for line in file:
            if line.startswith(field + ":"):
                return line.split(":", 1)[1].strip()
    return None


def command_name(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def wait_gone(pid, seconds):
    """Waits until the process has gone (pidfd; no polling). False at the deadline."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with contextlib.closing(os.fdopen(descriptor)):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000 * SLOW))


def without_connector():
    """In a network namespace of its own the kernel tells of no process: tracking is sampled (`limits=without_connector`)."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")


class ClaimedCpus:
    """A list of online CPUs that only the supervisor under test believes in (`limits=ClaimedCpus(...).show`); it may change."""

    def __init__(self, text):
        descriptor, self.path = tempfile.mkstemp(prefix="gpcsup-cpus-")
        os.close(descriptor)
        os.chmod(self.path, 0o644)
        self.set(text)

    def set(self, text):
        pathlib.Path(self.path).write_text(text + "\n")

    def show(self):
        libc = ctypes.CDLL(None, use_errno=True)
        private, bind = 0x44000, 0x1000  # MS_REC | MS_PRIVATE, MS_BIND
        for done in (libc.unshare(0x20000), libc.mount(b"none", b"/", None, private, None),  # CLONE_NEWNS
                     libc.mount(self.path.encode(), b"/sys/devices/system/cpu/online", None, bind, None)):
            if done != 0:
                raise OSError(ctypes.get_errno(), "show other CPUs")

    def close(self):
        os.unlink(self.path)


class Events:
    """`gpcsup events --follow`, a line at a time with a deadline."""

    def __init__(self, supervisor, since=None):
        arguments = ["events", "--follow", "--json"] + (["--since", str(since)] if since is not None else [])
        self.process = supervisor.popen(*arguments, stdout=subprocess.PIPE)
        self.buffer = b""

    def next(self, deadline):
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                return None
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def wait_for(self, accept, seconds=20):
        deadline = time.monotonic() + seconds * SLOW
        seen = []
        while (event := self.next(deadline)) is not None:
            seen.append(event)
            if accept(event):
                return event
        raise AssertionError(f"the event did not come within {seconds} s; seen: {seen[-20:]}")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Supervisor:
    def __init__(self, units=None, config=CONFIG, user=None, limits=None, environment=None):
        self.user = pwd.getpwnam(user) if user else None
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gpcsup-test-"))
        for name in ("run", "units", "logs", "state"):
            (self.directory / name).mkdir()
        (self.directory / "gpcsup.toml").write_text(config)
        for name, text in (units or {}).items():
            self.write_unit(name, text)
        if self.user:
            for path in [self.directory, *self.directory.rglob("*")]:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)
            self.directory.chmod(0o755)
        self.runtime = self.directory / "run"
        self.limits = limits or (lambda: None)
        self.environment = environment or {}
        self.children = []
        self.init = None

    def write_unit(self, name, text):
        (self.directory / "units" / f"{name}.toml").write_text(text)

    # --- programs -------------------------------------------------------------------------------------------------
    def environ(self):
        variables = {key: value for key, value in os.environ.items()
                     if not key.startswith(("GPCSUP_", "XDG_", "NOTIFY_"))}
        variables.update(XDG_STATE_HOME=str(self.directory / "state"), GPCSUP_LOGS=str(self.directory / "logs"),
                         HOME=str(self.directory), **self.environment)
        return variables

    def become(self):
        if self.user and os.getuid() == 0:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)

    def popen(self, *arguments, **options):
        process = subprocess.Popen([BIN / "gpcsup", "--runtime", self.runtime, *map(str, arguments)],
                                   env=self.environ(), preexec_fn=self.become, **options)
        self.children.append(process)
        return process

    def gpcsup(self, *arguments, check=True, timeout=60, **options):
        result = subprocess.run([BIN / "gpcsup", "--runtime", self.runtime, *map(str, arguments)], env=self.environ(),
                                preexec_fn=self.become, capture_output=True, text=True, timeout=timeout * SLOW,
                                stdin=options.pop("stdin", subprocess.DEVNULL), **options)
        if check and result.returncode != 0:
            raise AssertionError(f"gpcsup {' '.join(map(str, arguments))}: exit {result.returncode}\n"
                                 f"{result.stdout}{result.stderr}\n--- gpc-init:\n{self.output()}")
        return result

    def json(self, *arguments):
        """What it says; a unit that is not active (exit code 3) is an answer, too."""
        result = self.gpcsup(*arguments, "--json", check=False)
        if result.returncode not in (0, 3):
            raise AssertionError(f"gpcsup {arguments}: exit {result.returncode}\n{result.stderr}\n--- gpc-init:\n{self.output()}")
        return json.loads(result.stdout)

    def unit(self, name):
        return self.json("status", name)["units"][0]

    def output(self):
        return (self.directory / "init.log").read_text(errors="replace")

    def log(self, unit):
        """What the unit wrote; its file exists from the first byte on."""
        file = self.directory / "logs" / f"{unit}.log"
        return file.read_bytes() if file.exists() else b""

    # --- life -----------------------------------------------------------------------------------------------------
    def start(self, seconds=20):
        """Starts gpc-init and waits until gpcsupd says READY=1 (sd_notify), as a supervisor above us would."""
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        path = self.directory / "notify"
        ready.bind(str(path))
        path.chmod(0o777)
        ready.settimeout(seconds * SLOW)
        with open(self.directory / "init.log", "wb") as log, ready:
            self.init = subprocess.Popen(
                [BIN / "gpc-init", "--config", self.directory / "gpcsup.toml", "--units", self.directory / "units",
                 "--runtime", self.runtime],
                env=self.environ() | {"NOTIFY_SOCKET": str(path)}, preexec_fn=self.prepare, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT)
            try:
                while b"READY=1" not in ready.recv(4096):
                    pass
            except TimeoutError:
                raise AssertionError(f"gpcsupd was not ready within {seconds} s:\n{self.output()}") from None
        return self

    def prepare(self):
        self.limits()
        self.become()

    def supervisor_pid(self):
        return self.json("status")["supervisor"]["pid"]

    def helper(self, name):
        for pid in children_of(self.init.pid):
            if command_name(pid) == name:
                return pid
        return None

    def services(self):
        """Everything below gpc-init that is not one of our own programs, from /proc."""
        ours = {"gpcsupd", "gpc-enforce", "gpc-logd", "gpc-reader", "gpc-graft"}
        return [pid for pid in descendants(self.init.pid)
                if command_name(pid) not in ours and (stat_of(pid) or ["Z"])[0] not in "ZX"]

    def stop(self, seconds=30):
        """SIGTERM to gpc-init, as a container's runtime does; exit 0 and nothing left, or the test fails."""
        below = descendants(self.init.pid)
        self.init.send_signal(signal.SIGTERM)
        try:
            status = self.init.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"gpc-init did not end within {seconds} s:\n{self.output()}") from None
        left = [pid for pid in below if (stat_of(pid) or ["X"])[0] not in "ZX" and stat_of(pid)[1] == str(self.init.pid)]
        assert not left, f"processes left: {[(pid, command_name(pid)) for pid in left]}"
        return status

    def close(self):
        for process in self.children:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        if self.init is not None and self.init.poll() is None:
            self.init.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.init.wait(15 * SLOW)
            for pid in descendants(self.init.pid) if self.init.poll() is None else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.init.kill()
            self.init.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Case(unittest.TestCase):
    """A test with supervisors of its own; each is closed at its end, with gpc-init's output shown when the test fails."""

    user = None

    def make_directory(self, mode=0o755):
        """One that goes with the test."""
        directory = pathlib.Path(tempfile.mkdtemp(prefix="gpcsup-test-"))
        self.addCleanup(shutil.rmtree, directory)
        directory.chmod(mode)
        return directory

    def command_of_root(self):
        """The `command` of a service that an ordinary user starts, and that becomes root's."""
        directory = self.make_directory()
        become_root = shutil.copy(shutil.which("setpriv"), directory)
        os.chmod(become_root, 0o4755)
        return f'["{become_root}", "--reuid=0", "--regid=0", "--clear-groups", "sleep", "100000"]'

    def supervise(self, units=None, config=CONFIG, **options):
        supervisor = Supervisor(units, config, user=options.pop("user", self.user), **options)
        self.addCleanup(self._finish, supervisor)
        return supervisor.start()

    def _finish(self, supervisor):
        failed = any(error for _, error in getattr(self._outcome, "errors", []) or []) or not self._outcome.success
        if failed and supervisor.init is not None:
            print(f"--- gpc-init of {self.id()}:\n{supervisor.output()}\n---", flush=True)
        supervisor.close()

    def eventually(self, holds, seconds, events, what):
        """True now, or after one of the supervisor's events; never by sleeping."""
        deadline = time.monotonic() + seconds * SLOW
        while not holds():
            if events.next(deadline) is None:
                self.fail(f"not within {seconds} s: {what}")


def needs_root(test):
    return unittest.skipUnless(os.getuid() == 0, "needs root")(test)
