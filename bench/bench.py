#!/usr/bin/python3
"""Measures gpcsup beside its peers, in one run and on one machine. Started by tools/bench; see bench/README.md.

    bench.py [-n COUNT] [-r ROUNDS] [MEASURE...]       start, memory, restart, status, stop; default: all
"""

import argparse
import ctypes
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import peers

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEASURES = ["start", "memory", "restart", "status", "stop"]
DEADLINE = 120.0
PLACE = "/dev/shm"  # a tmpfs, as /run is where all of these keep what they need while they run
PR_SET_CHILD_SUBREAPER = 36


class TooSlow(Exception):
    pass


def children_of(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            pass
    return found


def below(pid):
    for child in children_of(pid):
        yield child
        yield from below(child)


def program_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def pss_kib(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


class Run:
    """One supervisor with its services, from start to stop."""

    def __init__(self, kind, count, programs):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="gb-", dir=PLACE))
        self.peer = kind(self.place, count, programs)
        self.count = count
        self.pause = str(programs["pause"])

    def __enter__(self):
        self.peer.configure()
        self.fifo = os.open(self.peer.fifo, os.O_RDWR | os.O_NONBLOCK)
        self.begin = time.monotonic()
        environment = dict(os.environ, PAUSE_FIFO=str(self.peer.fifo), **self.peer.environment())
        self.process = subprocess.Popen([str(word) for word in self.peer.command()], stdin=subprocess.DEVNULL,
                                        stdout=open(self.place / "out", "wb"), stderr=subprocess.STDOUT, env=environment,
                                        start_new_session=True)
        return self

    def wait_for_bytes(self, number):
        """Returns when so many services have said that they run."""
        deadline = time.monotonic() + DEADLINE
        while number > 0:
            if not select.select([self.fifo], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TooSlow(f"{self.peer.name}: {number} services are missing after {DEADLINE:.0f} s\n"
                              + (self.place / "out").read_text(errors="replace")[-2000:])
            number -= len(os.read(self.fifo, 65536))

    def services(self):
        return [pid for pid in below(self.process.pid) if program_of(pid) == self.pause]

    def started(self):
        self.wait_for_bytes(self.count)
        return time.monotonic() - self.begin

    def memory(self):
        """KiB by program of everything that is not a service."""
        own = {}
        for pid in [self.process.pid, *below(self.process.pid)]:
            program = program_of(pid)
            if program and program != self.pause:
                name = pathlib.Path(program).name
                own[name] = own.get(name, 0) + pss_kib(pid)
        return own

    def restarts(self, rounds):
        victims = self.services()
        for pid in victims[:: max(1, len(victims) // rounds)][:rounds]:
            begin = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            self.wait_for_bytes(1)
            yield time.monotonic() - begin

    def statuses(self, rounds):
        for index in range(rounds):
            command = self.peer.status(index % self.count)
            if command is None:
                return
            begin = time.monotonic()
            subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
            yield time.monotonic() - begin

    def stop(self):
        begin = time.monotonic()
        self.peer.stop(self.process)
        self.process.wait(DEADLINE)
        while children_of(os.getpid()):  # what the supervisor left to us: it has not stopped before they are gone
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        return time.monotonic() - begin

    def __exit__(self, kind, error, trace):
        os.close(self.fifo)
        if self.process.poll() is None:
            for pid in [self.process.pid, *below(self.process.pid)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.process.wait()
        shutil.rmtree(self.place, ignore_errors=True)
        return False


def measure(kind, count, rounds, wanted, programs):
    found = {}
    starts, stops = [], []
    for last in [False] * (rounds - 1) + [True]:
        with Run(kind, count, programs) as run:
            starts.append(run.started())
            if last:
                time.sleep(2.0)  # the peers settle; runit waits a second before it restarts what has just started
                if "memory" in wanted:
                    found["memory parts"] = run.memory()
                    found["memory"] = sum(found["memory parts"].values()) / 1024
                if "status" in wanted:
                    found["status"] = statistics.median(run.statuses(20) or [0]) * 1000 if run.peer.status(0) else None
                if "restart" in wanted:
                    found["restart"] = statistics.median(run.restarts(20)) * 1000
            stops.append(run.stop())
    found["start"] = statistics.median(starts) * 1000
    found["stop"] = statistics.median(stops) * 1000
    return found


def show(results, wanted):
    units = {"start": "ms", "memory": "MiB PSS", "restart": "ms", "status": "ms", "stop": "ms"}
    names = list(results)
    print("\n" + " " * 22 + "".join(f"{name:>18}" for name in names))
    for what in MEASURES:
        if what not in wanted:
            continue
        floor = results.get("vfork+exec", {}).get(what) if what in ("start", "restart", "stop") else None
        row = f"{what + ' (' + units[what] + ')':22}"
        for name in names:
            value = results[name].get(what)
            text = "-" if value is None else f"{value:.1f}" + (f" ({value / floor:.1f}x)" if floor else "")
            row += f"{text:>18}"
        print(row)
    for name in names:
        if "memory" in wanted and name != "vfork+exec":
            parts = sorted(results[name]["memory parts"].items(), key=lambda item: -item[1])
            print(f"memory of {name}: " + ", ".join(f"{part} {kib} KiB" for part, kib in parts))


def main():
    parser = argparse.ArgumentParser(prog="tools/bench")
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("-n", type=int, default=1000, metavar="COUNT", help="services (1000)")
    parser.add_argument("-r", type=int, default=3, metavar="ROUNDS", help="starts of each supervisor (3); the median counts")
    parser.add_argument("-p", action="append", metavar="PEER", help="only this one, beside the floor; may be repeated")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    wanted = arguments.measures or MEASURES
    for name in wanted:
        if name not in MEASURES:
            parser.error(f"no such measure: {name}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    programs = peers.built_programs(ROOT)
    results = {}
    for kind in peers.PEERS:
        if arguments.p and kind.name not in [*arguments.p, "vfork+exec"]:
            continue
        if not kind.present():
            print(f"{kind.name}: not installed (tools/prepare bench)")
            continue
        print(f"{kind.name} …", flush=True)
        try:
            results[kind.name] = measure(kind, arguments.n, arguments.r, wanted, programs)
        except (TooSlow, OSError, subprocess.SubprocessError) as problem:
            print(f"{kind.name}: {problem}")
    if arguments.json:
        print(json.dumps({"schema": 1, "services": arguments.n, "results": results}))
    else:
        show(results, wanted)


if __name__ == "__main__":
    main()
