#!/usr/bin/python3
"""memset on four NUMA nodes: what is started in a group has its memory on the group's nodes, as the kernel says it."""

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


def test():
    with Machine(units=["common"]) as machine:
        machine.log_in()
        machine.check("gpcsup start --timeout 60s default")
        the_rules(machine)
        the_policies(machine)
        who_runs_already(machine)
        machine.send("gpcsup poweroff\n")
        machine.expect("reboot: Power down")
        machine.wait_for_end()


main(test)
