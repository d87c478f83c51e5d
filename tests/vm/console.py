"""A virtual machine and its serial console, driven with deadlines: no sleeping, every wait is on a descriptor.

    with Machine(units=[...], disk=path) as machine:
        machine.log_in()
        status, text = machine.run("gpcsup status")
        machine.expect("reboot: Power down")
        machine.wait_for_end()

Everything that the console said is in machine.transcript, and is printed when a check fails.
"""

import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import image

DEADLINE = 120.0  # seconds: an emulated machine on two busy cores is slow


class Failure(Exception):
    pass


class Machine:
    def __init__(self, units=(), disk=None, arguments="", build=None, without=()):
        self.build = pathlib.Path(build or os.environ.get("GPCSUP_BUILD", image.ROOT / "build/release"))
        self.units = [image.ROOT / "tests/vm/units" / name for name in units]
        self.without = without
        self.disk = disk
        self.arguments = arguments
        self.transcript = ""
        self.seen = 0  # how much of the transcript has been matched already
        self.commands = 0

    def __enter__(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="gv-", dir="/tmp"))
        kernel, initramfs = image.build_image(self.build, self.units, self.place / "initramfs", self.without)
        command = image.qemu_command(kernel, initramfs, self.arguments, self.disk)
        ours, theirs = socket.socketpair()
        control, their_control = socket.socketpair()
        command += ["-chardev", f"socket,id=console,fd={theirs.fileno()}", "-serial", "chardev:console",
                    "-chardev", f"socket,id=control,fd={their_control.fileno()}", "-mon", "chardev=control,mode=control"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(self.place / "qemu.err", "wb"),
                                        pass_fds=(theirs.fileno(), their_control.fileno()))
        theirs.close()
        their_control.close()
        self.console = ours
        self.control = control
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if error is not None:
            print("--- the console said:", self.transcript, "---", (self.place / "qemu.err").read_text(), sep="\n")
        self.console.close()
        self.control.close()
        shutil.rmtree(self.place, ignore_errors=True)
        return False

    # --- console ----------------------------------------------------------------------------------------------------
    def read_some(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.console], [], [], left)[0]:
            return False
        piece = self.console.recv(65536)
        self.transcript += piece.decode(errors="replace").replace("\r", "")
        return bool(piece)

    def expect(self, pattern, seconds=DEADLINE):
        """Waits until the console has said PATTERN after what was matched before. Returns the match."""
        deadline = time.monotonic() + seconds
        compiled = re.compile(pattern, re.M)
        while True:
            match = compiled.search(self.transcript, self.seen)
            if match:
                self.seen = match.end()
                return match
            if not self.read_some(deadline):
                raise Failure(f"the console did not say {pattern!r} within {seconds} s, or the machine ended")

    def send(self, text):
        self.console.sendall(text.encode())

    def log_in(self, user="root"):
        self.expect(r"login: ")
        self.send(f"{user}\n")
        self.expect(r"gpcsup:\S*[#$] ")
        self.be_quiet()

    def be_quiet(self):
        """No echo and no prompt from the shell: only output is left."""
        self.run("stty -echo; PS1=; PS2=")

    def run(self, command, seconds=DEADLINE):
        """(exit status, output) of a shell command typed at the console."""
        self.commands += 1
        begin, end = f"<{self.commands}<", f">{self.commands}>"
        # The marks are put together by the shell, so that an echoed command line is never taken for its output.
        self.send(f"printf '%s%s\\n' '<' '{self.commands}<'; {command}\nprintf '%s%s%s>\\n' '>' '{self.commands}>' $?\n")
        self.expect(f"{re.escape(begin)}\n", seconds)
        start = self.seen
        match = self.expect(f"{re.escape(end)}(\\d+)>\n", seconds)
        return int(match.group(1)), self.transcript[start:match.start()]

    def check(self, command, seconds=DEADLINE):
        """The output of a command that must succeed."""
        status, output = self.run(command, seconds)
        if status:
            raise Failure(f"`{command}` exited with {status}: {output}")
        return output

    def json(self, command, seconds=DEADLINE):
        return json.loads(self.check(command, seconds))

    # --- the machine itself -------------------------------------------------------------------------------------------
    def monitor(self, verb, **arguments):
        """One QMP command, for what a person does to the machine from outside: keys, buttons."""
        stream = self.control.makefile("rw")
        if not getattr(self, "greeted", False):
            self.greeted = True
            self.answer(stream)
            self.ask(stream, "qmp_capabilities", {})
        return self.ask(stream, verb, arguments)

    def ask(self, stream, verb, arguments):
        stream.write(json.dumps({"execute": verb, "arguments": arguments}) + "\n")
        stream.flush()
        while True:
            answer = self.answer(stream)
            if "error" in answer:
                raise Failure(f"QEMU refused {verb}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def answer(self, stream):
        self.control.settimeout(DEADLINE)
        return json.loads(stream.readline())

    def press(self, *keys):
        self.monitor("send-key", keys=[{"type": "qcode", "data": key} for key in keys])

    def wait_for_end(self, seconds=DEADLINE):
        """Reads on until QEMU has ended by itself."""
        deadline = time.monotonic() + seconds
        while self.read_some(deadline):
            pass
        try:
            status = self.process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failure(f"the machine still ran after {seconds} s") from None
        if status:
            raise Failure(f"QEMU ended with {status}")


CHAIN = ["fourth", "third", "second", "first"]  # tests/vm/units/chain, as it stops: each requires the one behind it


@contextlib.contextmanager
def chain_machine():
    """A machine where root is logged in and the chain of four is active; all of it writes to the disk, which goes at the end."""
    with tempfile.TemporaryDirectory(prefix="gd-") as place:
        disk = pathlib.Path(place) / "disk"
        make_disk(disk)
        with Machine(units=["chain"], disk=disk) as machine:
            machine.log_in()
            machine.check("gpcsup start --timeout 60s default")
            yield machine


def require(condition, what):
    if not condition:
        raise Failure(what)


def make_disk(path, megabytes=64):
    with open(path, "wb") as stream:
        stream.truncate(megabytes << 20)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", path], check=True)


def inspect_disk(path):
    """Fails unless the file system is clean: unmounted in order, nothing left in its journal, nothing to repair."""
    header = subprocess.run(["/sbin/dumpe2fs", "-h", path], check=True, capture_output=True, text=True).stdout
    state = re.search(r"^Filesystem state:\s+(.*)$", header, re.M).group(1)
    require(state == "clean", f"the file system's state is {state!r}")
    require("needs_recovery" not in header, "the file system was not unmounted: its journal needs recovery")
    checked = subprocess.run(["/sbin/e2fsck", "-f", "-n", path], capture_output=True, text=True)
    require(checked.returncode == 0, f"e2fsck found something:\n{checked.stdout}{checked.stderr}")


def read_from_disk(path, name):
    """A file of the disk, read on the host without mounting."""
    return subprocess.run(["/sbin/debugfs", "-R", f"cat {name}", path], check=True, capture_output=True, text=True).stdout


def main(test):
    """Runs one test of a virtual machine: its traceback and the console on failure, nothing else."""
    try:
        test()
    except Failure as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
