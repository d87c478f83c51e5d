#!/usr/bin/python3
"""What ends a machine: SIGPWR and SIGTERM to PID 1 power it off, `gpcsup reboot` restarts it, all in order."""

import pathlib
import tempfile

from console import Machine, inspect_disk, main, make_disk, read_from_disk, require

ENDS = [("kill -PWR 1", "reboot: Power down"), ("kill -TERM 1", "reboot: Power down"), ("gpcsup reboot", "reboot: Restarting system")]


def ends_in_order(command, last_words):
    """As root types COMMAND the chain of four stops in reverse order, the disk is left clean, and the kernel says LAST_WORDS."""
    with tempfile.TemporaryDirectory(prefix="gd-") as place:
        disk = pathlib.Path(place) / "disk"
        make_disk(disk)
        with Machine(units=["chain"], disk=disk) as machine:
            machine.log_in()
            machine.check("gpcsup start --timeout 60s default")
            machine.send(f"{command}\n")
            machine.expect(last_words)
            machine.wait_for_end()
        inspect_disk(disk)
        events = [line.split() for line in read_from_disk(disk, "/events").splitlines()]
        order = [(words[0], words[1]) for words in events if words[1] != "started"]
        wanted = [(name, event) for name in ("fourth", "third", "second", "first") for event in ("stopping", "stopped")]
        require(order == wanted, f"`{command}` stopped them as {order}")


def test():
    for command, last_words in ENDS:
        ends_in_order(command, last_words)


main(test)
