#!/usr/bin/python3
"""A machine whose gpcsupd cannot start ends in an emergency shell, never in a kernel panic."""

from console import Machine, main, require


def test():
    with Machine(units=["common"], without=["usr/libexec/gpcsup/gpcsupd"]) as machine:
        machine.expect("This is the emergency shell")
        machine.expect("# ")
        machine.be_quiet()
        require(machine.check("cat /proc/1/comm").strip() == "gpc-init", "PID 1 is not gpc-init")
        # Leaving the shell must not end the machine either: it comes back.
        machine.send("exit\n")
        machine.expect("This is the emergency shell")
        machine.expect("# ")
        machine.be_quiet()
        for _ in range(7):
            machine.press("ctrl", "alt", "delete")
        machine.expect("reboot: Restarting system")
        machine.wait_for_end()


main(test)
