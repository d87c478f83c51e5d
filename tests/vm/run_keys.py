#!/usr/bin/python3
"""What a person does to the machine: Ctrl-Alt-Del reboots in order; `gpcsup halt` halts; reexec of PID 1 changes nothing."""

import pathlib
import tempfile

from console import Machine, inspect_disk, main, make_disk, read_from_disk, require


def reboot_by_keys():
    with tempfile.TemporaryDirectory(prefix="gd-") as place:
        disk = pathlib.Path(place) / "disk"
        make_disk(disk)
        with Machine(units=["chain"], disk=disk) as machine:
            machine.log_in()
            machine.check("gpcsup start --timeout 60s default")
            machine.press("ctrl", "alt", "delete")
            machine.expect("reboot: Restarting system")
            machine.wait_for_end()
        inspect_disk(disk)
        stopped = [line.split()[0] for line in read_from_disk(disk, "/events").splitlines() if line.split()[1] == "stopped"]
        require(stopped == ["fourth", "third", "second", "first"], f"Ctrl-Alt-Del stopped them as {stopped}")


def halt_after_reexec():
    with Machine(units=["common"]) as machine:
        machine.log_in()
        machine.check("gpcsup start --timeout 60s default")
        before = machine.json("gpcsup status --json worker")["units"][0]
        machine.check("gpcsup reexec")
        after = machine.json("gpcsup status --json worker")["units"][0]
        require((before["pid"], before["restarts"]) == (after["pid"], after["restarts"]), f"{before} became {after}")
        machine.check("gpcsup restart worker")
        machine.send("gpcsup halt\n")
        machine.expect("reboot: System halted")


def test():
    reboot_by_keys()
    halt_after_reexec()


main(test)
