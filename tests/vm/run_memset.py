#!/usr/bin/python3
"""memset on four NUMA nodes: what is started in a group has its memory on the group's nodes, and memory that is there already
follows its process, as the kernel says it."""

import json
import re

from console import Machine, main, require


def numa_maps(machine, group):
    """Of a program that was started in the group: the policies, and the nodes of what it allocated itself."""
    # Not the terminal: `run` would take what the next check types ahead.
    text = machine.check(f"gpcsup run -g {group} -- cat /proc/self/numa_maps </dev/null >/tmp/maps 2>&1 && cat /tmp/maps")
    lines = [line.split() for line in text.splitlines() if re.match(r"[0-9a-f]+ ", line)]
    allocated = {word[1:].split("=")[0] for words in lines if any(word.startswith("anon=") for word in words)
                 and not any(word.startswith("file=") for word in words) for word in words if re.match(r"N\d+=", word)}
    return {words[1] for words in lines}, allocated


def the_rules(machine):
    root = machine.json("gpcsup get --json compute:/")["attributes"]
    require((root["memset.mems"], root["memset.effective_mems"]) == ("0-3", "0-3"), f"the root has {root}")
    machine.check("gpcsup group create -p compute:/far/end && gpcsup group create compute:/wide")
    machine.check("gpcsup set compute:/far memset.mems=2-3 && gpcsup set compute:/far/end memset.mems=3")
    status, text = machine.run("gpcsup set compute:/far/end memset.mems=1 2>&1")
    require(status and "node 1 is not in its parent compute:/far (2-3)" in text, f"a node outside is not refused: {text}")
    status, text = machine.run("gpcsup set compute:/far memset.mems=2 2>&1")
    require(status and "compute:/far/end still has node 3" in text, f"a child's node is taken away: {text}")
    machine.check("gpcsup set compute:/wide memset.memory_spread=true")


def the_errors(machine):
    """Whatever of the machine is touched, what is refused changes nothing."""
    machine.check("gpcsup group create -p compute:/mine/own && gpcsup group create compute:/other")
    machine.check("gpcsup set compute:/mine memset.mems=0-1 memset.mem_exclusive=true")
    for setting, text in (
            ("compute:/other memset.mems=1-2", "node 1 would be shared with compute:/mine, and compute:/mine is exclusive"),
            ("compute:/other memset.mems=0-1 memset.mem_exclusive=true", "nodes 0-1 would be shared with compute:/mine"),
            ("compute:/other memset.mems=2-4", "node 4 is not in its parent compute:/ (0-3)"),
            ("compute:/other memset.mems=4-5", "nodes 4-5 are not in its parent compute:/ (0-3)"),
            ("compute:/other memset.mems=2-1", "2-1"),
            ("compute:/other memset.memory_migrate=perhaps", "perhaps"),
            ("compute:/other memset.migrating=0", "can only be read"),
            ("compute:/ memset.mems=0", "is the machine's and cannot be set"),
            ("compute:/far/end memset.mem_exclusive=true", "its parent compute:/far is not exclusive")):
        status, said = machine.run(f"gpcsup set {setting} 2>&1")
        require(status and text in said, f"{setting} is not refused: {said}")
    machine.check("gpcsup set compute:/mine/own memset.mems=0 memset.mem_exclusive=true")
    status, said = machine.run("gpcsup set compute:/mine memset.mem_exclusive=false 2>&1")
    require(status and "its child compute:/mine/own is exclusive" in said, f"the parent of an exclusive one is no more: {said}")
    other = machine.json("gpcsup get --json compute:/other")["attributes"]
    require((other["memset.mems"], other["memset.effective_mems"], other["memset.memory_migrate"]) == ("", "2-3", False),
            f"/other has {other}")
    machine.check("gpcsup group remove compute:/mine/own && gpcsup group remove compute:/mine && gpcsup group remove compute:/other")


def the_policies(machine):
    for group, policies, nodes in (("compute:/", {"default"}, {"0", "1", "2", "3"}), ("compute:/far", {"bind:2-3"}, {"2", "3"}),
                                   ("compute:/far/end", {"bind:3"}, {"3"}), ("compute:/wide", {"interleave:0-3"}, {"0", "1", "2", "3"})):
        seen, allocated = numa_maps(machine, group)
        require(seen == policies, f"in {group} the policy is {seen}, not {policies}")
        require(allocated and allocated <= nodes, f"in {group} memory is on nodes {allocated}")


def who_runs_already(machine):
    machine.check("gpcsup attach worker compute:/far/end")
    status = machine.json("gpcsup status --json")
    worker = next(unit for unit in status["units"] if unit["name"] == "worker")
    require(worker["enforcement"].get("memset", "").startswith("observed: it runs with"), f"status says {worker['enforcement']}")


def what_members_ask_for(machine):
    """Each call that says where memory is to be, through the whole supervisor."""
    for group, mask, expected in (
            ("compute:/far", "c", "set 0 mbind 0 migrate 0 move 0 ask 0 range 0 local 22 default 22"),
            ("compute:/far", "8", "set 0 mbind 0 migrate 0 move 0 ask 0 range 0 local 22 default 22"),
            ("compute:/far", "f", "set 22 mbind 22 migrate 22 move 0 ask 0 range 0 local 22 default 22"),
            ("compute:/far/end", "4", "set 22 mbind 22 migrate 22 move 22 ask 0 range 0 local 22 default 22"),
            ("compute:/", "1", "set 0 mbind 0 migrate 0 move 0 ask 0 range 0 local 0 default 0")):
        said = machine.check(f"gpcsup run -g {group} -- forker policy {mask} </dev/null >/tmp/said 2>&1; cat /tmp/said")
        said = said.splitlines()[0].strip()  # the shell may tell of a job behind it
        require(said == expected, f"in {group}, asked for {mask}: {said}")


MEGABYTES = 16
PAGES = MEGABYTES << 8


def hold_memory(machine, group):
    """The pid of a process that was started there, has filled so much memory, and waits in a pipe that the shell holds open."""
    machine.check("mkfifo /tmp/pipe && exec 5<>/tmp/pipe")
    machine.check(f"gpcsup run -g {group} -- dd if=/dev/zero of=/tmp/pipe bs={MEGABYTES}M </dev/null >/dev/null 2>&1 & head -c 1 <&5 | wc -c")
    return machine.check("pidof dd").split()[0]


def where(machine, pid):
    """Pages of the big buffer, by node."""
    lines = [dict(re.findall(r"\b(anon|N\d)=(\d+)", line)) for line in machine.check(f"cat /proc/{pid}/numa_maps").splitlines()]
    big = max(lines, key=lambda words: int(words.get("anon", 0)))
    return {name: int(count) for name, count in big.items() if name != "anon"}


def wait_until_moved(machine, group):
    """The newest event of it, when nobody is on the way any more; each question is a turn of gpcsupd's loop, which has a slice in it."""
    while machine.json(f"gpcsup get --json {group}")["attributes"]["memset.migrating"]:
        pass
    events = [json.loads(line) for line in machine.check("gpcsup events --json").splitlines() if "memory-migrated" in line]
    return next(event for event in reversed(events) if event["group"] == group)


def what_is_there_follows(machine):
    machine.check("gpcsup group create compute:/first && gpcsup group create compute:/moving")
    machine.check("gpcsup set compute:/first memset.mems=1 memset.memory_migrate=true && gpcsup set compute:/moving memset.mems=0")
    pid = hold_memory(machine, "compute:/far/end")
    require(set(where(machine, pid)) == {"N3"}, f"a buffer of the group of node 3 is on {where(machine, pid)}")
    machine.check(f"gpcsup attach {pid} compute:/first")
    event = wait_until_moved(machine, "compute:/first")
    seen = where(machine, pid)
    require(set(seen) == {"N1"} and seen["N1"] >= PAGES, f"after the attach to node 1 memory is on {seen}: {event}")
    require(event["processes"] == 1 and event["pages"] >= PAGES and "failed" not in event, f"told was {event}")
    machine.check(f"gpcsup attach {pid} compute:/moving")
    require(set(where(machine, pid)) == {"N1"}, "memory followed into a group without memory_migrate")
    machine.check("gpcsup set compute:/moving memset.memory_migrate=true")
    machine.check("gpcsup set compute:/moving memset.mems=3")
    event = wait_until_moved(machine, "compute:/moving")
    seen = where(machine, pid)
    require(set(seen) == {"N3"} and seen["N3"] >= PAGES, f"after mems=3 memory is on {seen}: {event}")
    require(event["pages"] >= PAGES, f"told was {event}")
    machine.check(f"kill {pid}")


def test():
    with Machine(units=["common"]) as machine:
        machine.log_in()
        machine.check("gpcsup start --timeout 60s default")
        the_rules(machine)
        the_errors(machine)
        the_policies(machine)
        who_runs_already(machine)
        what_is_there_follows(machine)
        what_members_ask_for(machine)
        machine.send("gpcsup poweroff\n")
        machine.expect("reboot: Power down")
        machine.wait_for_end()


main(test)
