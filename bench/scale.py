#!/usr/bin/python3
"""How the supervisor bears a crowd: so many processes in so many groups over four hierarchies. Started by tools/bench-scale.

For each size: memory of gpcsupd (PSS) per process, its CPU time per process that comes and per process that goes, and what
`status`, `tree` and `ps` take as whole commands (in brackets: CPU time of gpcsupd). Growth from one size to the next is what
counts: below each size but the first, how many times as much everything is."""

import argparse
import json
import os
import pathlib
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HIERARCHIES = {"compute": ["cpuset", "cpuacct"], "tenant": ["numtasks"], "audit": [], "owner": []}


def pss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def cpu_ns(pid):
    """The scheduler's own account of the main thread; gpcsupd has no other."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


class Refused(Exception):
    pass


class Crowd:
    def __init__(self, processes, groups, programs, crowd):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="gs-", dir="/tmp"))
        self.runtime = self.place / "run"
        self.programs = programs
        self.units = groups // len(HIERARCHIES)
        self.each = processes // self.units
        self.processes = self.units * self.each
        self.fifo = self.place / "fifo"
        os.mkfifo(self.fifo)
        (self.place / "units").mkdir()
        config = ""
        for name, controllers in HIERARCHIES.items():
            config += f"[hierarchy.{name}]\ncontrollers = {controllers}\n".replace("'", '"')
            config += "".join(f'[hierarchy.{name}.group."/g{n:03}"]\n' for n in range(self.units))
        (self.place / "gpcsup.toml").write_text(config)
        for n in range(self.units):
            places = "".join(f'{name} = "/g{n:03}"\n' for name in HIERARCHIES)
            (self.place / f"units/u{n:03}.toml").write_text(
                f'enabled = false\n[service]\ncommand = ["{crowd}", "{self.fifo}", "{self.each}"]\nrestart = "no"\n[place]\n{places}')

    def gpcsup(self, *words):
        done = subprocess.run([self.programs / "gpcsup", "--runtime", self.runtime, *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise Refused(f"gpcsup {words[0]}: exit code {done.returncode}: {done.stderr}\n{(self.place / 'err').read_text()}")
        return done.stdout

    def __enter__(self):
        self.reading = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
        self.init = subprocess.Popen([self.programs / "gpc-init", "--config", self.place / "gpcsup.toml", "--units",
                                      self.place / "units", "--runtime", self.runtime],
                                     env=dict(os.environ, GPCSUP_LOGS=str(self.place / "logs")), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=open(self.place / "err", "wb"), start_new_session=True)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.gpcsup("is-active", "default")
                break
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        text = self.gpcsup("status", "--json")
        self.supervisor = json.loads(text)["supervisor"]["pid"]
        return self

    def start(self):
        names = [f"u{n:03}" for n in range(self.units)]
        self.gpcsup("start", *names)
        missing = self.units
        while missing:
            if not select.select([self.reading], [], [], 300)[0]:
                raise SystemExit(f"{missing} crowds are missing")
            missing -= len(os.read(self.reading, 65536))
        while len(self.gpcsup("list").splitlines()) < self.units:  # answered behind all events that were queued
            pass

    def timed(self, *words, rounds=7):
        """The whole command, and of that the CPU time of gpcsupd: milliseconds."""
        self.gpcsup(*words)
        times, spent = [], []
        for _ in range(rounds):
            begin, cpu = time.monotonic(), cpu_ns(self.supervisor)
            self.gpcsup(*words)
            times.append((time.monotonic() - begin) * 1e3)
            spent.append((cpu_ns(self.supervisor) - cpu) / 1e6)
        return statistics.median(times), statistics.median(spent)

    def __exit__(self, kind, error, trace):
        os.close(self.reading)
        self.init.send_signal(signal.SIGTERM)
        try:
            self.init.wait(120)
        except subprocess.TimeoutExpired:
            self.init.kill()
            self.init.wait()
        shutil.rmtree(self.place, ignore_errors=True)


def measure(processes, groups, programs, crowd):
    with Crowd(processes, groups, programs, crowd) as run:
        memory, cpu = pss_kib(run.supervisor), cpu_ns(run.supervisor)
        begin = time.monotonic()
        run.start()
        took = time.monotonic() - begin
        come = (cpu_ns(run.supervisor) - cpu) / run.processes / 1000
        grown = (pss_kib(run.supervisor) - memory) * 1024 / run.processes
        row = [run.processes, run.units * len(HIERARCHIES), took, grown, come]
        row += [run.timed(*words) for words in (["status"], ["tree"], ["ps"], ["ps", "u001"], ["status", "u001"])]
        cpu, reaping = cpu_ns(run.supervisor), cpu_ns(run.init.pid)
        begin = time.monotonic()
        run.gpcsup("stop", *[f"u{n:03}" for n in range(run.units)])
        row += [time.monotonic() - begin, (cpu_ns(run.supervisor) - cpu) / run.processes / 1000,
                (cpu_ns(run.init.pid) - reaping) / run.processes / 1000]
        return row


COLUMNS = {
    "processes": "{}", "groups": "{}", "all there": "{:.2f} s", "memory each": "{:.0f} B", "CPU to come": "{:.1f} µs",
    **{command: "{0[0]:.0f} ({0[1]:.0f}) ms" for command in ("status", "tree", "ps", "ps UNIT", "status UNIT")},
    "stop all": "{:.2f} s", "CPU to go": "{:.1f} µs", "gpc-init to go": "{:.1f} µs",
}


def growth(now, before):
    """How many times as much; of a command, the whole of it."""
    now, before = (value[0] if isinstance(value, tuple) else value for value in (now, before))
    return f"×{now / before:.1f}" if before > 0 else ""


def main():
    parser = argparse.ArgumentParser(prog="tools/bench-scale")
    parser.add_argument("sizes", nargs="*", default=["3000:1000", "10000:1000", "30000:1000"], metavar="PROCESSES:GROUPS")
    arguments = parser.parse_args()
    print("".join(f"{word:>15}" for word in COLUMNS), flush=True)
    last = None
    for size in arguments.sizes:
        processes, groups = map(int, size.split(":"))
        row = measure(processes, groups, ROOT / "build/release/src", ROOT / "build/bench/crowd")
        print("".join(f"{form.format(value):>15}" for form, value in zip(COLUMNS.values(), row)), flush=True)
        if last is not None:
            print("".join(f"{growth(*pair):>15}" for pair in zip(row, last)), flush=True)
        last = row


if __name__ == "__main__":
    sys.exit(main())
