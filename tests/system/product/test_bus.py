"""The control socket is open to everybody: what a client that means harm, or that has died halfway, can do."""

import os
import select
import subprocess
import unittest

import bus
import harness
from harness import Case, status_field

UNITS = {"sleeper": '[service]\ncommand = ["sleep", "1000"]\n'}


def memory_kib(pid):
    return int(status_field(pid, "VmRSS").split()[0])


class OpenSocket(Case):
    def setUp(self):
        self.supervisor = self.supervise(UNITS)
        for part in (self.supervisor.directory, self.supervisor.runtime):
            part.chmod(0o755)

    def client(self):
        client = bus.Client(self.supervisor.runtime, seconds=20 * harness.SLOW)
        self.addCleanup(client.close)
        return client.authenticate()

    def flood(self, method, signature="", body=None, calls=20000):
        """Calls and never reads. True when the supervisor has closed the connection."""
        client = self.client()
        for _ in range(calls):
            try:
                client.send(method, signature, body())
            except (BrokenPipeError, ConnectionResetError):
                return True
        return False

    def test_a_client_that_never_reads_is_dropped(self):
        pid = self.supervisor.supervisor_pid()
        before = memory_kib(pid)
        self.assertTrue(self.flood("Status", "ass", lambda: bus.Body().texts([]).text("settings")))
        self.assertTrue(self.flood("Hierarchies", "", lambda: None))
        if harness.SLOW == 1:  # the address sanitizer keeps what is freed, for a while
            self.assertLess(memory_kib(pid) - before, 16 * 1024, "KiB that the floods left behind")
        self.assertEqual("sleeper", self.supervisor.unit("sleeper")["name"])

    def test_one_that_reads_late_gets_all_its_answers(self):
        client = self.client()
        serials = [client.send("Hello") for _ in range(200)]
        self.assertEqual(serials, [client.receive()[1] for _ in serials])

    def test_objects_with_a_standard_tool(self):
        def busctl(*arguments):
            result = subprocess.run(["busctl", f"--address=unix:path={self.supervisor.runtime}/control", *arguments],
                                    capture_output=True, text=True, timeout=20 * harness.SLOW)
            self.assertEqual(0, result.returncode, result.stderr)
            return result.stdout

        self.supervisor.gpcsup("group", "create", "-p", "tenant:/acme/web")
        tree = busctl("--list", "tree", "org.gpcsup1").split()
        for path in ("/unit/sleeper", "/hierarchy/tenant", "/hierarchy/unit", "/group/tenant_3a_2facme_2fweb"):
            self.assertIn("/org/gpcsup1" + path, tree)
        properties = busctl("get-property", "org.gpcsup1", "/org/gpcsup1/hierarchy/tenant", "org.gpcsup1.Hierarchy",
                            "Name", "Controllers", "Groups")
        self.assertEqual(['s "tenant"', 's "numtasks"', 's "3"'], properties.splitlines())
        self.assertIn(".MainPid", busctl("introspect", "org.gpcsup1", "/org/gpcsup1/unit/sleeper", "org.gpcsup1.Unit"))
        self.assertEqual('s "max"\n', busctl("get-property", "org.gpcsup1", "/org/gpcsup1/group/tenant_3a_2facme",
                                             "org.gpcsup1.Group", "numtasks.limit"))

    def test_a_run_that_is_repeated_starts_once(self):
        """What gpcsup does when the connection breaks before the answer."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.addCleanup(os.close, null)
        for more in ("", ',"name":"once"'):
            with self.subTest(more=more):
                request = f'{{"token":{424242 + len(more)},"command":["sleep","4711"],"directory":"/"{more}}}'
                body = bus.Body().text(request).descriptors(3)
                first = self.client()
                second = self.client()
                one = first.call("Run", "sah", body, [null] * 3)
                other = second.call("Run", "sah", body, [null] * 3)
                self.assertEqual(one, other, "the same unit, the same job")
                unit = bus.text_at(one, 0)
                first.close()
                self.supervisor.gpcsup("kill", "-s", "CONT", unit)  # the second one owns it
                rows = self.supervisor.json("ps")["processes"]
                self.assertEqual([unit], [row["unit"] for row in rows if row["command"] == "sleep 4711"])
                pid = self.supervisor.unit(unit)["pid"]
                second.close()
                self.assertTrue(harness.wait_gone(pid, 20), "it ends with its last client")

    @harness.needs_root
    def test_a_stranger_does_not_lock_everybody_out(self):
        strangers = bus.connect_as(65534, self.supervisor.runtime, 70)
        for client in strangers:
            self.addCleanup(client.close)
        self.assertEqual(0, self.supervisor.gpcsup("status").returncode)
        poll = select.poll()
        for client in strangers:
            poll.register(client.socket, select.POLLIN)
        closed = {descriptor for descriptor, _ in poll.poll(0)}
        self.assertEqual(54, len(closed), "16 of one user's connections are kept")
        others = bus.connect_as(65533, self.supervisor.runtime, 1)
        self.addCleanup(others[0].close)
        self.assertTrue(others[0].authenticate().call("Hello"))


class OpenSocketOfAnOrdinaryUser(OpenSocket):
    user = harness.ORDINARY if os.getuid() == 0 else None

    def test_a_stranger_does_not_lock_everybody_out(self):
        self.skipTest("as above")


if __name__ == "__main__":
    unittest.main(verbosity=2)
