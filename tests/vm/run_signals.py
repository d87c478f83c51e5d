#!/usr/bin/python3
"""What ends a machine: SIGPWR and SIGTERM to PID 1 power it off, `gpcsup reboot` restarts it, all in order."""

from console import CHAIN, chain_machine, inspect_disk, main, read_from_disk, require

ENDS = [("kill -PWR 1", "reboot: Power down"), ("kill -TERM 1", "reboot: Power down"), ("gpcsup reboot", "reboot: Restarting system")]


def ends_in_order(command, last_words):
    """As root types COMMAND the chain of four stops in reverse order, the disk is left clean, and the kernel says LAST_WORDS."""
    with chain_machine() as machine:
        machine.send(f"{command}\n")
        machine.expect(last_words)
        machine.wait_for_end()
        inspect_disk(machine.disk)
        events = [line.split() for line in read_from_disk(machine.disk, "/events").splitlines()]
        order = [(words[0], words[1]) for words in events if words[1] != "started"]
        wanted = [(name, event) for name in CHAIN for event in ("stopping", "stopped")]
        require(order == wanted, f"`{command}` stopped them as {order}")


def test():
    for command, last_words in ENDS:
        ends_in_order(command, last_words)


main(test)
