#!/usr/bin/python3
"""The engine behind tools/test: builds, runs every test, prints one line each, and counts.

A test is one case of a Catch2 program (run as a process of its own), or one whole script. CTest knows them all: what has
the label `unit`, or `system`, is run here, so a new file in tests/ needs no entry anywhere else. Each test runs below a
subreaper: a process that it leaves behind makes it fail, and is ended.
"""

import argparse
import concurrent.futures
import ctypes
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ["style", "unit", "system", "vm", "faults"]
ORDINARY_USER = "nobody"
# In CI a run that takes longer would be ended without a word. So it ends by itself, and names what was running.
CI_SECONDS = 80 * 60
SKIPPED = 77  # exit status by which a script says that it cannot run here
CASE_SKIPPED = re.compile(r"^\s*skipped: ", re.M)  # WARN("skipped: why") of a case in C++
UNITTEST_SKIPPED = re.compile(r"^OK \(skipped=1\)$", re.M)
PR_SET_CHILD_SUBREAPER = 36


class Books:
    """What ran so far; the only shared state, guarded by one lock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.passed = 0
        self.failed = []
        self.skipped = 0
        self.end = time.monotonic() + (CI_SECONDS if os.environ.get("CI") else 24 * 3600)

    def left(self):
        """Seconds until the whole run must have ended."""
        return self.end - time.monotonic()

    def record(self, name, outcome, seconds, output):
        with self.lock:
            word = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}[outcome]
            print(f"{word} {seconds:7.2f} s  {name}", flush=True)
            if outcome == "passed":
                self.passed += 1
                return
            if outcome == "skipped":
                self.skipped += 1
            else:
                self.failed.append(name)
            text = output.strip()
            if text:
                print("\n".join("       | " + line for line in text.splitlines()[-400:]), flush=True)


def children_of(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            pass
    return found


def describe(pid):
    try:
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return None if state == "Z" else f"{pid} {command or '?'}"
    except OSError:
        return None


def end_tree(pid):
    """Kills a process and what is below it; all of them were started by the test that is being cleaned up."""
    for child in children_of(pid):
        end_tree(child)
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def contain(command, environment, directory, timeout, output):
    """Runs in a forked child: a subreaper that starts the test, waits, and looks at what is left. Returns an exit status."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    test = subprocess.Popen(command, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                            start_new_session=True)

    def say(text):
        os.write(output, text.encode())

    try:
        status = test.wait(timeout)
    except subprocess.TimeoutExpired:
        say(f"\ntimed out after {timeout} s; running then:\n")
        for pid in children_of(os.getpid()):
            say(f"    {describe(pid)}\n")
        end_tree(test.pid)
        test.wait()
        status = 1
    if status < 0:
        say(f"\nended by signal {-status} ({signal.strsignal(-status)})\n")
        status = 1
    grace = time.monotonic() + 1.0  # what was told to end may need a moment; what stays is left behind
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return status
        if time.monotonic() > grace:
            break
        time.sleep(0.02)
    for _ in range(100):
        left = children_of(os.getpid())
        named = [text for text in map(describe, left) if text]
        for text in named:
            say(f"\nleft behind: {text}\n")
        for pid in left:
            end_tree(pid)
        try:
            while os.waitpid(-1, 0)[0]:
                pass
        except ChildProcessError:
            break
    return status or 1


def run_contained(command, environment, directory, timeout, owner):
    """(status, output, seconds) of one test with a temporary directory of its own."""
    started = time.monotonic()
    temporary = tempfile.mkdtemp(prefix="gt-", dir="/tmp")
    os.chmod(temporary, 0o755)  # tests as root start services of ordinary users, too
    if owner:
        os.chown(temporary, owner.pw_uid, owner.pw_gid)
    environment = dict(environment, TMPDIR=temporary)
    with tempfile.TemporaryFile() as output:
        keeper = os.fork()
        if keeper == 0:
            status = 1
            try:
                status = contain(command, environment, directory, timeout, output.fileno())
            except BaseException as error:  # this process must end here whatever happens
                os.write(output.fileno(), f"cannot run {command[0]}: {error}\n".encode())
            finally:
                os._exit(status & 0xFF)
        status = os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
        output.seek(0)
        text = output.read().decode(errors="replace")
    shutil.rmtree(temporary, ignore_errors=True)
    return status, text, time.monotonic() - started


# What a person may say to the tests: the true bounds of time, a seed to repeat, how many rounds.
FOR_TESTS = ("GPCSUP_QUIET_MACHINE", "GPCSUP_SEED", "GPCSUP_KILLS", "GPCSUP_ENDS", "GPCSUP_IDLE")


class Variant:
    """One way to run tests: which build, as whom."""

    def __init__(self, name, build, user=None, without=()):
        self.name = name
        self.without = without  # labels of tests that would only repeat another variant's
        self.build = build
        self.owner = pwd.getpwnam(user) if user else None
        self.programs = build / "src"
        self.place = None

    def prefix(self):
        if not self.owner:
            return []
        return ["setpriv", f"--reuid={self.owner.pw_uid}", f"--regid={self.owner.pw_gid}", "--clear-groups"]

    def environment(self):
        known = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TERM", "CI", *FOR_TESTS) if key in os.environ}
        known.update(GPCSUP_PROGRAMS=str(self.programs), GPCSUP_SOURCE=str(self.source()), GPCSUP_BUILD=str(self.build),
                     GPCSUP_SUPPORT=str(self.build / "tests/support"), GPCSUP_VARIANT=self.name,
                     GPCSUP_BIN=str(self.programs), GPCSUP_MISBEHAVE=str(self.build / "tests/support/misbehave"),
                     ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1")
        if "sanitize" in self.name:
            known["GPCSUP_SANITIZED"] = "1"
        if self.owner:
            known.update(HOME=str(self.place), USER=self.owner.pw_name, LOGNAME=self.owner.pw_name, SHELL="/bin/sh",
                         XDG_RUNTIME_DIR=str(self.place / "run"), XDG_STATE_HOME=str(self.place / "state"),
                         XDG_CONFIG_HOME=str(self.place / "config"))
        return known

    def source(self):
        return self.place / "source" if self.place else ROOT

    def reachable(self):
        """Whether an ordinary user can run what was built; tests run as root start services of such a user, too."""
        if os.geteuid() != 0:
            return True
        probe = ["setpriv", f"--reuid={ORDINARY_USER}", "--clear-groups", "test", "-r", str(self.build / "CMakeCache.txt")]
        return subprocess.run(probe).returncode == 0

    def open(self):
        """Where the checkout cannot be reached by an ordinary user, copies of what was built are tested."""
        if not self.owner and self.reachable():
            return
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="gu-", dir="/tmp"))
        self.place.chmod(0o755)
        for name in ("run", "state", "config"):
            (self.place / name).mkdir(mode=0o700)
        shutil.copytree(self.build, self.place / "build", symlinks=True,
                        ignore=shutil.ignore_patterns("*.o", "*.a", "CMakeFiles", ".ninja*", "_deps"))
        for name in ("cmake", "config", "units", "tests", "tools", "docs", "man"):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.place / "source" / name, symlinks=True)
        self.build = self.place / "build"
        self.programs = self.build / "src"
        for path in [self.place, *self.place.rglob("*")] if self.owner else []:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid, follow_symlinks=False)

    def close(self):
        if self.place:
            shutil.rmtree(self.place, ignore_errors=True)


class Test:
    needed = True  # else it is skipped when the time of the run is over; what is needed fails then

    def __init__(self, name, command, variant, timeout, directory, extra):
        self.name = name
        self.command = command
        self.variant = variant
        self.timeout = timeout
        self.directory = directory
        self.extra = extra

    def run(self, books):
        if books.left() <= (1 if self.needed else self.timeout):
            books.record(self.name, "failed" if self.needed else "skipped", 0, "not run: the time for all tests is over")
            return
        environment = dict(self.extra, **self.variant.environment())
        status, output, seconds = run_contained(self.variant.prefix() + self.command, environment, self.directory,
                                                int(min(self.timeout, books.left())), self.variant.owner)
        if status == 0 and (UNITTEST_SKIPPED.search(output) or CASE_SKIPPED.search(output)):
            status = SKIPPED
        outcome = "passed" if status == 0 else "skipped" if status == SKIPPED else "failed"
        books.record(self.name, outcome, seconds, output)


LIST_UNITTESTS = """
import sys, unittest
def walk(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            walk(item)
        else:
            print(item.id())
walk(unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]))
"""


def unittest_cases(variant, name, command, timeout, folder, extra):
    *runner, module = command  # python3 -m unittest MODULE
    listed = subprocess.run([runner[0], "-B", "-c", LIST_UNITTESTS, module], capture_output=True, text=True, cwd=folder,
                            env=variant.environment())
    cases = [case for case in listed.stdout.split() if case.startswith(module + ".")]
    if os.geteuid() != 0:
        cases = [case for case in cases if "OrdinaryUser." not in case]  # what the others are then, too
    if listed.returncode or not cases:
        yield Test(f"{variant.name}: {name} (lists no cases)", ["sh", "-c", f"cat <<'EOF'; false\n{listed.stderr}\nEOF"], variant, 9,
                   "/", {})
    for case in cases:
        yield Test(f"{variant.name}: {name}: {case.removeprefix(module + '.')}", [runner[0], "-B", *runner[1:], "-v", case],
                   variant, timeout, folder, extra)


def find_tests(variant, label, original_build, without=()):
    """Asks CTest for the tests with this label, and each Catch2 program among them for its cases."""
    listed = subprocess.run(["ctest", "--test-dir", str(original_build), "--show-only=json-v1", "-L", f"^{label}$"],
                            check=True, capture_output=True, text=True)
    for entry in json.loads(listed.stdout)["tests"]:
        if "command" not in entry:
            yield Test(f"{variant.name}: {entry['name']} (not built)", ["false"], variant, 1, "/", {})
            continue
        properties = {item["name"]: item["value"] for item in entry.get("properties", [])}
        command = [word.replace(str(original_build), str(variant.build)) for word in entry["command"]]
        if variant.place:
            command = [word.replace(str(ROOT), str(variant.source())) for word in command]
        extra = dict(item.split("=", 1) for item in properties.get("ENVIRONMENT", []))
        timeout = properties.get("TIMEOUT") or (120 if label == "unit" else 450)
        directory = str(variant.place or variant.build)
        labels = properties.get("LABELS", [])
        if any(unwanted in labels for unwanted in without):
            continue
        if "unittest" in labels:
            folder = properties["WORKING_DIRECTORY"].replace(str(ROOT), str(variant.source()))
            yield from unittest_cases(variant, entry["name"], command, timeout, folder, extra)
            continue
        if "catch" not in labels:
            yield Test(f"{variant.name}: {entry['name']}", command, variant, timeout, directory, extra)
            continue
        cases = subprocess.run(command + ["--list-test-names-only"], capture_output=True, text=True).stdout.splitlines()
        if not cases:
            yield Test(f"{variant.name}: {entry['name']} (lists no cases)", ["false"], variant, 1, "/", {})
        for case in cases:
            words = "".join("\\" + letter if letter in '\\,[]"*~' else letter for letter in case)
            yield Test(f"{variant.name}: {entry['name']}: {case}", command + ["-w", "NoTests", words],
                       variant, timeout, directory, extra)


def build(books, preset):
    started = time.monotonic()
    name = f"build: {preset}"
    finished = subprocess.run(["timeout", str(max(1, int(books.left()))), ROOT / "tools/build", preset],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    books.record(name, "passed" if finished.returncode == 0 else "failed", time.monotonic() - started,
                 finished.stdout if finished.returncode else "")
    return finished.returncode == 0


def run_variants(books, variants, label, words, workers):
    """All tests of all variants in one pool: those that wait leave the processors to those that work."""
    tests = []
    try:
        for variant in variants:
            original_build = variant.build
            variant.open()
            found = find_tests(variant, label, original_build, variant.without)
            tests += [test for test in found if all(word in test.name for word in words)]
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(test.run, books) for test in tests]:
                done.result()
    finally:
        for variant in variants:
            variant.close()


def run_commands(books, commands, words, needed=True):
    """Scripts outside CTest: each command is one test."""
    plain = Variant("tree", ROOT / "build/release")
    for name, command, timeout in commands:
        if all(word in name for word in words):
            test = Test(name, command, plain, timeout, str(ROOT), {})
            test.needed = needed
            test.run(books)


def style(books, words):
    run_commands(books, [("style: clang-format", [str(ROOT / "tools/check-format")], 300),
                         ("style: includes", [str(ROOT / "tools/check-includes")], 60),
                         ("style: conformance", [str(ROOT / "tools/conformance"), "--check"], 60)], words)
    if build(books, "release"):
        run_commands(books, [("style: clang-tidy", [str(ROOT / "tools/check-tidy")], 1200)], words)


def unit(books, words):
    variants = [Variant(f"unit {preset}", ROOT / "build" / preset) for preset in ("release", "sanitize") if build(books, preset)]
    run_variants(books, variants, "unit", words, os.cpu_count())


def system(books, words):
    privileged = os.geteuid() == 0
    variants = []
    if build(books, "release"):
        variants.append(Variant("system root" if privileged else "system user", ROOT / "build/release"))
        if privileged:
            # The unittest cases run as that user themselves, by their classes *AsOrdinaryUser.
            variants.append(Variant("system user", ROOT / "build/release", ORDINARY_USER, without=["unittest"]))
        else:
            books.record("system root (run tools/test as root)", "skipped", 0, "")
    if build(books, "sanitize"):
        variants.append(Variant("system sanitize", ROOT / "build/sanitize"))
    run_variants(books, variants, "system", words, os.cpu_count() + 1)  # most of them wait most of the time


def faults(books, words):
    listed = sorted((ROOT / "tests/faults").glob("*.patch"))
    run_commands(books, [(f"fault: {path.stem}", [str(ROOT / "tools/test-faults"), str(path)], 900) for path in listed], words,
                 needed=False)  # they test the tests


def vm(books, words):
    if build(books, "release"):
        listed = sorted((ROOT / "tests/vm").glob("run_*.py"))
        run_commands(books, [(f"vm: {path.stem.removeprefix('run_')}", ["/usr/bin/python3", "-B", str(path)], 400)
                             for path in listed], words)


def main():
    parser = argparse.ArgumentParser(prog="tools/test")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS) + "; default: all")
    parser.add_argument("-k", metavar="WORD", action="append", default=[], dest="words")
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            parser.error(f"no such part: {part} (there are {', '.join(PARTS)})")
    sys.stdout.reconfigure(line_buffering=True)
    books = Books()
    started = time.monotonic()
    for part in arguments.parts or PARTS:
        globals()[part](books, arguments.words)
    if books.failed:
        print("\nFailed:")
        for name in books.failed:
            print(f"    {name}")
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    print(f"\nin {minutes} min {seconds} s" + (f", {books.skipped} skipped" if books.skipped else ""))
    print(f"{books.passed} passed, {len(books.failed)} failed")
    return 1 if books.failed or not books.passed else 0


if __name__ == "__main__":
    sys.exit(main())
