#!/usr/bin/python3
"""What only a machine of one's own can show about enforcement: CPUs that go and come, and the calls of 32-bit programs.

Masks are read from /proc of every thread of every member, where the CPUs that are offline are in them, too."""

import errno
import json
import re

from console import Machine, main, require

GROUP = "compute:/bound"
# Its threads and children have no wish of their own; two of the family ask for one CPU each, by sched_setaffinity.
FAMILY = ("taskset 8 sleep 100003 & taskset 4 sleep 100002 & exec misbehave --name family --threads 3 --children 2")


class Masks:
    """Of the members of a group: the mask of every thread, by the name of the program and what it was started with."""

    def __init__(self, machine, group=GROUP):
        processes = machine.json(f"gpcsup ps --json {group}")["processes"]
        pids = " ".join(str(process["pid"]) for process in processes)
        said = machine.check(f"for p in {pids}; do for t in /proc/$p/task/*; do echo \"$p $(sed -n 's/^Cpus_allowed_list:.//p'"
                             " $t/status) $(tr '\\0' ' ' <$t/cmdline)\"; done; done")
        self.lines = [line.split(None, 2) for line in said.splitlines()]
        require(len(self.lines) >= len(processes) > 0, f"nobody is in {group}: {said}")

    def of(self, word):
        return {mask for _, mask, command in self.lines if word in command}

    def threads(self, word):
        return sum(word in command for _, _, command in self.lines)


def numbers(cpus):
    return {number for part in cpus.split(",") for number in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)}


def audit(machine, effective, family, third, second, when):
    """Every thread: inside of what is in force, and exactly what it is to have there."""
    shown = machine.json(f"gpcsup get --json {GROUP}")["attributes"]["cpuset.effective_cpus"]
    require(shown == effective, f"{when}: effective_cpus is {shown}, not {effective}")
    masks = Masks(machine)
    outside = [line for line in masks.lines if not numbers(line[1]) <= numbers(effective)]
    require(not outside, f"{when}: outside of {effective}: {outside}")
    require(masks.threads("family") >= 6, f"{when}: the family has only {masks.lines}")
    found = masks.of("family"), masks.of("100003"), masks.of("100002")
    require(found == ({family}, {third}, {second}), f"{when}: the family, who asked for CPU 3, who asked for CPU 2: {found}")


def switch(machine, cpu, online):
    """Returns when gpcsup has told of it. The events that were there before do not count."""
    before = machine.check("gpcsup events --json | grep -c cpus-changed; true").strip()
    machine.check(f"echo {online} >/sys/devices/system/cpu/cpu{cpu}/online")
    machine.check(f"n=0; until [ $(gpcsup events --json | grep -c cpus-changed) -gt {before} ]; do n=$((n+1)); [ $n -lt 100 ] || break;"
                  " usleep 100000; done; [ $n -lt 100 ]")


def what_proc_shows(machine):
    """sched_getaffinity leaves out what is offline, /proc does not: on this kernel, for who is in no group that was asked for."""
    machine.check("(taskset c sleep 100001 </dev/null >/dev/null 2>&1 & echo $! >/tmp/free)")  # no job of the login shell
    switch(machine, 3, 0)
    asked = machine.check("taskset -p $(cat /tmp/free)").split()[-1]
    shown = machine.check("sed -n 's/^Cpus_allowed_list:.//p' /proc/$(cat /tmp/free)/status").strip()
    require((int(asked, 16), shown) == (4, "2-3"), f"with CPU 3 offline sched_getaffinity says {asked} and /proc {shown}")
    switch(machine, 3, 1)
    machine.check("kill $(cat /tmp/free)")


def cpus_go_and_come(machine):
    machine.check(f"gpcsup group create {GROUP} && gpcsup set {GROUP} cpuset.cpus=2-3")
    machine.check(f"gpcsup run --detach -g {GROUP} -- sh -c 'exec 2>/tmp/family; {FAMILY}' </dev/null >/dev/null 2>&1")
    machine.check(f"n=0; until [ $(gpcsup ps {GROUP} | grep -c -E 'misbehave|sleep') -ge 5 ]; do n=$((n+1)); [ $n -lt 100 ] || break;"
                  " usleep 100000; done; [ $n -lt 100 ] || {{ cat /tmp/family; gpcsup ps {GROUP}; false; }}")
    audit(machine, "2-3", "2-3", "3", "2", "at first")
    switch(machine, 3, 0)
    # sched_getaffinity would say 2 of the old mask, too, and nobody would change it: see what_proc_shows.
    audit(machine, "2", "2", "2", "2", "without CPU 3")
    machine.check(f"gpcsup set {GROUP} cpuset.cpus=2")
    audit(machine, "2", "2", "2", "2", "cpus=2 while CPU 3 is offline")
    switch(machine, 3, 1)
    audit(machine, "2", "2", "2", "2", "with CPU 3 again, which the group no longer has")
    machine.check(f"gpcsup set {GROUP} cpuset.cpus=2-3")
    audit(machine, "2-3", "2-3", "3", "2", "with cpus=2-3 again")
    machine.check(f"gpcsup set {GROUP} cpuset.cpus=0-1")
    audit(machine, "0-1", "0-1", "0-1", "0-1", "where nothing is left of what was asked for")
    machine.check(f"gpcsup set {GROUP} cpuset.cpus=0-3")
    audit(machine, "0-3", "0-3", "3", "2", "with all CPUs")
    machine.check(f"gpcsup set {GROUP} cpuset.cpus=3")
    switch(machine, 3, 0)
    audit(machine, "0-2", "0-2", "0-2", "2", "without any CPU of its own")
    machine.check(f"kill -9 {machine.json('gpcsup status --json')['supervisor']['pid']}")
    audit(machine, "0-2", "0-2", "0-2", "2", "with a successor of gpcsupd")
    switch(machine, 3, 1)
    audit(machine, "3", "3", "3", "3", "with its own again")
    machine.check(f"gpcsup kill -s KILL {GROUP} && gpcsup group remove --wait {GROUP}")


# --- 32 bits -------------------------------------------------------------------------------------------------------
REFUSED_ALWAYS = {"io_uring_setup": errno.EPERM}
LIMIT = 16


def compat(machine, limits, *words):
    options = " ".join(f"-l {limit}" for limit in limits)
    group = "files:/" if any("numfiles" in limit for limit in limits) else "tenant:/"
    machine.check(f"gpcsup run -g {group} {options} -- compat {' '.join(words)} </dev/null >/tmp/said 2>/dev/null")
    return [line.split() for line in machine.check("cat /tmp/said").splitlines()]


def errors(lines):
    return {name: int(error) for name, error in lines}


def files_of_32_bits(machine):
    machine.check("gpcsup hierarchy create files numfiles")
    free = errors(compat(machine, [], "files", "free"))
    worked = [name for name, error in free.items() if error == 0 and name != "filled"]
    print("32-bit calls that make a file here:", *worked)
    for name in ("open", "creat", "openat", "openat2", "open_tree", "fsopen", "fspick", "socket", "accept4", "socketcall-socket",
                 "socketcall-accept", "socketcall-accept4", "epoll_create", "epoll_create1", "eventfd", "eventfd2", "timerfd_create",
                 "inotify_init", "inotify_init1", "memfd_create", "perf_event_open", "pidfd_open", "signalfd", "signalfd4", "bpf",
                 "clone-pidfd", "pipe", "pipe2", "socketpair", "socketcall-socketpair", "io_uring_setup"):
        require(name in worked, f"{name} of i386 does not work without any limit: {errno.errorcode.get(free[name])}")
    full = errors(compat(machine, [f"numfiles.limit={LIMIT}"], "files", "full"))
    require(full.pop("filled") == LIMIT - 4, f"of {LIMIT} files beside the standard streams and a socket {full}")
    for name, error in full.items():
        expected = REFUSED_ALWAYS.get(name, errno.EMFILE)
        require(error == expected, f"at the limit {name} of i386 gives {errno.errorcode.get(error, error)}")
    room = errors(compat(machine, [f"numfiles.limit={LIMIT}"], "files", "room"))
    room.pop("filled")
    for name, error in room.items():
        expected = REFUSED_ALWAYS.get(name, free[name])
        require(error == expected, f"with room for it {name} of i386 gives {errno.errorcode.get(error, error)}")


def tasks_of_32_bits(machine):
    rounds = 50
    ways = ("fork", "vfork", "clone", "clone-vfork")
    for limits, made, error in (([], rounds, 0), (["numtasks.limit=2"], rounds, 0), (["numtasks.limit=1"], 0, errno.EAGAIN)):
        found = {name: (int(count), int(number)) for name, count, number in compat(machine, limits, "tasks", str(rounds))}
        for name in ways:
            require(found[name] == (made, error), f"under {limits} {name} of i386: {found[name]}")
        clone3 = (0, errno.ENOSYS) if limits else (1, 0)
        require(found["clone3"] == clone3, f"under {limits} clone3 of i386: {found['clone3']}")
    for limits in (["numtasks.limit=2"], ["numfiles.limit=16"]):
        require(errors(compat(machine, limits, "files", "free"))["io_uring_setup"] == errno.EPERM, f"a ring under {limits}")


def numbers_of_x32(machine):
    """The kernel is told to know that ABI, if it can: only then a refusal is the filter's."""
    free = errors(compat(machine, [], "x32"))["x32"]
    print("x32 without a filter:", errno.errorcode.get(free, "works"))
    for limits in (["numtasks.limit=2"], ["numfiles.limit=16"]):
        require(errors(compat(machine, limits, "x32"))["x32"] == errno.ENOSYS, f"a number of x32 is not refused under {limits}")


def refusals_are_told(machine):
    """Each group that refused, by which attribute; a second of refusals is one event."""
    events = [json.loads(line) for line in machine.check("gpcsup events --json").splitlines() if '"refused"' in line]
    told = {event["attribute"] for event in events}
    require({"numfiles.limit", "numtasks.limit"} <= told, f"told are refusals by {told}")
    require(all(re.match(r"(files|tenant):/", event["group"]) and event["failcnt"] > 0 for event in events), f"told is {events}")


def test():
    with Machine(units=["common"], arguments="syscall.x32=y") as machine:
        machine.log_in()
        machine.check("gpcsup start --timeout 60s default")
        what_proc_shows(machine)
        cpus_go_and_come(machine)
        files_of_32_bits(machine)
        tasks_of_32_bits(machine)
        numbers_of_x32(machine)
        refusals_are_told(machine)
        machine.send("gpcsup poweroff\n")
        machine.expect("reboot: Power down")
        machine.wait_for_end()


main(test)
