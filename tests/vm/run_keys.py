#!/usr/bin/python3
"""What a person does to the machine: Ctrl-Alt-Del reboots in order; `gpcsup halt` halts; reexec of PID 1 changes nothing."""

from console import CHAIN, Machine, chain_machine, inspect_disk, main, read_from_disk, require


def reboot_by_keys():
    with chain_machine() as machine:
        machine.press("ctrl", "alt", "delete")
        machine.expect("reboot: Restarting system")
        machine.wait_for_end()
        inspect_disk(machine.disk)
        stopped = [line.split()[0] for line in read_from_disk(machine.disk, "/events").splitlines() if line.split()[1] == "stopped"]
        require(stopped == CHAIN, f"Ctrl-Alt-Del stopped them as {stopped}")


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
