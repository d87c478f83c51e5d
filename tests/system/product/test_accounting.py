"""CPU time against the kernel's own cpuacct, in the same run."""

import os
import pathlib
import tempfile
import textwrap
import time
import unittest

import harness
from harness import Case

CPUACCT = pathlib.Path("/sys/fs/cgroup/cpuacct")


@unittest.skipUnless(os.access(CPUACCT, os.W_OK) and os.getuid() == 0, "needs a writable cpuacct cgroup")
class AgainstTheKernel(Case):
    def measure(self, script):
        """Within 0.5 %. What the process used before the kernel's group had it is its own figure, told just before."""
        cgroup = CPUACCT / f"gpcsup-test-{os.getpid()}"
        cgroup.mkdir()
        self.addCleanup(cgroup.rmdir)
        place = tempfile.mkdtemp(prefix="gpcsup-before-")
        os.chmod(place, 0o777)
        self.addCleanup(harness.shutil.rmtree, place, True)
        begin = f"read -r before rest < /proc/self/schedstat; echo $before > {place}/ns; echo $$ > {cgroup}/cgroup.procs"
        unit = f'''enabled = false
[service]
type = "oneshot"
restart = "no"
start_timeout = "5m"
command = ["sh", "-c", """{begin}; {script}"""]
[place]
compute = "/batch"
'''
        supervisor = self.supervise({"load": unit})
        if self.user:
            os.chown(cgroup / "cgroup.procs", supervisor.user.pw_uid, supervisor.user.pw_gid)
        supervisor.gpcsup("start", "load")
        ours = supervisor.json("get", "compute:/batch")["attributes"]
        kernel = int((cgroup / "cpuacct.usage").read_text())
        kernel += int(pathlib.Path(place, "ns").read_text())
        error = (ours["cpuacct.usage"] - kernel) / kernel
        print(f"cpuacct: ours {ours['cpuacct.usage'] / 1e6:.1f} ms, kernel {kernel / 1e6:.1f} ms, {error:+.3%}")
        self.assertLess(abs(error), 0.005)
        self.assertEqual(ours["cpuacct.usage"], ours["cpuacct.user"] + ours["cpuacct.system"])
        self.assertGreater(ours["cpuacct.system"], 0)

    def test_parallel_compile(self):
        directory = tempfile.mkdtemp(prefix="gpcsup-compile-")
        os.chmod(directory, 0o777)
        self.addCleanup(harness.shutil.rmtree, directory, True)
        for number in range(6):
            pathlib.Path(directory, f"f{number}.cpp").write_text(
                f"#include <map>\n#include <string>\nint f{number}() {{ std::map<std::string, int> m; m[\"a\"] = {number}; return m[\"a\"]; }}\n")
        pathlib.Path(directory, "Makefile").write_text(textwrap.dedent("""\
            all: f0.o f1.o f2.o f3.o f4.o f5.o
            %.o: %.cpp
            \tg++ -c -o $@ $<
            """))
        self.measure(f"make -s -j2 -C {directory}")

    def test_many_short_processes(self):
        self.measure("i=0; while [ $i -lt 400 ]; do /bin/true; (:); i=$((i+1)); done")


SLOT = 10  # seconds of the monotonic clock, as in cpuacct.load


class Load(Case):
    user = harness.ORDINARY if os.getuid() == 0 else None

    def used(self, pid):
        fields = harness.stat_of(pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_for_slot(self):
        """The end of a slot is a moment, and nothing else tells of it."""
        time.sleep(SLOT - time.monotonic() % SLOT)
        return time.monotonic()

    def test_a_busy_loop_is_one_cpu(self):
        supervisor = self.supervise({"busy": f'[service]\ncommand = ["{harness.MISBEHAVE}", "--eat-cpu"]\n[place]\ncompute = "/a"\n'},
                                    '[hierarchy.compute]\ncontrollers = ["cpuacct"]\n[hierarchy.compute.group."/a"]\n')
        supervisor.gpcsup("start", "busy")
        load = lambda: supervisor.json("get", "compute:/a", "cpuacct.load")["attributes"]["cpuacct.load"]
        self.assertEqual(0, load())
        pid = supervisor.unit("busy")["pid"]
        began, before = self.wait_for_slot(), self.used(pid)
        ended, after = self.wait_for_slot(), self.used(pid)
        time.sleep(0.5 * harness.SLOW)  # gpcsupd has its turn, however late
        said, share = load(), 100 * (after - before) / (ended - began)
        print(f"load {said} %, by its own clock {share:.0f} %", flush=True)
        self.assertGreater(share, 10)
        self.assertAlmostEqual(share, said, delta=8)


class AgainstTheKernelAsOrdinaryUser(AgainstTheKernel):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
