"""Starts that come to nothing leave nothing: no row of the table, no group, no word in the journal."""

import os
import struct
import tempfile
import unittest

import harness
import journal_file
from harness import Case, Events, ORDINARY, status_field

UNITS = {
    "lost": 'enabled = false\n[service]\ncommand = ["true"]\nuser = "nobody-of-that-name"\n[limits]\nnumtasks.limit = 5\n',
    "steady": 'enabled = false\n[service]\ncommand = ["sleep", "100000"]\nreload_command = ["true"]\n[place]\ncompute = "/batch"\n',
}
LIMITED = '[limits]\nnumtasks.limit = 5\n'


def rows_ever_used(supervisor):
    """EnforcementTable::domain_end (src/wire/enforcement_table.h), as gpc-init keeps the table."""
    with open(journal_file.kept(supervisor, "gpcsup-enforcement"), "rb") as table:
        return struct.unpack_from("<I", table.read(64), 32)[0]


class FailedStarts(Case):
    def test_a_filtered_start_that_fails_gives_its_row_back(self):
        supervisor = self.supervise(UNITS)
        supervisor.gpcsup("start", "lost", check=False)
        self.assertEqual("failed", supervisor.unit("lost")["state"])
        used = rows_ever_used(supervisor)
        for _ in range(20):
            self.assertNotEqual(0, supervisor.gpcsup("start", "lost", check=False).returncode)
        with tempfile.TemporaryDirectory() as directory:
            gone = os.path.join(directory, "gone")
            os.mkdir(gone)
            os.chmod(directory, 0o755)
            command = (f'cd {gone} && rmdir {gone} && i=0; while [ $i -lt 20 ]; do '
                       f'{harness.BIN}/gpcsup --runtime {supervisor.runtime} run -l numtasks.limit=5 -- true; '
                       'i=$((i+1)); done')
            harness.subprocess.run(["sh", "-c", command], env=supervisor.environ(), preexec_fn=supervisor.become,
                                   capture_output=True, timeout=60 * harness.SLOW, check=False)
        self.assertLessEqual(rows_ever_used(supervisor), used + 1)
        self.assertFalse("launch/lost" in journal_file.states(supervisor))

    def test_a_limit_that_is_refused_leaves_no_group(self):
        supervisor = self.supervise(UNITS)
        groups = self.groups(supervisor)
        for limit in ("cpuset.cpus=999", "numtasks.limit=no-number"):
            self.assertNotEqual(0, supervisor.gpcsup("run", "-l", limit, "--", "true", check=False).returncode)
        self.assertNotEqual(0, supervisor.gpcsup("run", "-l", "cpuset.cpus=0", "--", "/no/such/program",
                                                 check=False).returncode)
        self.assertEqual(groups, self.groups(supervisor))
        names = [body for key, body in journal_file.states(supervisor).items() if key.startswith("group/")]
        self.assertFalse([body for body in names if b'"run-' in body])

    def groups(self, supervisor):
        return {key: supervisor.gpcsup("tree", key).stdout for key in ("compute", "tenant")}


class Status(Case):
    def test_a_start_without_a_filter_forgets_the_one_before(self):
        supervisor = self.supervise(UNITS)
        supervisor.write_unit("steady", UNITS["steady"] + LIMITED)
        supervisor.gpcsup("apply")
        supervisor.gpcsup("start", "steady")
        self.assertEqual("enforced", supervisor.unit("steady")["enforcement"]["numtasks"])
        supervisor.write_unit("steady", UNITS["steady"])
        supervisor.gpcsup("apply")
        supervisor.gpcsup("restart", "steady")
        self.assertFalse("launch/steady" in journal_file.states(supervisor))
        pid = supervisor.unit("steady")["pid"]
        self.assertEqual("0", status_field(pid, "Seccomp"))
        events = Events(supervisor)
        self.addCleanup(events.close)
        supervisor.gpcsup("set", "tenant:/", "numtasks.limit=100")
        events.wait_for(lambda event: event["event"] in ("grafted", "graft-refused") and event["pid"] == pid)
        # It has got one since, if ptrace is permitted here.
        word = "enforced" if status_field(pid, "Seccomp") == "2" else "observed"
        self.assertIn(word, supervisor.unit("steady")["enforcement"]["numtasks"])
        journal_file.replace_with(supervisor, {})
        self.assertIn(word, supervisor.unit("steady")["enforcement"]["numtasks"])

    def test_a_reload_makes_nothing_enforced(self):
        """An ordinary user's process that has not promised no_new_privs cannot be given a filter while it runs."""
        supervisor = self.supervise(UNITS, user=ORDINARY if os.getuid() == 0 else None)
        events = Events(supervisor)
        self.addCleanup(events.close)
        supervisor.gpcsup("start", "steady")
        supervisor.gpcsup("set", "compute:/batch", "cpuset.cpus=0")
        events.wait_for(lambda event: event["event"] == "graft-refused")
        self.assertIn("observed", supervisor.unit("steady")["enforcement"]["cpuset"])
        supervisor.gpcsup("reload", "steady")
        self.assertIn("observed", supervisor.unit("steady")["enforcement"]["cpuset"])

    def test_a_reload_of_a_filtered_unit_makes_nothing_more_enforced(self):
        supervisor = self.supervise(UNITS | {"steady": UNITS["steady"] + LIMITED})
        supervisor.gpcsup("start", "steady")
        supervisor.gpcsup("set", "compute:/batch", "cpuset.cpus=0")
        supervisor.gpcsup("reload", "steady")
        enforcement = supervisor.unit("steady")["enforcement"]
        self.assertEqual("enforced", enforcement["numtasks"])
        self.assertIn("observed", enforcement["cpuset"])


class CutOff(Case):
    def test_a_process_that_cannot_be_recorded_is_ended_and_its_start_has_failed(self):
        """The predecessor was killed between the clone and its record, and the process table is full."""
        supervisor = self.supervise(UNITS)
        supervisor.gpcsup("start", "steady")
        pid = supervisor.unit("steady")["pid"]
        journal = journal_file.kept(supervisor, "gpcsup-journal").read_bytes()
        # What was written last with its own number in it: the intent to start, and not one that was given up for it.
        intent, launching = [(sequence, body) for _, sequence, _, key, body in journal_file.records(journal)
                             if key == "unit/steady" and struct.pack("<Q", sequence) in body][-1]

        def leave_behind():
            with open(journal_file.kept(supervisor, "gpcsup-start-slots"), "r+b") as slots:
                slots.seek(8 + 24 * 7)  # StartSlots, src/wire/start_slots.h
                slots.write(struct.pack("<QiIiI", intent, pid, 0, 0, 0))
            with open(journal_file.kept(supervisor, "gpcsup-processes"), "r+b") as table:
                row_size, _, used, _ = struct.unpack("<IIII", os.pread(table.fileno(), 16, 8))  # SharedTable
                start = os.fstat(table.fileno()).st_size - 65536 * row_size
                table.seek(start)
                rows = table.read(used * row_size)
                one = next(rows[at:at + row_size] for at in range(0, len(rows), row_size)
                           if struct.unpack_from("<i", rows, at)[0] == pid)
                table.seek(start + 2 * row_size)
                table.write(b"".join(struct.pack("<i", 5000000 + row) + one[4:] for row in range(2, 65536)))
                table.seek(16)
                table.write(struct.pack("<I", 65536))

        journal_file.replace_with(supervisor, {"unit/steady": launching}, leave_behind)
        self.assertTrue(harness.wait_gone(pid, 20), "it was ended")
        unit = supervisor.unit("steady")
        self.assertEqual("failed", unit["state"])
        self.assertIn("process table is full", unit["reason"])
        supervisor.gpcsup("start", "steady")
        self.assertEqual(set(supervisor.services()), {row["pid"] for row in supervisor.json("ps")["processes"]})

    def test_a_run_that_was_cut_off_before_its_start_is_forgotten(self):
        supervisor = self.supervise(UNITS)
        journal_file.replace_with(supervisor, {"transient/ghost": {"name": "ghost", "command": ["true"]},
                                               "owner/ghost": {"uid": os.getuid(), "attached": True}})
        self.assertNotEqual(0, supervisor.gpcsup("status", "ghost", check=False).returncode)
        self.assertFalse([key for key in journal_file.states(supervisor) if key.endswith("/ghost")])


class FailedStartsAsOrdinaryUser(FailedStarts):
    user = ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main()
