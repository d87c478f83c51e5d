"""Groups that become populated and empty: events, `wait`, and the release agent."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

import harness
import journal_file
from harness import Case, Events, ORDINARY, SLOW, needs_root, wait_gone

AGENT = """#!/bin/sh
# Writes one line a call, whole, and what it was given.
{ printf '%s|%s|%s|' "$0" "$#" "$1"; id -u | tr '\\n' '|'; tr '\\0' ' ' </proc/$$/environ; echo; } >"$(dirname "$0")/call.$$"
mv "$(dirname "$0")/call.$$" "$(dirname "$0")/calls/$$.$(cut -d' ' -f22 /proc/$$/stat)"
"""


def sleeper(place):
    return f'enabled = false\n[service]\ncommand = ["sleep", "100000"]\n[place]\n{place}'


def kill_unseen(supervisor_pid, pid):
    """The process ends while gpcsupd is stopped, and gpcsupd ends without having seen it."""
    os.kill(supervisor_pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # gpc-init may have noticed that it hangs
        os.kill(supervisor_pid, signal.SIGKILL)


UNITS = {
    "one": sleeper('tenant = "/acme/web"\n'),
    "two": sleeper('tenant = "/acme/db"\n'),
}


class Groups(Case):
    user = None

    def begin(self, agent=True, groups="", units=UNITS):
        self.directory = pathlib.Path(harness.tempfile.mkdtemp(prefix="gpcsup-agent-"))
        self.addCleanup(harness.shutil.rmtree, self.directory, ignore_errors=True)
        (self.directory / "calls").mkdir()
        self.agent = self.directory / "agent"
        self.agent.write_text(AGENT)
        self.agent.chmod(0o755)
        for path in (self.directory, self.directory / "calls"):
            path.chmod(0o777)
        config = "[hierarchy.tenant]\ncontrollers = [\"numtasks\"]\n"
        config += f'release_agent = "{self.agent}"\n' if agent else ""
        for group in ("/acme", "/acme/web", "/acme/db"):
            config += f'[hierarchy.tenant.group."{group}"]\n'
        supervisor = self.supervise(units, config + groups)
        events = Events(supervisor)
        self.addCleanup(events.close)
        return supervisor, events

    def calls(self):
        """What each call of the agent saw: the group, its uid, its environment."""
        found = []
        for file in (self.directory / "calls").iterdir():
            name, count, group, uid, environment = file.read_text().rstrip("\n").split("|")
            self.assertEqual((str(self.agent), "1"), (name, count))
            found.append((group, int(uid), dict(one.split("=", 1) for one in environment.split())))
        return found

    def wait_for_agent(self, events, group):
        """The agent for the group has been started and has ended."""
        told = events.wait_for(lambda event: event["event"] == "release-agent" and event["group"] == group)
        events.wait_for(lambda event: event["event"] == "unit-exited" and event["unit"] == told["unit"])
        return told


class Populated(Groups):
    def test_events_on_the_whole_chain(self):
        supervisor, events = self.begin(agent=False)
        supervisor.gpcsup("start", "one")
        told = {events.wait_for(lambda event: event["event"] == "group-populated" and event["group"] == group)["group"]
                for group in ("tenant:/acme/web", )}
        supervisor.gpcsup("start", "two")
        supervisor.gpcsup("stop", "one")
        supervisor.gpcsup("stop", "two")
        events.wait_for(lambda event: event["event"] == "group-empty" and event["group"] == "tenant:/acme")
        del told
        lines = supervisor.gpcsup("events", "--json", "--group", "tenant:/acme", "--event", "group-populated",
                                  "--event", "group-empty").stdout.splitlines()
        seen = [(event["event"], event["group"]) for event in map(json.loads, lines)]
        count = {one: seen.count(one) for one in seen}
        self.assertEqual({("group-populated", "tenant:/acme/web"): 1, ("group-populated", "tenant:/acme"): 1,
                          ("group-populated", "tenant:/acme/db"): 1, ("group-empty", "tenant:/acme/web"): 1,
                          ("group-empty", "tenant:/acme/db"): 1, ("group-empty", "tenant:/acme"): 1}, count)
        self.assertLess(seen.index(("group-empty", "tenant:/acme/web")), seen.index(("group-empty", "tenant:/acme")))
        self.assertFalse(any("unit:/" in line for line in supervisor.gpcsup(
            "events", "--json", "--event", "group-empty", "--event", "group-populated").stdout.splitlines()))
        about_one = [json.loads(line) for line in supervisor.gpcsup("events", "--json", "--unit", "one").stdout.splitlines()]
        self.assertEqual({"one"}, {event["unit"] for event in about_one})
        self.assertIn("unit-active", {event["event"] for event in about_one})

    def test_filters_know_a_slip(self):
        supervisor, _ = self.begin(agent=False)
        slip = supervisor.gpcsup("events", "--event", "group-emtpy", check=False)
        self.assertEqual(64, slip.returncode)
        self.assertIn("group-empty", slip.stderr)
        self.assertEqual(64, supervisor.gpcsup("events", "--group", "acme", check=False).returncode)

    def test_nothing_is_lost_over_a_kill(self):
        supervisor, events = self.begin(agent=False)
        supervisor.gpcsup("start", "one")
        events.wait_for(lambda event: event["event"] == "group-populated" and event["group"] == "tenant:/acme/web")
        pid = supervisor.unit("one")["pid"]
        supervisor_pid = supervisor.helper("gpcsupd")
        kill_unseen(supervisor_pid, pid)
        events.wait_for(lambda event: event["event"] == "group-empty" and event["group"] == "tenant:/acme/web")

    def test_wait(self):
        supervisor, events = self.begin(agent=False)
        self.assertEqual(4, supervisor.gpcsup("wait", "tenant:/nowhere", check=False).returncode)
        supervisor.gpcsup("wait", "tenant:/acme", "--empty", "--timeout", "10s")
        supervisor.gpcsup("wait", "one", "--empty", "--timeout", "10s")
        supervisor.gpcsup("start", "one")
        late = supervisor.gpcsup("wait", "tenant:/acme", "--timeout", "100ms", check=False)
        self.assertEqual(2, late.returncode)
        self.assertIn("has 1 process", late.stderr)
        waiting = [supervisor.popen("wait", what, "--empty", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for what in ("tenant:/acme", "one", "unit:/one")]
        supervisor_pid = supervisor.helper("gpcsupd")
        os.kill(supervisor_pid, signal.SIGKILL)
        self.assertTrue(wait_gone(supervisor_pid, 10))
        supervisor.gpcsup("stop", "one")
        for process in waiting:
            self.assertEqual(0, process.wait(30 * SLOW), process.stderr.read())

    def test_a_removed_group_is_empty(self):
        supervisor, _ = self.begin(agent=False)
        supervisor.gpcsup("group", "create", "tenant:/acme/short")
        waiting = supervisor.popen("wait", "tenant:/acme/short", "--populated", stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        supervisor.gpcsup("group", "remove", "tenant:/acme/short")
        self.assertEqual(4, waiting.wait(30 * SLOW), waiting.stderr.read())


class PopulatedAsOrdinaryUser(Populated):
    user = ORDINARY if os.getuid() == 0 else None


class Release(Groups):
    def test_the_agent_is_told_once_of_each_emptying(self):
        supervisor, events = self.begin()
        supervisor.gpcsup("set", "tenant:/acme/web", "group.notify_on_release=true")
        for _ in range(2):
            supervisor.gpcsup("start", "one")
            supervisor.gpcsup("stop", "one")
            self.wait_for_agent(events, "tenant:/acme/web")
        calls = self.calls()
        owner = supervisor.user.pw_uid if supervisor.user else os.getuid()
        self.assertEqual([("/acme/web", owner)] * 2, [call[:2] for call in calls])
        for _, _, environment in calls:
            self.assertEqual("/", environment["HOME"])
            self.assertEqual("/sbin:/bin:/usr/sbin:/usr/bin", environment["PATH"])
            self.assertEqual(str(supervisor.runtime), environment["GPCSUP_RUNTIME"])
            self.assertLessEqual(set(environment), {"HOME", "PATH", "PWD", "GPCSUP_RUNTIME", "GPCSUP_ID", "RUNTIME_DIRECTORY"})

    def test_without_the_wish_nobody_is_told(self):
        supervisor, events = self.begin()
        supervisor.gpcsup("start", "one")
        supervisor.gpcsup("stop", "one")
        supervisor.gpcsup("wait", "tenant:/acme", "--timeout", "10s")
        supervisor.gpcsup("set", "tenant:/acme/db", "group.notify_on_release=true")
        supervisor.gpcsup("start", "two")
        supervisor.gpcsup("stop", "two")
        self.wait_for_agent(events, "tenant:/acme/db")
        self.assertEqual({"/acme/db"}, {call[0] for call in self.calls()})

    def test_the_last_child_goes(self):
        supervisor, events = self.begin()
        supervisor.gpcsup("group", "create", "-p", "tenant:/top/below")
        supervisor.gpcsup("set", "tenant:/top", "group.notify_on_release=true")
        supervisor.gpcsup("group", "remove", "tenant:/top/below")
        self.wait_for_agent(events, "tenant:/top")

    def test_set_at_run_time(self):
        supervisor, events = self.begin(agent=False)
        supervisor.gpcsup("set", "tenant:/acme/web", "group.notify_on_release=true")
        slip = supervisor.gpcsup("set", "tenant:/", "group.release_agent=agent", check=False)
        self.assertEqual(64, slip.returncode)
        self.assertIn("absolute path", slip.stderr)
        self.assertNotEqual(0, supervisor.gpcsup("set", "tenant:/acme", f"group.release_agent={self.agent}", check=False).returncode)
        self.assertNotEqual(0, supervisor.gpcsup("set", "unit:/", f"group.release_agent={self.agent}", check=False).returncode)
        supervisor.gpcsup("set", "tenant:/", f"group.release_agent={self.agent}")
        supervisor.gpcsup("start", "one")
        supervisor.gpcsup("stop", "one")
        self.wait_for_agent(events, "tenant:/acme/web")

    def test_supervisor_killed(self):
        supervisor, events = self.begin()
        supervisor.gpcsup("set", "tenant:/acme/web", "group.notify_on_release=true")
        supervisor.gpcsup("start", "one")
        events.wait_for(lambda event: event["event"] == "group-populated" and event["group"] == "tenant:/acme/web")
        pid = supervisor.unit("one")["pid"]
        supervisor_pid = supervisor.helper("gpcsupd")
        kill_unseen(supervisor_pid, pid)
        self.wait_for_agent(events, "tenant:/acme/web")
        self.assertEqual(["/acme/web"], [call[0] for call in self.calls()])

    def test_the_agents_start_was_cut_off(self):
        """Who runs for the group stood in the journal already, the start did not."""
        supervisor, events = self.begin(agent=False)
        supervisor.gpcsup("set", "tenant:/acme/web", "group.notify_on_release=true")
        supervisor.gpcsup("set", "tenant:/", f"group.release_agent={self.agent}")
        number = next(key[6:] for key, body in journal_file.states(supervisor).items()
                      if key.startswith("group/") and json.loads(body)["group"] == "tenant:/acme/web")
        unit = "release-tenant-1"
        journal_file.replace_with(supervisor, {
            f"release/{number}": {"group": "tenant:/acme/web", "unit": unit},
            f"agent/{unit}": {"id": int(number), "group": "tenant:/acme/web"},
            f"transient/{unit}": {"name": unit, "command": [str(self.agent), "/acme/web"], "detach": True}})
        self.wait_for_agent(events, "tenant:/acme/web")

        def nothing_stays():
            supervisor.gpcsup("list")  # answered when what the last event was about is through
            return not [key for key in journal_file.states(supervisor) if key.startswith(("release/", "agent/", "transient/"))]

        self.eventually(nothing_stays, 20, events, "nothing of it stays")

    def test_a_storm_is_spread(self):
        supervisor, events = self.begin()
        groups = [f"tenant:/g{number}" for number in range(24)]
        supervisor.gpcsup("group", "create", *groups)
        for group in groups:
            supervisor.gpcsup("set", group, "group.notify_on_release=true")
        pids = []
        for group in groups:
            run = supervisor.gpcsup("run", "--detach", "-g", group, "--", "sleep", "100000")
            pids.append(supervisor.unit(run.stdout.strip())["pid"])
        started = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        told = []
        deferred = set()
        while len(told) < len(groups):
            event = events.wait_for(lambda one: one["event"] in ("release-agent", "release-deferred"), 60)
            if event["event"] == "release-agent":
                told.append((event["monotonic_ns"], event["group"], event["unit"]))
            else:
                deferred.add(event["group"])
        self.assertEqual(sorted(groups), sorted(group for _, group, _ in told))
        self.assertTrue(deferred)
        self.assertGreaterEqual(time.monotonic() - started, 2)  # 24 at ten a second
        self.assertLessEqual({unit for _, _, unit in told}, {f"release-tenant-{number}" for number in range(1, 5)})
        times = sorted(at for at, _, _ in told)
        for first, eleventh in zip(times, times[10:]):
            self.assertGreaterEqual(eleventh - first, 950_000_000)

    def test_agents_that_hang_keep_nobody_waiting(self):
        """Four of them fill all places. Their time is moved on by a change of the journal, as 30 s would."""
        supervisor, events = self.begin()
        self.agent.write_text("#!/bin/sh\ncase $1 in /hang*) sleep 100000 & sleep 100000;; *) exec true;; esac\n")
        groups = [f"tenant:/hang{number}" for number in range(4)]
        supervisor.gpcsup("group", "create", *groups)
        for group in [*groups, "tenant:/acme/web"]:
            supervisor.gpcsup("set", group, "group.notify_on_release=true")
        agents = []
        for group in groups:
            supervisor.gpcsup("run", "-g", group, "--", "true")
            agents.append(events.wait_for(lambda event, group=group: event["event"] == "release-agent" and event["group"] == group)["unit"])
            events.wait_for(lambda event: event["event"] == "unit-active" and event["unit"] == agents[-1])
        hanging = [supervisor.unit(agent)["pid"] for agent in agents]
        supervisor.gpcsup("start", "one")
        supervisor.gpcsup("stop", "one")
        events.wait_for(lambda event: event["event"] == "release-deferred" and event["group"] == "tenant:/acme/web")
        running = {key: json.loads(body) for key, body in journal_file.states(supervisor).items() if key.startswith("agent/")}
        self.assertEqual({f"agent/{agent}" for agent in agents}, set(running))
        for body in running.values():
            self.assertGreater(body["until_ns"], time.monotonic_ns())
            self.assertLess(body["until_ns"], time.monotonic_ns() + 30_000_000_000)
        journal_file.replace_with(supervisor, {key: body | {"until_ns": 1} for key, body in running.items()})
        told = {events.wait_for(lambda event: event["event"] == "release-agent-timeout")["unit"] for _ in agents}
        self.assertEqual(set(agents), told)
        for pid in hanging:
            self.assertTrue(wait_gone(pid, 20))
        events.wait_for(lambda event: event["event"] == "release-agent" and event["group"] == "tenant:/acme/web")
        for pid in [pid for pid in supervisor.services() if harness.command_name(pid) == "sleep"]:
            self.assertTrue(wait_gone(pid, 20), "what it had started was killed with it")

    def test_an_agent_that_cannot_be_run(self):
        supervisor, events = self.begin()
        self.agent.unlink()
        supervisor.gpcsup("set", "tenant:/acme/web", "group.notify_on_release=true")
        for _ in range(2):
            supervisor.gpcsup("start", "one")
            supervisor.gpcsup("stop", "one")
            told = events.wait_for(lambda event: event["event"] == "release-agent")
            events.wait_for(lambda event: event["event"] == "unit-failed" and event["unit"] == told["unit"])


class ReleaseAsOrdinaryUser(Release):
    user = ORDINARY if os.getuid() == 0 else None


@needs_root
class Rights(Groups):
    def test_the_agent_runs_as_the_owner_of_the_tree(self):
        supervisor, events = self.begin()
        uid = harness.pwd.getpwnam(ORDINARY).pw_uid
        supervisor.gpcsup("set", "tenant:/", f"group.owner={uid}")
        supervisor.gpcsup("set", "tenant:/acme/web", "group.notify_on_release=true")
        supervisor.gpcsup("start", "one")
        supervisor.gpcsup("stop", "one")
        self.wait_for_agent(events, "tenant:/acme/web")
        self.assertEqual([("/acme/web", uid)], [call[:2] for call in self.calls()])

    def test_a_stranger_may_not_set_the_agent(self):
        supervisor, _ = self.begin(agent=False)
        nobody = harness.pwd.getpwnam(ORDINARY)
        supervisor.directory.chmod(0o755)
        tried = subprocess.run([harness.BIN / "gpcsup", "--runtime", supervisor.runtime, "set", "tenant:/",
                                "group.release_agent=/bin/true"], capture_output=True, text=True, timeout=30,
                               preexec_fn=lambda: (os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)))
        self.assertEqual(5, tried.returncode, tried)
        for verb in ("freeze", "thaw"):
            tried = subprocess.run([harness.BIN / "gpcsup", "--runtime", supervisor.runtime, verb, "tenant:/acme"],
                                   capture_output=True, text=True, timeout=30,
                                   preexec_fn=lambda: (os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)))
            self.assertEqual(5, tried.returncode, tried)


if __name__ == "__main__":
    unittest.main(verbosity=2)
