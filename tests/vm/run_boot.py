#!/usr/bin/python3
"""gpc-init as PID 1: boots to all units active, from a kernel command line full of junk; an ordinary user; kill -9."""

from console import Machine, main, require

JUNK = "junk quiet=maybe --frobnicate splash nonsense.option=1 single 7"


def states(status):
    return {unit["name"]: unit["state"] for unit in status["units"]}


def parent_of(machine, pid):
    return int(machine.check(f"awk '/^PPid/ {{ print $2 }}' /proc/{pid}/status"))


def all_units_active(machine):
    require(machine.check("cat /proc/1/comm").strip() == "gpc-init", "PID 1 is not gpc-init")
    machine.check("gpcsup start --timeout 60s default")
    status = machine.json("gpcsup status --json")
    found = states(status)
    require({"worker", "prepare", "after", "console"} <= set(found), f"units are missing: {found}")
    wrong = {name: state for name, state in found.items() if state not in ("active", "done")}
    require(not wrong, f"not active: {wrong}")
    require(status["supervisor"]["init_pid"] == 1, "status names another init")
    require(status["supervisor"]["tracking"] == "exact", f"tracking is {status['supervisor']['tracking']}")
    for unit in status["units"]:
        if unit["pid"] is not None:
            require(parent_of(machine, unit["pid"]) == 1, f"{unit['name']} is no child of PID 1")
    require(machine.check("cat /run/prepared").strip() == "prepared", "the oneshot did not run")
    return status


def file_systems_are_mounted(machine):
    """Each once, of its kind, and without what nobody needs there; devpts such that a pty can be opened."""
    mounts = [line.split() for line in machine.check("cat /proc/mounts").splitlines()]
    for place, kind, options in (("/proc", "proc", {"nosuid", "nodev", "noexec"}), ("/sys", "sysfs", {"nosuid", "nodev", "noexec"}),
                                 ("/dev", "devtmpfs", {"nosuid", "mode=755"}),
                                 ("/dev/pts", "devpts", {"nosuid", "noexec", "gid=5", "mode=620", "ptmxmode=666"}),
                                 ("/dev/shm", "tmpfs", {"nosuid", "nodev"}), ("/run", "tmpfs", {"nosuid", "nodev", "mode=755"})):
        found = [(mount[2], options - set(mount[3].split(","))) for mount in mounts if mount[1] == place]
        require(found == [(kind, set())], f"{place} is mounted as {found} (kind, options that are missing)")
    require(machine.check("stat -c %a /dev/shm").strip() == "1777", "/dev/shm is not for everybody")


def orphans_belong(machine):
    orphans = machine.json("gpcsup ps --json after")["processes"]
    require(len(orphans) == 4, f"a service with three orphans has {orphans}")
    require(sum(process["ppid"] == 1 for process in orphans) == 4, "orphans were not adopted by PID 1")


def four_cpus(machine):
    require(machine.check("nproc").strip() == "4", "the guest has not four CPUs")
    root = machine.json("gpcsup get --json compute:/")["attributes"]
    require(root["cpuset.effective_cpus"] == "0-3", f"the root of compute has CPUs {root}")


def killed_supervisor(machine, before):
    worker = next(unit for unit in before["units"] if unit["name"] == "worker")
    machine.check(f"kill -9 {before['supervisor']['pid']}")
    after = machine.json("gpcsup status --json")
    require(after["supervisor"]["pid"] != before["supervisor"]["pid"], "gpcsupd was not replaced")
    again = next(unit for unit in after["units"] if unit["name"] == "worker")
    require((again["pid"], again["state"], again["restarts"]) == (worker["pid"], "active", worker["restarts"]),
            f"the worker noticed: {worker} became {again}")


def ordinary_user(machine):
    status, _ = machine.run("su guest -c 'gpcsup status --json' >/tmp/seen")
    require(status == 0, "an ordinary user cannot read the status")
    status, text = machine.run("su guest -c 'gpcsup stop worker' 2>&1")
    require(status == 5, f"an ordinary user may stop a unit of root's, or is told wrongly: {status} {text}")
    machine.check("mkdir -p /tmp/mine/units && printf '[service]\\ncommand = [\"sleep\", \"1000\"]\\n' >/tmp/mine/units/nap.toml"
                  " && chown -R guest /tmp/mine && chmod 700 /tmp/mine")
    machine.check("su guest -c 'HOME=/tmp/mine gpc-init --units /tmp/mine/units --runtime /tmp/mine/run >/tmp/mine/out 2>&1 &'")
    mine = "su guest -c 'gpcsup --runtime /tmp/mine/run {}'"
    # The socket appears when gpc-init is up; asking is how one knows.
    machine.check(f"n=0; until {mine.format('start nap')} 2>/tmp/why; do n=$((n+1)); [ $n -lt 100 ] || {{ cat /tmp/why; false; break; }};"
                  " usleep 200000; done")
    status = machine.json(mine.format("status --json"))
    require(states(status).get("nap") == "active", f"the ordinary user's unit is not active: {states(status)}")
    uid = machine.check(f"awk '/^Uid/ {{ print $2 }}' /proc/{status['units'][0]['pid']}/status").strip()
    require(uid == "1000", f"the ordinary user's service runs as uid {uid}")
    machine.check(mine.format("exit"))


def test():
    with Machine(units=["common"], arguments=JUNK) as machine:
        machine.log_in()
        before = all_units_active(machine)
        file_systems_are_mounted(machine)
        orphans_belong(machine)
        four_cpus(machine)
        killed_supervisor(machine, before)
        ordinary_user(machine)
        status, text = machine.run("gpcsup exit 2>&1")
        require(status != 0 and "poweroff" in text, f"`gpcsup exit` on PID 1 should name poweroff: {status} {text}")
        machine.send("gpcsup poweroff\n")
        machine.expect("reboot: Power down")
        machine.wait_for_end()


main(test)
