"""A controller that is no part of gpcsup: tests/unit/controllers/example_controller.cpp is linked to gpcsupd, with no edit in src/,
and is then in `check`, get/set, the bus, JSON and the manual as any other."""

import os
import pathlib
import shutil
import subprocess
import unittest
from unittest import mock

import harness
from harness import Case, ORDINARY, ROOT, SLOW

SUPPORT = pathlib.Path(os.environ.get("GPCSUP_SUPPORT", harness.BIN.parent / "tests/support"))
CONFIG = """
[hierarchy.counts]
controllers = ["tally"]
[hierarchy.counts.group."/web"]
tally.weight = 5
"""
UNITS = {"forks": 'enabled = false\n[service]\ncommand = ["sh", "-c", "true & wait; true & wait; exec sleep 1000"]\n'
                  '[place]\ncounts = "/web"\n'}
PAGE = ".Dd @ATTRIBUTES@\n"


class OwnController(Case):
    def setUp(self):
        """The programs as they were built, except that this gpcsupd has one controller more."""
        super().setUp()
        programs = self.make_directory()
        for program in harness.BIN.iterdir():
            if program.name.startswith("gpc") and program.is_file() and os.access(program, os.X_OK):
                shutil.copy(SUPPORT / "gpcsupd-tally" if program.name == "gpcsupd" else program, programs / program.name)
        replaced = mock.patch.object(harness, "BIN", programs)
        replaced.start()
        self.addCleanup(replaced.stop)

    def problems(self, config):
        place = self.make_directory()
        (place / "gpcsup.toml").write_text(config)
        said = subprocess.run([harness.BIN / "gpcsup", "check", place / "gpcsup.toml"], capture_output=True, text=True, timeout=30 * SLOW)
        self.assertEqual(1, said.returncode, said.stdout + said.stderr)
        return said.stdout + said.stderr

    def test_slips_in_files_are_explained(self):
        self.assertIn('did you mean tally.weight?', self.problems(CONFIG.replace("tally.weight", "tally.wieght")))
        self.assertIn("expected a number from 1 to 100", self.problems(CONFIG.replace("= 5", "= 101")))
        self.assertIn('did you mean "tally"?', self.problems(CONFIG.replace('"tally"', '"taly"')))

    def test_it_is_read_and_set(self):
        supervisor = self.supervise(UNITS, CONFIG)
        self.assertEqual({"tally.forks": 0, "tally.exits": 0, "tally.weight": 5},
                         {name: value for name, value in supervisor.json("get", "counts:/web")["attributes"].items() if "tally" in name})
        supervisor.gpcsup("start", "forks")
        supervisor.gpcsup("set", "counts:/web", "tally.weight=7")
        for value, reason in (("101", "expected a number from 1 to 100"), ("many", "many"), ("13", "tally fears 13")):
            refused = supervisor.gpcsup("set", "counts:/web", f"tally.weight={value}", check=False)
            self.assertNotEqual(0, refused.returncode)
            self.assertIn(reason, refused.stderr)
        self.assertEqual("7", supervisor.gpcsup("get", "counts:/web", "tally.weight").stdout.split()[-1])
        self.assertIn("tally.weight = 7", supervisor.gpcsup("snapshot").stdout)
        bus = subprocess.run(["busctl", f"--address=unix:path={supervisor.runtime}/control", "get-property", "org.gpcsup1",
                              "/org/gpcsup1/group/counts_3a_2fweb", "org.gpcsup1.Group", "tally.weight"],
                             capture_output=True, text=True, timeout=20 * SLOW)
        self.assertEqual('s "7"\n', bus.stdout, bus.stderr)
        supervisor.gpcsup("stop", "forks")
        figures = supervisor.json("get", "counts:/web")["attributes"]
        self.assertGreaterEqual(figures["tally.exits"], 1, "the service itself has ended in the group")

    def test_the_manual_has_it(self):
        place = self.make_directory()
        (place / "page.in").write_text(PAGE)
        subprocess.run(["cmake", f"-DPAGE={place / 'page.in'}", f"-DOUTPUT={place / 'page'}", f"-DSUPERVISOR={harness.BIN / 'gpcsupd'}",
                        f"-DCLIENT={harness.BIN / 'gpcsup'}", "-P", ROOT / "cmake/RenderManual.cmake"], check=True, timeout=60 * SLOW)
        text = (place / "page").read_text()
        for line in (".It Cm tally.weight", "How much one fork counts, 1 to 100", "(whole number, default 1)", ".It Cm tally.forks"):
            self.assertIn(line, text)


class OwnControllerAsOrdinaryUser(OwnController):
    user = ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
