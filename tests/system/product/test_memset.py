"""memset on whatever nodes this machine has: what a process is born with, as the kernel shows it in numa_maps."""

import os
import pathlib
import re
import unittest

import harness
from harness import Case

NODES = pathlib.Path("/sys/devices/system/node/has_memory")
CONFIG = """
[hierarchy.compute]
controllers = ["memset"]
[hierarchy.compute.group."/plain"]
[hierarchy.compute.group."/spread"]
memset.memory_spread = true
"""


def policies(numa_maps):
    """Those of the mappings that have none of their own: the policy of the process."""
    return {line.split()[1] for line in numa_maps.splitlines()}


class Memset(Case):
    def nodes(self):
        return NODES.read_text().strip() if NODES.exists() else "0"

    def attributes(self, supervisor, group):
        return {name.removeprefix("memset."): value for name, value in supervisor.json("get", group)["attributes"].items()
                if name.startswith("memset.")}

    def test_names_and_defaults(self):
        supervisor = self.supervise({}, CONFIG)
        self.assertEqual({"mems": "", "effective_mems": self.nodes(), "mem_exclusive": False, "memory_spread": False,
                          "memory_migrate": False, "migrating": 0},
                         self.attributes(supervisor, "compute:/plain"))
        self.assertEqual(self.nodes(), self.attributes(supervisor, "compute:/")["mems"])

    def test_a_node_that_is_not_there_is_named(self):
        supervisor = self.supervise({}, CONFIG)
        refused = supervisor.gpcsup("set", "compute:/plain", "memset.mems=1000", check=False)
        self.assertNotEqual(0, refused.returncode)
        self.assertIn(f"node 1000 is not in its parent compute:/ ({self.nodes()}); these are the nodes that have memory",
                      refused.stderr)

    @unittest.skipUnless(pathlib.Path("/proc/self/numa_maps").exists(), "needs a kernel with NUMA")
    def test_what_a_process_is_born_with(self):
        supervisor = self.supervise({}, CONFIG)
        seen = {}
        for group in ("plain", "spread"):
            seen[group] = policies(supervisor.gpcsup("run", "-g", f"compute:/{group}", "--", "cat", "/proc/self/numa_maps").stdout)
        self.assertEqual({"default"}, seen["plain"])
        self.assertEqual({f"interleave:{self.nodes()}"}, seen["spread"])

    def test_a_service_that_came_later_is_only_observed(self):
        worker = '[service]\ncommand = ["sleep", "100000"]\n[place]\ncompute = "/plain"\n'
        supervisor = self.supervise({"worker": worker}, CONFIG)
        self.assertNotIn("memset", supervisor.unit("worker")["enforcement"])
        supervisor.gpcsup("attach", "worker", "compute:/spread")
        self.assertTrue(re.match("observed: it runs with the memory policy that it was started with",
                                 supervisor.unit("worker")["enforcement"]["memset"]))
        supervisor.gpcsup("restart", "worker")
        self.assertNotIn("memset", supervisor.unit("worker")["enforcement"])


class MemsetOfAnOrdinaryUser(Memset):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main()
