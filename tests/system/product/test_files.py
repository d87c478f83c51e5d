"""numfiles: never exceeded, never refused without need, whatever makes the file."""

import errno
import os
import pathlib
import unittest

import harness
from harness import Case, needs_root

OPENERS = pathlib.Path(os.environ.get("GPCSUP_SUPPORT", harness.BIN.parent / "tests/support")) / "openers"
CONFIG = """
[hierarchy.tenant]
controllers = ["numfiles"]
[hierarchy.tenant.group."/bombs"]
[hierarchy.tenant.group."/other"]
"""
LIMIT = 40
HOLDER = f'''enabled = false
[service]
command = ["{OPENERS}", "hold", "20"]
restart = "no"
stop_timeout = "500ms"
[place]
tenant = "/bombs"
[limits]
numfiles.limit = {LIMIT}
'''
STANDARD = 3  # standard streams
OF_A_SERVICE = 2  # its input, and the one pipe for its output and its errors


@unittest.skipUnless(OPENERS.exists(), "needs the opener of files")
class Files(Case):
    def run_openers(self, supervisor, limits, *words, check=False):
        options = [part for limit in limits for part in ("-l", limit)]
        return supervisor.gpcsup("run", "-g", "tenant:/bombs", *options, "--", str(OPENERS), *words, check=check)

    def ways(self, result):
        lines = [line.split() for line in result.stdout.splitlines()]
        return {name: (int(made), int(error), int(kept)) for name, made, error, kept in lines}

    def test_no_way_of_making_files_leads_over_the_limit(self):
        supervisor = self.supervise({}, CONFIG)
        ways = self.ways(self.run_openers(supervisor, [f"numfiles.limit={LIMIT}"]))
        self.assertGreater(len(ways), 30)
        print("files made:", ways)
        pressed = [name for name, (made, error, kept) in ways.items() if error == errno.EMFILE]
        for name, (made, error, kept) in ways.items():
            room = LIMIT - STANDARD - kept
            self.assertLessEqual(made, room, name)
            if name in pressed:
                self.assertGreaterEqual(made, room - 1, f"{name}: refused too early")  # a pair does not fit into one
            else:
                self.assertLess(made, room, f"{name}: {os.strerror(error)}")
        self.assertEqual((0, errno.EPERM), ways["io_uring_setup"][:2])
        for plain in ("open", "openat", "openat2", "socket", "socketpair", "pipe", "pipe2", "eventfd", "timerfd_create", "clone",
                      "signalfd4", "memfd_create", "epoll_create1", "pidfd_open", "accept4"):
            self.assertIn(plain, pressed)

    def test_one_below_the_limit_is_never_refused(self):
        supervisor = self.supervise({}, CONFIG)
        result = self.run_openers(supervisor, [f"numfiles.limit={STANDARD + 1}"], "edge", "5000")
        self.assertEqual((0, ""), (result.returncode, result.stdout + result.stderr))

    def test_held_counts_descriptions_and_says_who_was_refused(self):
        supervisor = self.supervise({"holder": HOLDER}, CONFIG)
        supervisor.gpcsup("start", "holder")
        self.until_holding(supervisor)
        attributes = supervisor.json("get", "tenant:/bombs/holder")["attributes"]
        self.assertEqual(20 + OF_A_SERVICE, attributes["numfiles.held"])
        self.assertEqual(0, attributes["numfiles.failcnt"])
        self.assertGreaterEqual(attributes["numfiles.maxheld"], 20 + OF_A_SERVICE)
        supervisor.gpcsup("stop", "holder")
        self.run_openers(supervisor, ["numfiles.limit=10"], "hold-none")
        refused = [harness.json.loads(line) for line in supervisor.gpcsup("events", "--json").stdout.splitlines()]
        self.assertTrue(any(event["event"] == "refused" and event["attribute"] == "numfiles.limit" for event in refused))

    def until_holding(self, supervisor):
        deadline = harness.time.monotonic() + 10
        while b"holding" not in supervisor.log("holder"):
            self.assertLess(harness.time.monotonic(), deadline)
            harness.select.select([], [], [], 0.02)

    @needs_root
    def test_the_privileged_go_to_the_limit_and_others_to_the_barrier(self):
        supervisor = self.supervise({}, CONFIG)
        both = ["numfiles.barrier=20", f"numfiles.limit={LIMIT}"]
        mine = self.ways(self.run_openers(supervisor, both))["openat"][0]
        expected = 20 if supervisor.user else LIMIT
        self.assertEqual(expected - STANDARD, mine)
        if not supervisor.user:
            result = supervisor.gpcsup("run", "-g", "tenant:/bombs", "-l", both[0], "-l", both[1], "--", "/usr/bin/setpriv",
                                       "--reuid=65534", "--clear-groups", str(OPENERS), check=False)
            self.assertEqual(20 - STANDARD, self.ways(result)["openat"][0])

    def test_what_a_mover_takes_along_stays_charged_where_it_was_opened(self):
        supervisor = self.supervise({"holder": HOLDER.replace(f"[limits]\nnumfiles.limit = {LIMIT}\n", "")}, CONFIG)
        supervisor.gpcsup("start", "holder")
        self.until_holding(supervisor)
        for pid in supervisor.services():
            supervisor.gpcsup("attach", str(pid), "tenant:/other")
        here = supervisor.json("get", "tenant:/bombs")["attributes"]
        there = supervisor.json("get", "tenant:/other")["attributes"]
        self.assertEqual((20 + OF_A_SERVICE, 0), (here["numfiles.held"], there["numfiles.held"]))
        supervisor.gpcsup("group", "remove", "tenant:/bombs", check=False)
        groups = {group["group"]: group for group in supervisor.json("group", "list")["groups"]}
        self.assertEqual("dying", groups["tenant:/bombs"]["state"])
        self.assertIn("22 files opened here", groups["tenant:/bombs"]["held_by"]["numfiles"])
        supervisor.gpcsup("stop", "holder")
        self.until_gone(supervisor, "tenant:/bombs")

    def test_beancounters_are_shown_as_they_were(self):
        supervisor = self.supervise({"holder": HOLDER.replace(f"numfiles.limit = {LIMIT}",
                                                              f"numfiles.barrier = 30\nnumfiles.limit = {LIMIT}")}, CONFIG)
        supervisor.gpcsup("start", "holder")
        self.until_holding(supervisor)
        lines = supervisor.gpcsup("beancounters").stdout.splitlines()
        self.assertEqual("Version: 2.5", lines[0])
        self.assertEqual("uid resource held maxheld barrier limit failcnt".split(), lines[1].split())
        row = next(line.split() for line in lines if line.split()[0] == "tenant:/bombs/holder:")
        held = str(20 + OF_A_SERVICE)
        self.assertEqual(["numfile", held, held, "30", str(LIMIT), "0"], row[1:])
        self.assertEqual("9223372036854775807", lines[2].split()[5])
        groups = {group["group"]: group for group in supervisor.json("beancounters", "tenant:/bombs")["groups"]}
        self.assertEqual(30, groups["tenant:/bombs/holder"]["resources"][0]["barrier"])
        self.assertIsNone(groups["tenant:/bombs"]["resources"][0]["limit"])
        supervisor.gpcsup("stop", "holder")

    def until_gone(self, supervisor, group):
        deadline = harness.time.monotonic() + 10
        while any(each["group"] == group for each in supervisor.json("group", "list")["groups"]):
            self.assertLess(harness.time.monotonic(), deadline)
            harness.select.select([], [], [], 0.02)


@needs_root
class FilesOfAnOrdinaryUser(Files):
    user = harness.ORDINARY


if __name__ == "__main__":
    unittest.main()
