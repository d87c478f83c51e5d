"""A subtree that is delegated to an ordinary user: what its owner may do in it, and nothing else."""

import pwd
import subprocess
import unittest

import harness
from harness import needs_root, stat_of, wait_gone
from test_groups import GroupCase


@needs_root
class Delegation(GroupCase):
    """A supervisor of root's, a subtree delegated to an ordinary user."""

    user = None

    def setUp(self):
        self.start()
        self.supervisor.directory.chmod(0o755)
        self.supervisor.runtime.chmod(0o755)
        self.uid = pwd.getpwnam(harness.ORDINARY).pw_uid
        self.run_gpcsup("hierarchy", "create", "tenant", "numtasks")
        self.run_gpcsup("group", "create", "-p", "tenant:/acme/own", "tenant:/other")
        self.run_gpcsup("set", "tenant:/acme/own", f"group.owner={self.uid}", "numtasks.limit=50")

    def theirs(self, *arguments, status=0, says=""):
        result = subprocess.run([harness.BIN / "gpcsup", "--runtime", self.supervisor.runtime, *arguments],
                                env=self.supervisor.environ(), user=self.uid, group=self.uid, extra_groups=[],
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(status, result.returncode, f"{arguments}: {result.stdout}{result.stderr}")
        self.assertIn(says, result.stderr)

    def test_the_subtree_is_theirs(self):
        self.theirs("group", "create", "-p", "tenant:/acme/own/a/b")
        self.assertEqual(self.uid, self.get("tenant:/acme/own/a/b", "group.owner"))
        self.theirs("set", "tenant:/acme/own/a", "numtasks.limit=5", "group.max_depth=1", "group.auto_remove=false")
        self.theirs("group", "rename", "tenant:/acme/own/a", "c")
        self.theirs("set", "tenant:/acme/own", "group.notify_on_release=true")
        self.kill_supervisor()
        pid = self.sleeper("tenant:/acme/own/c/b")
        self.theirs("group", "remove", "-r", "tenant:/acme/own/c", status=1, says=str(pid))
        self.theirs("group", "remove", "-r", "--kill", "tenant:/acme/own/c")
        self.assertTrue(wait_gone(pid, 5))
        self.run_gpcsup("group", "create", "tenant:/acme/own/by-root")
        self.assertEqual(self.uid, self.get("tenant:/acme/own/by-root", "group.owner"), "inherited from the parent")

    def test_freezing_and_killing_what_is_theirs(self):
        self.run_gpcsup("group", "create", "tenant:/acme/own/a")
        pid, other = self.sleeper("tenant:/acme/own/a"), self.sleeper("tenant:/other")
        self.theirs("freeze", "tenant:/acme/own")
        self.assertEqual("T", stat_of(pid)[0])
        self.theirs("thaw", "tenant:/acme/own")
        self.assertNotEqual("T", stat_of(pid)[0])
        for group in ("tenant:/other", "tenant:/acme"):
            self.theirs("freeze", group, status=5)
            self.theirs("kill", "-s", "KILL", group, status=5)
        self.run_gpcsup("freeze", "tenant:/acme")
        self.theirs("thaw", "tenant:/acme", status=5)
        self.theirs("thaw", "tenant:/acme/own")  # it is theirs, but what is above it is not
        self.assertEqual("T", stat_of(pid)[0])
        self.run_gpcsup("thaw", "tenant:/acme")
        self.theirs("kill", "-s", "KILL", "tenant:/acme/own")
        self.assertTrue(wait_gone(pid, 5))
        self.assertIsNotNone(stat_of(other))

    def test_and_nothing_else(self):
        self.theirs("group", "create", "tenant:/mine", status=5, says="not delegated to that user")
        self.theirs("group", "create", "tenant:/acme/mine", status=5)
        self.theirs("set", "tenant:/acme/own", "numtasks.limit=max", status=5, says="top of what is delegated")
        self.theirs("set", "tenant:/acme/own", "group.max_depth=max", status=5)
        self.theirs("set", "tenant:/acme/own", "group.owner=none", status=5, says="only root")
        self.theirs("group", "remove", "tenant:/acme/own", status=5, says="top of what is delegated")
        self.theirs("set", "tenant:/acme/own", "group.auto_remove=true", status=5, says="top of what is delegated")
        self.theirs("group", "rename", "tenant:/acme/own", "x", status=5)
        self.theirs("group", "remove", "-r", "--kill", "tenant:/other", status=5)
        self.theirs("hierarchy", "create", "x", status=5)
        self.theirs("hierarchy", "remove", "tenant", status=5)
        self.theirs("hierarchy", "rebind", "tenant", status=5)
        self.assertEqual(50, self.get("tenant:/acme/own", "numtasks.limit"))

    def test_delegation_can_be_taken_back(self):
        self.run_gpcsup("set", "tenant:/acme/own", "group.owner=none")
        self.theirs("group", "create", "tenant:/acme/own/a", status=5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
