#!/usr/bin/python3
"""What only a kernel of its own shows: CPUs that go and come, and the calls of 32-bit programs at a limit."""

import time

from console import DEADLINE, Machine, main, require

FILES, TASKS = 40, 20
ENFILE, EMFILE, EAGAIN = 23, 24, 11


def allowed(machine, pid):
    return machine.check(f"grep Cpus_allowed_list /proc/{pid}/status").split()[1]


def members(machine, group):
    return {one["pid"] for one in machine.json(f"gpcsup ps --json {group}")["processes"]}


def start_in(machine, group):
    """The pid of a new process of the group, which has executed its program."""
    before = members(machine, group)
    machine.check(f"gpcsup run -g {group} -- sleep 10000 </dev/null >/dev/null 2>&1 & echo")
    deadline = time.monotonic() + DEADLINE
    while True:
        require(time.monotonic() < deadline, f"nothing was started in {group}")
        for pid in members(machine, group) - before:
            if machine.check(f"cat /proc/{pid}/comm").strip() == "sleep":
                return pid


def turn(machine, cpu, state, group, expected):
    """Takes a CPU away or gives it back, and waits until gpcsupd says that the group has these."""
    machine.check(f"echo {state} >/sys/devices/system/cpu/cpu{cpu}/online")
    deadline = time.monotonic() + DEADLINE
    while (seen := machine.json(f"gpcsup get --json {group}")["attributes"]["cpuset.effective_cpus"]) != expected:
        require(time.monotonic() < deadline, f"with CPU {cpu} turned to {state}, {group} has {seen}, not {expected}")


def cpus_that_go_and_come(machine):
    machine.check("gpcsup group create compute:/pair && gpcsup set compute:/pair cpuset.cpus=2-3")
    machine.check("gpcsup group create compute:/last && gpcsup set compute:/last cpuset.cpus=3")
    pair, last = start_in(machine, "compute:/pair"), start_in(machine, "compute:/last")
    narrow = start_in(machine, "compute:/pair")
    machine.check(f"taskset -p 8 {narrow}")
    require((allowed(machine, pair), allowed(machine, last), allowed(machine, narrow)) == ("2-3", "3", "3"), "the masks at first")
    turn(machine, 3, 0, "compute:/pair", "2")
    require(allowed(machine, pair) == "2", f"without CPU 3 a member has {allowed(machine, pair)}")
    require(allowed(machine, narrow) == "2", f"who had chosen the CPU that went has {allowed(machine, narrow)}")
    require(allowed(machine, last) == "0-2", f"in a set without any CPU left its parent's are used, not {allowed(machine, last)}")
    late = start_in(machine, "compute:/pair")
    require(allowed(machine, late) == "2", f"who was started meanwhile has {allowed(machine, late)}")
    attributes = machine.json("gpcsup get --json compute:/last")["attributes"]
    require((attributes["cpuset.cpus"], attributes["cpuset.effective_cpus"]) == ("3", "0-2"), f"what was asked for is kept apart: {attributes}")
    turn(machine, 3, 1, "compute:/pair", "2-3")
    masks = [allowed(machine, pid) for pid in (pair, late, last, narrow)]
    require(masks == ["2-3", "2-3", "3", "3"], f"with CPU 3 back the masks are {masks}")
    told = [line for line in machine.check("gpcsup events").splitlines() if "cpus-changed" in line]
    require(len(told) == 2, f"the events are {told}")
    machine.check(f"kill {pair} {last} {narrow} {late}")


def ways(machine, group, what):
    machine.check(f"gpcsup run -g {group} -- compat_calls {what} </dev/null >/tmp/ways 2>&1", 2 * DEADLINE)
    lines = [line.split() for line in machine.check("cat /tmp/ways").splitlines() if len(line.split()) == 3]
    return {name: (int(made), int(error)) for name, made, error in lines}


def calls_of_32_bit_programs(machine):
    machine.check("gpcsup group create tenant:/files && gpcsup set tenant:/files numfiles.limit=%d" % FILES)
    machine.check("gpcsup group create tenant:/tasks && gpcsup set tenant:/tasks numtasks.limit=%d" % TASKS)
    files = ways(machine, "tenant:/files", "files")
    require(len(files) == 16, f"files were made in the ways {files}")
    for name, (made, error) in files.items():
        # Three that it has anyway; who makes two at once may be refused with one left.
        require(error in (ENFILE, EMFILE), f"{name} was refused with {error} after {made}")
        require(FILES - 5 <= made <= FILES - 1, f"{name} made {made} files with a limit of {FILES}")
    attributes = machine.json("gpcsup get --json tenant:/files")["attributes"]
    require(attributes["numfiles.maxheld"] <= FILES and attributes["numfiles.failcnt"] >= len(files), f"the group says {attributes}")
    processes = ways(machine, "tenant:/tasks", "processes")
    require(set(processes) == {"fork", "clone", "clone3"}, f"processes were made in the ways {processes}")
    for name, (made, error) in processes.items():
        if name == "clone3" and error != EAGAIN:
            require(made == 0, f"clone3 made {made} and was refused with {error}")  # where it is refused whole: the C library takes clone
            continue
        require(error == EAGAIN and made == TASKS - 1, f"{name} made {made} processes and was refused with {error}")
    attributes = machine.json("gpcsup get --json tenant:/tasks")["attributes"]
    require(attributes["numtasks.peak"] == TASKS and attributes["numtasks.failcnt"] >= 2, f"the group says {attributes}")


def test():
    with Machine(units=["common"]) as machine:
        machine.log_in()
        machine.check("gpcsup start --timeout 60s default")
        cpus_that_go_and_come(machine)
        calls_of_32_bit_programs(machine)
        machine.send("gpcsup poweroff\n")
        machine.expect("reboot: Power down")
        machine.wait_for_end()


main(test)
