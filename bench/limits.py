#!/usr/bin/python3
"""What limits cost, in one run on one machine. Started by tools/bench-limits; see bench/README.md.

    limits.py [MEASURE...]      calls, together, starts, daemons; default: all of them. million: only when it is named
"""

import argparse
import os
import pathlib
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/release"
SUPPORT = BUILD / "tests/support"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests/system/product"))
os.environ.setdefault("GPCSUP_BIN", str(BUILD / "src"))
import harness  # noqa: E402  (it reads the environment)

part = 1  # of everything is done; --quick takes a small one, to see that it works
MEASURES = ["calls", "together", "starts", "daemons"]
UNITS = 200
CONFIG = """
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/t"]
[hierarchy.files]
controllers = ["numfiles"]
[hierarchy.files.group."/f"]
"""
PLACE = '[place]\ntenant = "/t"\nfiles = "/f"\n'
LIMITS = "[limits]\nnumtasks.limit = 1000\nnumfiles.limit = 4000\n"


def some(count):
    return str(max(count // part, 1))


class Table:
    """Rows of a measure: without a limit, under the responder that decides nothing, under the limit, and what they come to."""

    def __init__(self):
        print(f"{'':<58}{'no limit':>12}{'responder':>12}{'limit':>12}{'ratio':>8}  aim")

    def row(self, what, plain, responder, limited, aim="", of_responder=False):
        """The ratio is of what the thing costs: above 1 the limit makes it slower. RESPONDER may be None."""
        base = responder if of_responder else plain
        ratio = f"{base / limited:.2f}" if base and limited else "-"
        cells = "".join(f"{'-' if value is None else f'{value:,.0f}':>12}" for value in (plain, responder, limited))
        print(f"{what:<58}{cells}{ratio:>8}  {aim}", flush=True)

    def line(self, what, text):
        print(f"{what:<58}{text}", flush=True)


def calls(table):
    """Forks and opens of one service: the figures of bench/enforce_forks, the median of its turns."""
    said = subprocess.run([ROOT / "bench/enforce_forks", BUILD], capture_output=True, text=True, check=True, timeout=240).stdout
    names = {"forks/s": ("fork+exit+wait a second", "1.05 of the responder"), "opens/s": ("open+close a second", "1.15 of the responder")}
    for unit, (what, aim) in names.items():
        turns = [dict((key.strip(), float(value)) for key, value in re.findall(r"([a-z ]+) (\d+)(?:,|$)", line.split(":", 1)[1]))
                 for line in said.splitlines() if line.startswith(unit)]
        median = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        plain = median.get("no filter", median.get("not trapped"))
        table.row(what, plain, median["bare responder"], median["limit"], aim, of_responder=True)
        if "at the edge" in median:
            table.row(what + ", one below the limit", plain, median["bare responder"], median["at the edge"], of_responder=True)


def end_of(pids, seconds):
    """Waits until all of them have gone."""
    poll, waiting = select.poll(), {}
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        waiting[descriptor] = pid
        poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + seconds
    while waiting:
        left = deadline - time.monotonic()
        if left <= 0:
            raise SystemExit(f"{len(waiting)} services did not end within {seconds} s")
        for descriptor, _ in poll.poll(left * 1000):
            poll.unregister(descriptor)
            os.close(descriptor)
            del waiting[descriptor]


def rate_of_crowd(services, total, limited):
    """Opens a second of so many services together that begin at the same moment."""
    each = max(total // services // part, 1)
    with tempfile.TemporaryDirectory(prefix="gl-") as place:
        gate = f"{place}/gate"
        os.mkfifo(gate)
        unit = (f'enabled = false\n[service]\ncommand = ["sh", "-c", "exec {SUPPORT}/openers edge {each} <{gate}"]\nrestart = "no"\n'
                + PLACE + (LIMITS if limited else ""))
        supervisor = harness.Supervisor({f"u{n:03}": unit for n in range(services)}, CONFIG)
        try:
            supervisor.start(60)
            supervisor.gpcsup("start", *[f"u{n:03}" for n in range(services)], timeout=120)
            pids = [unit["pid"] for unit in supervisor.json("status")["units"] if unit["pid"]]
            begin = time.monotonic()
            opened = os.open(gate, os.O_RDWR)  # who comes late finds it open, too
            end_of(pids, 120)
            took = time.monotonic() - begin
            os.close(opened)
            return services * each / took
        finally:
            supervisor.close()


def together(table):
    for services, total in ((1, 100_000), (UNITS, 400_000)):
        plain = rate_of_crowd(services, total, False)
        limited = rate_of_crowd(services, total, True)
        table.row(f"open+close a second, {services} service{'s together' if services > 1 else ''}", plain, None, limited)


def latencies(supervisor, options, milliseconds, meanwhile):
    """Of open+close, in ns: "opens N p50 N p99 N p99.9 N max N" as numbers."""
    words = [word for option in options for word in ("-l", option)]
    process = supervisor.popen("run", "-g", "files:/f", *words, "--", SUPPORT / "openers", "latency", milliseconds,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    meanwhile()
    said = process.communicate(timeout=120)[0].split()
    return dict(zip(said[::2], map(int, said[1::2])))


def starts(table):
    """The tail of a limited call while gpcsupd starts 200 services, beside the same without a limit: they share two CPUs anyway."""
    pause = '[service]\ncommand = ["sleep", "100000"]\n' + PLACE + LIMITS
    names = [f"u{n:03}" for n in range(UNITS)]
    supervisor = harness.Supervisor({name: "enabled = false\n" + pause for name in names}, CONFIG)

    def start_them():
        supervisor.gpcsup("start", *names, timeout=120)

    def stop_them():
        supervisor.gpcsup("stop", *names, timeout=120)
    try:
        supervisor.start(60)
        for when, meanwhile in (("at rest", lambda: None), (f"while {UNITS} services start", start_them)):
            found = {}
            for kind, options in (("plain", []), ("limited", ["numfiles.limit=4000"])):
                found[kind] = latencies(supervisor, options, some(3000), meanwhile)
                stop_them()
            for point in ("p50", "p99", "p99.9", "max"):
                plain, limited = (found[kind][point] / 1000 for kind in ("plain", "limited"))
                table.line(f"open+close {when}, {point}", f"{plain:>10,.1f}µs{'':>12}{limited:>10,.1f}µs{limited / plain:>8.2f}")
    finally:
        supervisor.close()


# --- daemons -------------------------------------------------------------------------------------------------------------
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def first_of(*names):
    for name in names:
        found = shutil.which(name) or next((str(path) for path in sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
        if found:
            return found
    return None


def said_by(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, timeout=120, **options).stdout


class Redis:
    programs = ("redis-server", "redis-benchmark")

    def __init__(self, place):
        self.port = free_port()

    def unit(self):
        return (f'[service]\ntype = "notify"\ncommand = ["{first_of("redis-server")}", "--port", "{self.port}", "--bind", "127.0.0.1", '
                '"--supervised", "systemd", "--daemonize", "no", "--save", "", "--dir", "/tmp"]\n')

    def rates(self):
        for what, words in (("redis-benchmark GET a second", ["-n", some(60000)]),
                            ("redis-benchmark GET a second, a connection each", ["-n", some(12000), "-k", "0"])):
            said = said_by(first_of("redis-benchmark"), "-p", self.port, "-t", "get", "-c", "20", "--csv", *words)
            yield what, float(said.splitlines()[-1].split(",")[1].strip('"'))


class Nginx:
    programs = ("nginx", "ab")

    def __init__(self, place):
        self.port = free_port()
        self.configuration = place / "nginx.conf"
        (place / "page").write_text("well\n" * 200)
        bodies = " ".join(f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.configuration.write_text(
            f"daemon off; user root; worker_processes 2; pid {place}/pid; error_log stderr;\nevents {{ worker_connections 256; }}\n"
            f"http {{ access_log off; {bodies} server {{ listen 127.0.0.1:{self.port}; root {place}; }} }}\n")

    def unit(self):
        return f'[service]\ncommand = ["{first_of("nginx")}", "-e", "stderr", "-c", "{self.configuration}"]\n'

    def rates(self):
        for what, words in (("ab on nginx, a connection and a file a request", []), ("ab on nginx, connections kept", ["-k"])):
            said = said_by(first_of("ab"), "-q", "-n", some(10000), "-c", "10", *words, f"http://127.0.0.1:{self.port}/page")
            yield what, float(re.search(r"Requests per second:\s+([\d.]+)", said).group(1))


class Postgres:
    programs = ("postgres", "pgbench", "initdb", "setpriv")

    def __init__(self, place):
        self.port = free_port()
        self.data = place / "data"
        self.data.mkdir()
        self.as_user = []
        if os.getuid() == 0:
            shutil.chown(self.data, "nobody", "nogroup")
            self.as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        said_by(*self.as_user, first_of("initdb"), "-D", self.data, "-A", "trust", "-U", "bench", "--no-sync", cwd="/")
        self.filled = False

    def unit(self):
        user = 'user = "nobody"\n' if self.as_user else ""
        return (f'[service]\ncommand = ["{first_of("postgres")}", "-D", "{self.data}", "-p", "{self.port}", "-k", "{self.data}", "-c", '
                f'"listen_addresses=127.0.0.1", "-c", "fsync=off"]\n{user}')

    def rates(self):
        pgbench = [first_of("pgbench"), "-h", "127.0.0.1", "-p", self.port, "-U", "bench"]
        if not self.filled:
            said_by(*pgbench, "-i", "-q", "postgres", cwd="/")
            self.filled = True
        for what, words in (("pgbench, transactions a second", ["-S"]), ("pgbench, a connection (and a fork) each", ["-S", "-C"])):
            said = said_by(*pgbench, *words, "-n", "-c", "4", "-T", some(4), "postgres", cwd="/")
            yield what, float(re.search(r"^tps = ([\d.]+)", said, re.M).group(1))


def until_it_answers(port, seconds):
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def daemons(table):
    for kind in (Redis, Nginx, Postgres):
        missing = [name for name in kind.programs if first_of(name) is None]
        if missing:
            table.line(kind.__name__.lower(), f"not measured: no {', '.join(missing)} (tools/prepare bench)")
            continue
        with tempfile.TemporaryDirectory(prefix="gl-") as directory:
            place = pathlib.Path(directory)
            place.chmod(0o755)
            daemon = kind(place)
            unit = "enabled = false\n" + daemon.unit() + PLACE
            supervisor = harness.Supervisor({"plain": unit, "limited": unit + LIMITS}, CONFIG)
            best = {}
            try:
                supervisor.start(60)
                for name in ("plain", "limited", "limited", "plain"):  # whatever warms up, warms up for both
                    supervisor.gpcsup("start", name)
                    until_it_answers(daemon.port, 30)
                    for what, rate in daemon.rates():
                        best[what, name] = max(rate, best.get((what, name), 0.0))
                    supervisor.gpcsup("stop", name)
            finally:
                supervisor.close()
            for what in dict.fromkeys(what for what, _ in best):
                table.row(what, best[what, "plain"], None, best[what, "limited"])


def million(table):
    """Each of a million calls one below the limit goes through: some minutes. In CI the same with fewer rounds."""
    supervisor = harness.Supervisor({}, CONFIG)
    try:
        supervisor.start(60)
        for what, group, limit, command in (
                ("forks one below the limit", "tenant:/t", "numtasks.limit=2", [SUPPORT / "forker", "fork", some(1_000_000)]),
                ("opens one below the limit", "files:/f", "numfiles.limit=4", [SUPPORT / "openers", "edge", some(1_000_000)])):
            begin = time.monotonic()
            result = supervisor.gpcsup("run", "-g", group, "-l", limit, "--", *command, check=False, timeout=3600)
            took = time.monotonic() - begin
            table.line(f"a million {what}", f"exit {result.returncode}, {result.stdout.strip() or 'none refused'}, {took:.0f} s")
    finally:
        supervisor.close()


def main():
    parser = argparse.ArgumentParser(prog="tools/bench-limits")
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join([*MEASURES, "million"]))
    parser.add_argument("--quick", action="store_true", help="a fiftieth of it, to see that it works: the figures say nothing")
    arguments = parser.parse_args()
    global part
    part = 50 if arguments.quick else 1
    wanted = arguments.measures or MEASURES
    for name in wanted:
        if name not in [*MEASURES, "million"]:
            parser.error(f"no such measure: {name}")
    table = Table()
    for name in wanted:
        globals()[name](table)


if __name__ == "__main__":
    main()
