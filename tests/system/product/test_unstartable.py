"""Units that cannot be started: status says which step of gpc-exec failed and with which error, on screen and in JSON."""

import os
import unittest

import harness
from harness import Case, needs_root, stat_of

TRUE = 'command = ["true"]\n'
STEPS = {  # unit: (its settings, the step and what it was about, the error)
    "program": ('command = ["/does/not/exist"]\n', "execute /does/not/exist", "No such file or directory"),
    "permission": ('command = ["/etc/passwd"]\n', "execute /etc/passwd", "Permission denied"),
    "path": ('command = ["no-such-program-at-all"]\n', "cannot execute no-such-program-at-all", "No such file or directory"),
    "absent": (TRUE + 'directory = "/does/not/exist"\n', "directory /does/not/exist", "No such file or directory"),
    "file": (TRUE + 'directory = "/etc/passwd"\n', "directory /etc/passwd", "Not a directory"),
    "user": (TRUE + 'user = "no-such-user"\n', "user no-such-user", "there is no such user"),
    "group": (TRUE + f'user = "{harness.ORDINARY}"\ngroup = "no-such-group"\n', "group no-such-group", "there is no such group"),
    "only-group": (TRUE + 'group = "no-such-group"\n', "group no-such-group", "there is no such group"),
}
FORBIDDEN = {  # to an ordinary user
    "other-user": (TRUE + 'user = "daemon"\n', ("user daemon",), "Operation not permitted"),
    "root": (TRUE + 'user = "root"\n', ("user root",), "Operation not permitted"),
    "nice": (TRUE + "nice = -20\n", ("priority",), "Permission denied"),
}


def unit(settings):
    return f"enabled = false\n[service]\n{settings}"


class Unstartable(Case):
    def check_failure(self, supervisor, name, steps, error):
        """The unit's reason is `exec: STEP…: ERROR` with one of STEPS, wherever somebody may read it."""
        started = supervisor.gpcsup("start", name, check=False)
        self.assertEqual((1, ""), (started.returncode, started.stdout))
        seen = supervisor.unit(name)
        self.assertEqual(("failed", None, 0, 0), tuple(seen[key] for key in ("state", "pid", "restarts", "processes")))
        reason = seen["reason"]
        self.assertTrue(reason.startswith(tuple(f"exec: {step}" for step in steps)), reason)
        self.assertIn(f": {error}", reason)
        self.assertIn(f"{name} is failed: {reason}\n", started.stderr)
        screen = supervisor.gpcsup("status", name, check=False)
        self.assertEqual(3, screen.returncode)
        self.assertIn(f"Why: {reason}\n", screen.stdout)
        self.assertEqual([], supervisor.services())
        self.assertEqual(b"", supervisor.log(name), "nothing of ours is in the unit's log")

    def check_all(self, supervisor, failures):
        for name, (_, steps, error) in failures.items():
            with self.subTest(name):
                self.check_failure(supervisor, name, (steps,) if isinstance(steps, str) else steps, error)

    def test_the_step_and_the_error_are_told(self):
        supervisor = self.supervise({name: unit(settings) for name, (settings, *_) in STEPS.items()})
        self.check_all(supervisor, STEPS)

    def test_the_first_start_is_not_repeated_and_what_is_mended_starts(self):
        supervisor = self.supervise({"late": unit('command = ["sleep", "1000"]\ndirectory = "@"\nrestart_delay = "1ms"\n')})
        place = supervisor.directory / "state" / "late"
        supervisor.write_unit("late", (supervisor.directory / "units/late.toml").read_text().replace("@", str(place)))
        supervisor.gpcsup("apply")
        self.check_failure(supervisor, "late", ("directory",), "No such file or directory")
        self.assertIsNone(supervisor.unit("late")["next_restart_ns"])
        place.mkdir()
        place.chmod(0o755)
        supervisor.gpcsup("start", "late")
        pid = supervisor.unit("late")["pid"]
        self.assertEqual(supervisor.init.pid, int(stat_of(pid)[1]))
        self.assertEqual(str(place), os.readlink(f"/proc/{pid}/cwd"))
        self.assertEqual("", supervisor.unit("late")["reason"] or "")

    def test_who_needs_it_fails_for_the_dependency(self):
        supervisor = self.supervise({"absent": unit(STEPS["absent"][0]),
                                     "above": unit('command = ["sleep", "1000"]\n[depends]\nrequires = ["absent"]\n')})
        self.assertEqual(1, supervisor.gpcsup("start", "above", check=False).returncode)
        self.assertEqual("failed", supervisor.unit("above")["state"])
        self.assertIn("dependency", supervisor.unit("above")["reason"])
        self.assertIn("directory /does/not/exist", supervisor.gpcsup("why", "above").stdout)


class UnstartableAsOrdinaryUser(Unstartable):
    user = harness.ORDINARY if os.getuid() == 0 else None

    def test_what_an_ordinary_user_may_not(self):
        supervisor = self.supervise({name: unit(settings) for name, (settings, *_) in FORBIDDEN.items()})
        self.check_all(supervisor, FORBIDDEN)

    @needs_root
    def test_he_may_become_himself(self):
        supervisor = self.supervise({"own": unit(f'command = ["sleep", "1000"]\nuser = "{self.user}"\n')})
        supervisor.gpcsup("start", "own")
        self.assertEqual(str(supervisor.user.pw_uid), harness.status_field(supervisor.unit("own")["pid"], "Uid").split()[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
