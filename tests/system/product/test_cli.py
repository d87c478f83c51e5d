"""What a user types and reads: every verb's good and bad cases, JSON and exit codes of INTERFACE."""

import errno
import json
import os
import subprocess
import unittest

import harness
from harness import Case, Events, needs_root, stat_of, wait_gone

UNITS = {
    "sleeper": '[service]\ncommand = ["sleep", "1000"]\n',
    "once": '[service]\ntype = "oneshot"\ncommand = ["true"]\n',
    "broken": 'enabled = false\n[service]\ntype = "oneshot"\ncommand = ["sh", "-c", "echo oh no; exit 3"]\nrestart = "no"\n',
    "missing": 'enabled = false\n[service]\ncommand = ["/does/not/exist"]\nrestart = "no"\n',
    "needs": 'enabled = false\n[service]\ncommand = ["sleep", "1000"]\n[depends]\nrequires = ["broken"]\n',
    "placed": '[service]\ncommand = ["sleep", "1000"]\n[place]\ncompute = "/batch"\ntenant = "/acme"\n[limits]\nnumtasks.limit = 16\n',
}


class Verbs(Case):
    def setUp(self):
        self.supervisor = self.supervise(UNITS)

    def code(self, *arguments):
        return self.supervisor.gpcsup(*arguments, check=False).returncode

    def test_boot_starts_what_is_enabled(self):
        self.supervisor.gpcsup("start", "sleeper", "once", "placed")
        states = {unit["name"]: unit["state"] for unit in self.supervisor.json("list")["units"]}
        self.assertEqual({"sleeper": "active", "once": "done", "broken": "inactive", "missing": "inactive",
                          "needs": "inactive", "placed": "active"},
                         {name: state for name, state in states.items() if name in UNITS})

    def test_start_and_stop_are_seen_in_proc(self):
        self.supervisor.gpcsup("start", "sleeper")
        pid = self.supervisor.unit("sleeper")["pid"]
        self.assertEqual(self.supervisor.init.pid, int(stat_of(pid)[1]), "a service is a child of gpc-init")
        self.supervisor.gpcsup("stop", "sleeper")
        self.assertIsNone(stat_of(pid))
        self.assertIsNone(self.supervisor.unit("sleeper")["pid"])
        self.assertEqual(3, self.code("is-active", "sleeper"))
        self.supervisor.gpcsup("restart", "sleeper")
        self.assertNotEqual(pid, self.supervisor.unit("sleeper")["pid"])
        self.assertEqual(0, self.code("is-active", "sleeper"))

    def test_failures_say_why(self):
        result = self.supervisor.gpcsup("start", "broken", check=False)
        self.assertEqual(1, result.returncode)
        self.assertIn("exit 3", result.stdout + result.stderr)
        self.assertIn("oh no", result.stdout + result.stderr)
        result = self.supervisor.gpcsup("start", "missing", check=False)
        self.assertEqual(1, result.returncode)
        self.assertIn("No such file", result.stdout + result.stderr)
        result = self.supervisor.gpcsup("start", "needs", check=False)
        self.assertEqual(1, result.returncode)
        self.assertIn("dependency", self.supervisor.unit("needs")["reason"])
        self.assertIn("broken", self.supervisor.gpcsup("why", "needs").stdout)

    def test_exit_codes(self):
        self.assertEqual(4, self.code("start", "nosuch"))
        self.assertEqual(4, self.code("status", "nosuch"))
        self.assertEqual(4, self.code("get", "nosuch:/x"))
        self.assertEqual(64, self.code("frobnicate"))
        self.assertEqual(64, self.code("start"))
        elsewhere = subprocess.run([harness.BIN / "gpcsup", "--runtime", "/nonexistent", "status"], capture_output=True)
        self.assertEqual(69, elsewhere.returncode)
        result = self.supervisor.gpcsup("start", "sleper", check=False)
        self.assertIn("sleeper", result.stderr, "did you mean")

    def test_json_shapes(self):
        status = self.supervisor.json("status")
        self.assertEqual(1, status["schema"])
        for key in ("pid", "init_pid", "version", "state", "tracking"):
            self.assertIn(key, status["supervisor"])
        self.assertEqual(self.supervisor.init.pid, status["supervisor"]["init_pid"])
        unit = self.supervisor.unit("placed")
        self.assertEqual({"compute": "/batch", "tenant": "/acme/placed", "unit": "/placed"}, unit["place"])
        for key in ("name", "state", "reason", "pid", "restarts", "place", "enforcement"):
            self.assertIn(key, unit)
        self.assertIsNone(self.supervisor.unit("broken")["pid"])
        row = next(row for row in self.supervisor.json("ps")["processes"] if row["pid"] == unit["pid"])
        self.assertEqual({"pid", "ppid", "command", "unit", "place"}, set(row) & {"pid", "ppid", "command", "unit", "place"})
        self.assertEqual("sleep 1000", row["command"])

    def test_exit_codes_are_the_same_with_json(self):
        for verb in ("is-active", "status"):
            for unit, expected in (("sleeper", 0), ("broken", 3)):
                with self.subTest(verb=verb, unit=unit):
                    self.supervisor.gpcsup("start", "sleeper")
                    result = self.supervisor.gpcsup(verb, "--json", unit, check=False)
                    self.assertEqual((expected, expected), (result.returncode, self.code(verb, unit)))
                    self.assertEqual(unit, json.loads(result.stdout)["units"][0]["name"])

    def test_no_limit_of_starts_is_null(self):
        supervisor = self.supervise({"flaky": '[service]\ncommand = ["false"]\nstart_limit = "max"\nrestart_delay = "1h"\n'
                                              'restart_delay_max = "1h"\n'})
        supervisor.gpcsup("start", "flaky", check=False)
        self.assertEqual(("backoff", None), (lambda unit: (unit["state"], unit["tries_left"]))(supervisor.unit("flaky")))
        screen = supervisor.gpcsup("status").stdout
        self.assertIn("next try", screen)
        self.assertNotIn("tries left", screen)

    def test_groups_and_attributes(self):
        run = self.supervisor.gpcsup
        run("group", "create", "-p", "compute:/a/b/c")
        self.assertIn("compute:/a/b/c", run("group", "list").stdout)
        self.assertEqual(1, self.code("group", "remove", "compute:/a"))
        self.assertEqual(64, self.code("set", "compute:/a", "cpuset.cpus=9-1"))
        run("set", "compute:/a", "cpuset.cpus=0")
        self.assertEqual("0", self.supervisor.json("get", "compute:/a", "cpuset.cpus")["attributes"]["cpuset.cpus"])
        self.assertEqual("0", self.supervisor.json("get", "cpuset:/a/b")["attributes"]["cpuset.effective_cpus"])
        run("set", "tenant:/acme", "numtasks.limit=9")
        self.assertEqual(9, self.supervisor.json("get", "tenant:/acme")["attributes"]["numtasks.limit"])
        run("set", "tenant:/acme", "numtasks.limit=max")
        self.assertIsNone(self.supervisor.json("get", "tenant:/acme")["attributes"]["numtasks.limit"])
        result = run("set", "tenant:/acme", "numtasks.limt=9", check=False)
        self.assertIn("numtasks.limit", result.stderr)
        for group in ("compute:/a/b/c", "compute:/a/b", "compute:/a"):
            run("group", "remove", group)
        busy = run("group", "remove", "tenant:/acme", check=False)
        self.assertEqual(1, busy.returncode)
        self.assertIn("placed", busy.stderr)

    def test_run(self):
        run = lambda *arguments, **options: self.supervisor.gpcsup("run", *arguments, check=False, **options)
        self.assertEqual(("hello\n", 0), (lambda r: (r.stdout, r.returncode))(run("--", "echo", "hello")))
        self.assertEqual(7, run("--", "sh", "-c", "exit 7").returncode)
        self.assertEqual(128 + 9, run("--", "sh", "-c", "kill -9 $$").returncode)
        self.assertEqual(127, run("--", "no-such-command-at-all").returncode)
        self.assertEqual(126, run("--", "/etc/passwd").returncode)
        self.assertEqual("in\n", run("--", "cat", stdin=None, input="in\n").stdout)
        where = run("-g", "compute:/batch", "--", "sh", "-c", "pwd; echo $FOO", cwd="/usr")
        self.assertEqual("/usr", where.stdout.splitlines()[0])
        limited = run("-g", "tenant:/acme", "-l", "numtasks.limit=1", "--", "/usr/bin/python3", "-c",
                      "import os\ntry:\n os.fork()\nexcept OSError as error:\n print(error.errno)\nelse:\n print('forked')")
        self.assertEqual((f"{errno.EAGAIN}\n", 0), (limited.stdout, limited.returncode), "a fork beyond the limit is refused")

    def test_run_tells_its_own_failures_from_the_commands(self):
        for arguments in (["-g", "nope:/x", "--", "true"], ["-g", "tenant:/nope", "--", "true"], ["-l", "numtaks.limit=4", "--", "true"],
                          ["-l", "numtasks.limit=abc", "--", "true"], ["-l", "foo", "--", "true"], ["-x", "--", "true"], [], ["--name"]):
            for detach in ([], ["--detach"]):
                with self.subTest(arguments=arguments, detach=detach):
                    result = self.supervisor.gpcsup("run", *detach, *arguments, check=False)
                    self.assertEqual((125, ""), (result.returncode, result.stdout), result.stderr)
        self.assertEqual(127, self.supervisor.gpcsup("run", "--", "no-such-command-at-all", check=False).returncode)
        self.assertEqual(126, self.supervisor.gpcsup("run", "--", "/etc/passwd", check=False).returncode)
        self.assertEqual(64, self.code("start", "-x"))

    def test_run_in_a_group_that_is_missing_says_what_to_type(self):
        missing = "there is no group tenant:/nope; `gpcsup group create -p tenant:/nope/below` makes it"
        result = self.supervisor.gpcsup("run", "-g", "tenant:/nope/below", "--", "true", check=False)
        self.assertEqual((125, "", f"gpcsup: {missing}\n"), (result.returncode, result.stdout, result.stderr))
        near = self.supervisor.gpcsup("run", "-g", "tenant:/acmee", "--", "true", check=False)
        self.assertIn("did you mean", near.stderr)
        self.supervisor.write_unit("lost", 'enabled = false\n[service]\ncommand = ["true"]\n[place]\ntenant = "/nope/below"\n')
        self.supervisor.gpcsup("apply")
        self.assertIn(f"place: {missing}", self.supervisor.gpcsup("start", "lost", check=False).stderr)
        self.supervisor.gpcsup("group", "create", "-p", "tenant:/nope/below")
        self.assertEqual(0, self.supervisor.gpcsup("run", "-g", "tenant:/nope/below", "--", "true").returncode)

    def test_run_is_ended_with_its_client(self):
        client = self.supervisor.popen("run", "--", "sleep", "1000", stdin=subprocess.DEVNULL)
        events = Events(self.supervisor, since=0)
        self.addCleanup(events.close)
        started = events.wait_for(lambda event: event["event"] == "unit-active" and event.get("unit", "").startswith("run-"))
        client.kill()
        client.wait()
        self.assertTrue(wait_gone(started["pid"], 20))

    def test_kill_and_events(self):
        self.supervisor.gpcsup("start", "sleeper")
        events = Events(self.supervisor, since=0)
        self.addCleanup(events.close)
        pid = self.supervisor.unit("sleeper")["pid"]
        self.supervisor.gpcsup("kill", "-s", "KILL", "sleeper")
        self.assertTrue(wait_gone(pid, 10))
        exited = events.wait_for(lambda event: event["event"] == "unit-exited" and event.get("unit") == "sleeper")
        for key in ("seq", "time", "monotonic_ns"):
            self.assertIn(key, exited)
        self.assertEqual("KILL", exited["signal"])

    def test_log(self):
        self.supervisor.gpcsup("start", "broken", check=False)
        self.assertIn("oh no", self.supervisor.gpcsup("log", "broken").stdout)
        self.assertEqual(b"oh no\n", self.supervisor.log("broken"))

    def test_check(self):
        good = self.supervisor.directory / "units" / "sleeper.toml"
        self.assertEqual(0, self.code("check", good))
        bad = self.supervisor.directory / "bad.toml"
        bad.write_text('[service]\ncomand = ["x"]\n[limits]\nnumtasks.limt = 4\n')
        result = self.supervisor.gpcsup("check", "--json", bad, check=False)
        self.assertEqual(1, result.returncode)
        problems = json.loads(result.stdout)["problems"]
        self.assertEqual({2, 4}, {problem["line"] for problem in problems if problem["line"]} & {2, 4})
        self.assertTrue(any("command" in problem["message"] for problem in problems))

    def test_exit_verb(self):
        self.assertNotEqual(0, self.code("poweroff"), "poweroff makes no sense here")
        self.supervisor.gpcsup("exit")
        self.assertEqual(0, self.supervisor.init.wait(20))


class VerbsAsOrdinaryUser(Verbs):
    user = harness.ORDINARY if os.getuid() == 0 else None

    def as_stranger(self, supervisor):
        """gpcsup as a user who is neither root nor the supervisor's own."""
        everyone = harness.pwd.getpwnam("daemon")
        supervisor.runtime.chmod(0o755)
        def ask(*arguments):
            def become():
                os.setgroups([]); os.setgid(everyone.pw_gid); os.setuid(everyone.pw_uid)
            return subprocess.run([harness.BIN / "gpcsup", "--runtime", supervisor.runtime, *arguments],
                                  capture_output=True, text=True, preexec_fn=become)
        return ask

    @needs_root
    def test_others_may_read_but_not_change(self):
        ask = self.as_stranger(self.supervisor)
        self.assertEqual(0, ask("status", "--json").returncode)
        self.assertEqual(5, ask("stop", "sleeper").returncode)
        rows = json.loads(ask("ps", "--json").stdout)["processes"]
        self.assertFalse(any("1000" in row["command"] for row in rows), "arguments are hidden from others")

    @needs_root
    def test_secrets_of_units_are_hidden_from_others(self):
        secrets = ('command = ["sh", "-c", "sleep 1000; : hush-1"]\nreload_command = ["true", "hush-2"]\n'
                   'stop_command = ["true", "hush-3"]\nenvironment = { PASSWORD = "hush-4" }\nrestart_delay = "7s"\n')
        supervisor = self.supervise({
            "secret": "[service]\n" + secrets,
            "theirs": '[service]\nuser = "daemon"\n' + secrets + "[depends]\nrequires = [\"slip\"]\n",
            "slip": '[service]\ncommand = "mysql -phush-5 | tee /tmp/x"\n',
            "digits": '[service]\ncommand = ["true"]\nenvironment = { PIN = 567890123456789 }\n'})
        ask = self.as_stranger(supervisor)
        supervisor.gpcsup("start", "secret")
        supervisor.gpcsup("start", "theirs", "slip", check=False)
        views = [("status", "-v", "secret"), ("status", "-v", "--json", "secret", "slip", "digits"), ("list", "--json"), ("status", "--json"),
                 ("events", "--json"), ("why", "--json", "secret"), ("why", "slip"), ("ps",), ("tree", "--json"),
                 ("snapshot",), ("why", "--json", "unit:/secret")]
        for view in views:
            with self.subTest(view=view):
                result = ask(*view)
                self.assertIn(result.returncode, (0, 3), result.stderr)
                self.assertNotIn("hush", result.stdout + result.stderr)
                self.assertNotIn("567890123456789", result.stdout + result.stderr)
        self.assertIn("7s", ask("status", "-v", "secret").stdout, "what is no secret is shown")
        self.assertIn("hush-4", ask("status", "-v", "theirs").stdout, "the unit's user sees his own")
        self.assertIn("hush-4", supervisor.gpcsup("status", "-v", "secret").stdout)


class Reloading(Case):
    """What a job says that did not do what was asked for."""

    def reloadable(self, command, timeout="30s"):
        return (f'[service]\ncommand = ["sleep", "1000"]\nreload_command = {json.dumps(command)}\n'
                f'start_timeout = "{timeout}"\n')

    def setUp(self):
        self.supervisor = self.supervise({
            "bad": self.reloadable(["false"]),
            "slow": self.reloadable(["sleep", "1000"], timeout="3s"),
            "good": self.reloadable(["true"]),
            "idle": "enabled = false\n" + self.reloadable(["true"])})
        self.supervisor.gpcsup("start", "bad", "slow", "good")

    def reload(self, *units):
        return self.supervisor.gpcsup("reload", *units, check=False)

    def test_a_reload_that_fails_is_told(self):
        result = self.reload("bad", "good")
        self.assertEqual(1, result.returncode)
        self.assertIn("bad is active: reload: the reload_command ended with exit 1", result.stderr)
        self.assertNotIn("good", result.stderr)
        self.assertIn("ended with exit 1", self.supervisor.gpcsup("status", "bad").stdout)
        self.assertIn("ended with exit 1", self.supervisor.gpcsup("status").stdout)
        self.assertEqual(0, self.supervisor.gpcsup("start", "bad").returncode, "it is active all the same")

    def test_a_reload_that_takes_too_long_is_told(self):
        result = self.reload("slow")
        self.assertEqual(1, result.returncode)
        self.assertIn("it has not reloaded in 3s", result.stderr)

    def test_what_is_not_active_is_not_reloaded(self):
        result = self.reload("idle")
        self.assertEqual(3, result.returncode)
        self.assertEqual('gpcsup: idle: "idle" is inactive: only what is active reloads\n', result.stderr)
        self.assertEqual(1, self.reload("idle", "bad").returncode)


if __name__ == "__main__":
    unittest.main(verbosity=2)
