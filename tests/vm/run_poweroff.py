#!/usr/bin/python3
"""Power-off stops a chain of four services in reverse order, one of them slow, and leaves the disk they write to clean."""

import hashlib
import os
import subprocess

from console import CHAIN, chain_machine, inspect_disk, main, read_from_disk, require


def judge(lines, where):
    """LINES are `NAME EVENT MONOTONIC_NS`: each service has stopped before the next is told to."""
    events = [line.split() for line in lines]
    wanted = [[name, event] for name in CHAIN for event in ("stopping", "stopped")]
    stops = [words for words in events if words[1] in ("stopping", "stopped")]
    require([words[:2] for words in stops] == wanted, f"{where} tells another order: {stops}")
    times = [int(words[2]) for words in stops]
    # /proc/uptime, which the shell among them reads, counts hundredths.
    require(all(later + 10_000_000 >= earlier for earlier, later in zip(times, times[1:])), f"times go back: {stops}")
    slow = times[wanted.index(["third", "stopped"])] - times[wanted.index(["third", "stopping"])]
    require(slow >= 1_990_000_000, f"the slow service was not waited for: {slow} ns")


def test():
    with chain_machine() as machine:
        for name in CHAIN:
            machine.check(f"gpcsup is-active {name}")
        machine.check("until [ $(wc -l </mnt/events) -ge 4 ]; do usleep 100000; done")  # executed is not yet written
        before = len(machine.transcript)
        machine.send("gpcsup poweroff\n")
        machine.expect("reboot: Power down")
        machine.wait_for_end()
        said = [line for line in machine.transcript[before:].splitlines()
                if line.split()[1:2] in (["stopping"], ["stopped"]) and line.split()[0] in CHAIN]
        judge(said, "the console")
        disk = machine.disk
        inspect_disk(disk)
        judge(read_from_disk(disk, "/events").splitlines(), "the disk")
        copy = disk.with_name("data")
        subprocess.run(["/sbin/debugfs", "-R", f"dump /data {copy}", disk], check=True, capture_output=True)
        require(os.path.getsize(copy) == 128 * 65536, f"only {os.path.getsize(copy)} bytes arrived")
        summed = hashlib.md5(copy.read_bytes()).hexdigest()
        require(read_from_disk(disk, "/sum").split()[0] == summed, "what was written during shutdown is damaged")


main(test)
