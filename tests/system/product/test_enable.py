"""`gpcsup enable`, `disable` and `mask`: the drop-in that is written, and what becomes of it at the next boot."""

import os
import subprocess
import unittest

import harness
from harness import Case, stat_of

SLEEPER = '[service]\ncommand = ["sleep", "1000"]\n'
UNITS = {"idle": "enabled = false\n" + SLEEPER, "eager": SLEEPER, "steady": SLEEPER}


class Enabling(Case):
    def drop_ins(self, supervisor, unit):
        folder = supervisor.directory / "units" / f"{unit}.d"
        return {path.name: path.read_text() for path in folder.iterdir()} if folder.is_dir() else {}

    def states(self, supervisor):
        supervisor.gpcsup("start", "default")  # what it wants is being started: this waits until it has been
        return {unit["name"]: unit["state"] for unit in supervisor.json("list")["units"] if unit["name"] in UNITS}

    def boot_again(self, supervisor):
        self.assertEqual(0, supervisor.stop())
        (supervisor.directory / "notify").unlink()
        supervisor.start()

    def owned_like_the_caller(self, supervisor, *units):
        uid = supervisor.user.pw_uid if supervisor.user else os.getuid()
        for unit in units:
            for path in (supervisor.directory / "units" / f"{unit}.d").iterdir():
                self.assertEqual((uid, 0o644), (path.stat().st_uid, path.stat().st_mode & 0o777))

    def test_it_holds_from_the_next_boot_on(self):
        supervisor = self.supervise(UNITS)
        before = {"idle": "inactive", "eager": "active", "steady": "active"}
        self.assertEqual(before, self.states(supervisor))
        eager = supervisor.unit("eager")["pid"]
        units = supervisor.directory / "units"
        self.assertEqual(f"wrote {units}/idle.d/50-enable.toml\n", supervisor.gpcsup("enable", "idle").stdout)
        self.assertEqual(f"wrote {units}/eager.d/50-enable.toml\n", supervisor.gpcsup("disable", "eager").stdout)
        self.assertEqual({"50-enable.toml": "# written by gpcsup enable\nenabled = true\n"}, self.drop_ins(supervisor, "idle"))
        self.assertEqual({"50-enable.toml": "# written by gpcsup disable\nenabled = false\n"}, self.drop_ins(supervisor, "eager"))
        self.owned_like_the_caller(supervisor, "idle", "eager")
        self.assertEqual(UNITS["idle"], (units / "idle.toml").read_text(), "the unit's own file is not touched")
        self.assertEqual(0, supervisor.gpcsup("check", units / "idle.d/50-enable.toml", units / "idle.toml").returncode)
        self.assertEqual(before, self.states(supervisor), "it starts and stops nothing")
        self.assertEqual(str(supervisor.init.pid), stat_of(eager)[1])
        self.boot_again(supervisor)
        self.assertEqual({"idle": "active", "eager": "inactive", "steady": "active"}, self.states(supervisor))
        self.assertEqual(sorted([supervisor.unit("idle")["pid"], supervisor.unit("steady")["pid"]]), sorted(supervisor.services()))
        supervisor.gpcsup("start", "eager")  # disabled is not forbidden
        supervisor.gpcsup("disable", "idle")
        supervisor.gpcsup("enable", "eager")
        self.boot_again(supervisor)
        self.assertEqual(before, self.states(supervisor))

    def test_what_is_masked_cannot_be_started_until_it_is_enabled(self):
        supervisor = self.supervise(UNITS)
        self.assertIn("eager.d/50-mask.toml", supervisor.gpcsup("mask", "eager").stdout)
        self.assertEqual({"50-mask.toml": "# written by gpcsup mask\nmasked = true\n"}, self.drop_ins(supervisor, "eager"))
        self.boot_again(supervisor)
        refused = supervisor.gpcsup("start", "eager", check=False)
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("masked", refused.stderr)
        self.assertIsNone(supervisor.unit("eager")["pid"])
        supervisor.gpcsup("enable", "eager")
        self.assertEqual(["50-enable.toml"], list(self.drop_ins(supervisor, "eager")))
        self.boot_again(supervisor)
        self.assertEqual("active", self.states(supervisor)["eager"])

    def test_they_work_without_a_supervisor(self):
        supervisor = self.supervise(UNITS)
        self.assertEqual(0, supervisor.stop())
        units = str(supervisor.directory / "units")
        self.assertEqual(69, supervisor.gpcsup("status", check=False).returncode, "nobody is there to ask")
        supervisor.gpcsup("enable", "--units", units, "idle")
        supervisor.gpcsup("disable", "--units", units, "eager", "steady")
        (supervisor.directory / "notify").unlink()
        supervisor.start()
        self.assertEqual({"idle": "active", "eager": "inactive", "steady": "inactive"}, self.states(supervisor))

    def test_without_a_supervisor_a_users_units_are_where_a_user_has_them(self):
        supervisor = self.supervise(UNITS)
        self.assertEqual(0, supervisor.stop())
        place = supervisor.directory / "state" / "gpcsup" / "units"
        place.mkdir(parents=True)
        (place / "idle.toml").write_text(UNITS["idle"])
        for path in [place, *place.parents][:2] if supervisor.user else []:
            os.chown(path, supervisor.user.pw_uid, supervisor.user.pw_gid)
        done = subprocess.run([harness.BIN / "gpcsup", "--user", "enable", "idle"], preexec_fn=supervisor.become, text=True,
                              env=supervisor.environ() | {"XDG_CONFIG_HOME": str(supervisor.directory / "state")}, capture_output=True)
        self.assertEqual((0, f"wrote {place}/idle.d/50-enable.toml\n", ""), (done.returncode, done.stdout, done.stderr))

    def test_a_unit_that_is_not_there_is_named_and_nothing_is_written(self):
        supervisor = self.supervise(UNITS)
        for verb in ("enable", "disable", "mask"):
            result = supervisor.gpcsup(verb, "idle", "stedy", check=False)
            self.assertEqual((4, ""), (result.returncode, result.stdout))
            self.assertIn("did you mean steady?", result.stderr)
        self.assertEqual([], [path.name for path in (supervisor.directory / "units").iterdir() if path.is_dir()])


class EnablingAsOrdinaryUser(Enabling):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
