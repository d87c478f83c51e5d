"""Restarts of real processes: the times at which they say that they ran, the pauses between, and the end of the tries."""

import os
import unittest

import harness
from harness import Case, Events, MISBEHAVE

SECOND = 1_000_000_000
PAUSES = [1, 2, 3]  # seconds: twice as long each time, never more than restart_delay_max


class Restarts(Case):
    def prepare(self, **settings):
        """A unit `name` for each of SETTINGS, (misbehave's arguments, more of [service]); its times are in files of their own."""
        self.place = place = self.make_directory(0o777)
        units = {}
        for name, (arguments, more) in settings.items():
            command = [str(MISBEHAVE), "--name", name, "--tell", str(place / name), *arguments]
            units[name] = f"enabled = false\n[service]\ncommand = {harness.json.dumps(command)}\n{more}"
        self.supervisor = self.supervise(units)
        self.events = Events(self.supervisor, since=0)
        self.addCleanup(self.events.close)

    def times(self, name):
        """When each process of the unit started, by its own clock (CLOCK_MONOTONIC, ns)."""
        lines = [line.split() for line in (self.place / name).read_text().splitlines()]
        self.assertEqual({name}, {line[0] for line in lines})
        return [int(line[2]) for line in lines if line[1] == "started"]

    def ended(self, name, state, seconds=60):
        self.events.wait_for(lambda event: event["event"] == f"unit-{state}" and event["unit"] == name, seconds)

    def run_out(self, **settings):
        self.prepare(**settings)
        name, = settings
        self.supervisor.gpcsup("start", name, check=False)  # it may have ended before it could be told that it runs
        self.ended(name, "failed")

    def test_pauses_double_until_the_start_limit(self):
        self.prepare(flaky=(["--exit-after", "0ms", "--exit-code", "1"],
                            'restart_delay = "1s"\nrestart_delay_max = "3s"\nstart_limit = "4/5m"\n'))
        self.supervisor.gpcsup("start", "flaky", check=False)
        announced = {}
        for number, pause in enumerate(PAUSES):
            self.ended("flaky", "backoff")
            unit = self.supervisor.unit("flaky")
            if (unit["state"], unit["restarts"]) == ("backoff", number):  # a busy machine may be too late to ask
                announced[pause] = unit["next_restart_ns"] - unit["since_ns"]
                self.assertEqual((3 - number, "exit 1"), (unit["tries_left"], unit["reason"]))
        self.ended("flaky", "failed")
        self.assertIn(PAUSES[-1], announced, "three seconds are enough to ask")
        for pause, said in announced.items():
            self.assertAlmostEqual(pause * SECOND, said, delta=SECOND // 1000)
        times = self.times("flaky")
        self.assertEqual(4, len(times))
        for pause, before, after in zip(PAUSES, times, times[1:]):
            self.assertGreaterEqual(after - before, pause * SECOND)

    def test_at_the_start_limit_it_has_failed_and_status_says_why(self):
        self.run_out(flaky=(["--exit-after", "0ms", "--exit-code", "7"], 'restart_delay = "10ms"\nstart_limit = "3/5m"\n'))
        unit = self.supervisor.unit("flaky")
        self.assertEqual(("failed", None, 2, 7, 0, None),
                         tuple(unit[key] for key in ("state", "pid", "restarts", "exit_code", "tries_left", "next_restart_ns")))
        why = "start-limit: 3 starts in 5m; the last ended with exit 7"
        self.assertEqual(why, unit["reason"])
        said = self.supervisor.gpcsup("status", "flaky", check=False)
        self.assertEqual(3, said.returncode)
        self.assertIn(why, said.stdout)
        self.assertIn(why, self.supervisor.gpcsup("status").stdout)
        self.assertEqual(3, len(self.times("flaky")))
        self.assertEqual([], self.supervisor.services())
        self.supervisor.gpcsup("start", "flaky", check=False)  # who asks by name gives it all its tries again
        self.ended("flaky", "failed")
        self.assertEqual(6, len(self.times("flaky")))

    def test_the_default_is_five_starts_in_ten_seconds_from_100_ms_on(self):
        self.prepare(plain=(["--exit-after", "0ms", "--exit-code", "1"], ""))
        settings = self.supervisor.gpcsup("status", "-v", "plain", check=False).stdout
        for setting, value in (("restart_delay", "100ms"), ("restart_delay_max", "30s"), ("start_limit", "5/10s"),
                               ("restart", "on-failure"), ("restart_reset", "1m")):
            self.assertRegex(settings, rf"service\.{setting} += {value} \(default\)")
        self.supervisor.gpcsup("start", "plain", check=False)
        self.ended("plain", "backoff")
        self.ended("plain", "backoff")
        first, second = self.times("plain")[:2]
        self.assertGreaterEqual(second - first, SECOND // 10)

    def test_on_failure_lets_a_clean_end_be_one(self):
        self.prepare(clean=(["--exit-after", "0ms"], 'restart = "on-failure"\nrestart_delay = "1ms"\n'),
                     signalled=(["--exit-after", "0ms", "--crash"], 'restart = "on-failure"\nrestart_delay = "1ms"\n'
                                'start_limit = "2/5m"\n'))
        self.supervisor.gpcsup("start", "clean", "signalled", check=False)
        self.ended("signalled", "failed")  # time enough for the other one to have been started again
        self.assertIn("signal SEGV", self.supervisor.unit("signalled")["reason"])
        self.assertEqual(2, len(self.times("signalled")))
        unit = self.supervisor.unit("clean")
        self.assertEqual(("inactive", "exit 0", 0, None),
                         tuple(unit[key] for key in ("state", "reason", "restarts", "next_restart_ns")))
        self.assertEqual(1, len(self.times("clean")))

    def test_no_never_restarts(self):
        settings = 'restart = "no"\nrestart_delay = "1ms"\n'
        self.prepare(failing=(["--exit-after", "0ms", "--exit-code", "1"], settings),
                     crashing=(["--exit-after", "0ms", "--crash"], settings),
                     clean=(["--exit-after", "0ms"], settings),
                     witness=(["--exit-after", "0ms", "--exit-code", "1"], 'restart_delay = "50ms"\nstart_limit = "3/5m"\n'))
        self.supervisor.gpcsup("start", "failing", "crashing", "clean", check=False)
        self.supervisor.gpcsup("start", "witness", check=False)
        self.ended("witness", "failed")
        for name, state, reason in (("failing", "failed", "exit 1"), ("crashing", "failed", "signal SEGV"),
                                    ("clean", "inactive", "exit 0")):
            with self.subTest(name):
                unit = self.supervisor.unit(name)
                self.assertEqual((state, 0, None), (unit["state"], unit["restarts"], unit["next_restart_ns"]))
                self.assertIn(reason, unit["reason"])
                self.assertEqual(1, len(self.times(name)))

    def test_always_restarts_after_exit_0_too(self):
        self.run_out(eager=(["--exit-after", "0ms"], 'restart = "always"\nrestart_delay = "1ms"\nstart_limit = "3/5m"\n'))
        self.assertEqual(3, len(self.times("eager")))
        self.assertIn("the last ended with exit 0", self.supervisor.unit("eager")["reason"])


class RestartsAsOrdinaryUser(Restarts):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
