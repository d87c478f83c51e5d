"""`gpcsup run`: the command has the caller's environment, directory, streams, terminal and keys, and gives back its exit code."""

import os
import pty
import select
import signal
import subprocess
import termios
import time
import unittest

import harness
from harness import Case, Events, read_line, stat_of, wait_gone


class Terminal:
    """`gpcsup run` as the foreground job of a terminal of its own, of which the test is the person."""

    def __init__(self, case, supervisor, *arguments):
        self.case = case
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                supervisor.become()
                os.execve(harness.BIN / "gpcsup", ["gpcsup", "--runtime", str(supervisor.runtime), "run", *arguments],
                          supervisor.environ())
            finally:
                os._exit(99)
        self.said = b""
        case.addCleanup(self.close)

    def expect(self, text, seconds=20):
        deadline = time.monotonic() + seconds * harness.SLOW
        while text not in self.said:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                self.case.fail(f"not within {seconds} s: {text!r}; so far {self.said!r}")
            try:
                self.said += os.read(self.master, 4096)
            except OSError:
                self.case.fail(f"the terminal ended without {text!r}: {self.said!r}")

    def type(self, keys):
        os.write(self.master, keys)

    def canonical(self):
        return bool(termios.tcgetattr(self.master)[3] & termios.ICANON)

    def end(self, seconds=20):
        """The client's exit code; what it still says is read, or it could not end."""
        deadline = time.monotonic() + seconds * harness.SLOW
        while (left := deadline - time.monotonic()) > 0 and select.select([self.master], [], [], left)[0]:
            try:
                piece = os.read(self.master, 4096)
            except OSError:  # EIO: nobody has the other end
                break
            self.said += piece
        self.case.assertTrue(wait_gone(self.pid, seconds), f"gpcsup run goes on: {self.said!r}")
        pid, self.pid = self.pid, None
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def close(self):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)


class Running(Case):
    def setUp(self):
        self.supervisor = self.supervise(environment={"FROM_WHOM": "the caller's", "PS_EMPTY": ""})

    def run_(self, *arguments, **options):
        return self.supervisor.gpcsup("run", *arguments, check=False, **options)

    def test_the_environment_is_the_callers(self):
        self.supervisor.environment["SET_LATER"] = "after gpc-init had started\nin two lines"
        result = self.run_("--", "env", "-0")
        variables = dict(entry.split("=", 1) for entry in result.stdout.split("\0") if entry)
        expected = self.supervisor.environ()
        self.assertEqual(expected, {name: variables.get(name) for name in expected})
        ours = set(variables) - set(expected)
        self.assertTrue(all(name.startswith("GPCSUP_") or name == "RUNTIME_DIRECTORY" for name in ours), ours)

    def test_the_directory_is_the_callers(self):
        place = self.supervisor.directory / "state" / "a place"
        place.mkdir()
        place.chmod(0o755)
        for directory in (str(place), "/"):
            self.assertEqual(directory + "\n", self.run_("--", "sh", "-c", "readlink /proc/$$/cwd", cwd=directory).stdout)
        (place / "tool").write_text("#!/bin/sh\necho found\n")
        (place / "tool").chmod(0o755)
        self.assertEqual("found\n", self.run_("--", "./tool", cwd=place).stdout, "a path is relative to the caller's directory")

    def test_the_exit_code_is_the_commands(self):
        for code in (0, 1, 77, 125, 255):
            self.assertEqual(code, self.run_("--", "sh", "-c", f"exit {code}").returncode)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGKILL):
            self.assertEqual(128 + number, self.run_("--", "sh", "-c", f"kill -{int(number)} $$").returncode)
        (self.supervisor.directory / "state" / "text").write_text("no program\n")
        self.assertEqual(126, self.run_("--", str(self.supervisor.directory / "state" / "text")).returncode)
        self.assertEqual(127, self.run_("--", "/no/such/program").returncode)

    def test_the_streams_are_the_callers(self):
        result = self.run_("--", "sh", "-c", "tr a-z A-Z; echo said >&2; readlink /proc/$$/fd/0", stdin=subprocess.PIPE)
        self.assertEqual(("pipe:", "said\n"), (result.stdout[:5], result.stderr))
        client = self.supervisor.popen("run", "--", "tr", "a-z", "A-Z", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        said, _ = client.communicate(b"in and out\n", timeout=20 * harness.SLOW)
        self.assertEqual((b"IN AND OUT\n", 0), (said, client.returncode))

    def test_signals_to_the_client_are_passed_on(self):
        script = 'trap "echo got INT; exit 5" INT; trap "echo got TERM; exit 6" TERM; echo ready; while :; do sleep 0.1; done'
        for number, word, code in ((signal.SIGINT, "got INT", 5), (signal.SIGTERM, "got TERM", 6)):
            with self.subTest(word):
                client = self.supervisor.popen("run", "--", "sh", "-c", script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
                self.assertEqual("ready", read_line(client.stdout))
                client.send_signal(number)
                self.assertEqual(word, read_line(client.stdout))
                self.assertEqual(code, client.wait(20 * harness.SLOW))

    def test_ctrl_c_on_a_terminal_ends_the_command_with_130(self):
        terminal = Terminal(self, self.supervisor, "--", "sh", "-c", "tty; echo pid $$; exec sleep 1000")
        terminal.expect(b"/dev/pts/")
        terminal.expect(b"pid ")
        events = Events(self.supervisor, since=0)
        self.addCleanup(events.close)
        pid = events.wait_for(lambda event: event["event"] == "unit-active" and event["unit"].startswith("run-"))["pid"]
        self.assertEqual(str(self.supervisor.init.pid), stat_of(pid)[1], "it is gpc-init's child, not the shell's")
        terminal.type(b"\x03")
        self.assertEqual(130, terminal.end())
        self.assertTrue(wait_gone(pid, 20))
        self.assertTrue(terminal.canonical(), "the person's terminal is as it was")

    def test_ctrl_c_may_be_handled_by_the_command(self):
        script = 'trap "echo inter""rupted; exit 7" INT; echo rea""dy; while :; do sleep 0.1; done'
        terminal = Terminal(self, self.supervisor, "--", "sh", "-c", script)
        terminal.expect(b"ready")
        terminal.type(b"\x03")
        self.assertEqual(7, terminal.end())
        self.assertIn(b"interrupted", terminal.said)

    def test_what_is_typed_is_read_by_the_command(self):
        terminal = Terminal(self, self.supervisor, "--", "sh", "-c", 'echo rea""dy; read line; echo "<$line>"; cat >/dev/null; exit 3')
        terminal.expect(b"ready")
        terminal.type(b"some words\n")
        terminal.expect(b"<some words>")
        terminal.type(b"\x04")  # Ctrl-D: the end of what cat reads
        self.assertEqual(3, terminal.end())


class RunningAsOrdinaryUser(Running):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
