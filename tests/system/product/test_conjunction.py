"""Controllers in conjunction: numtasks, numfiles and cpuset in one hierarchy, in two and in three give the same results.

One small workload of real processes, the same words to it in each arrangement; refusals are its own errnos, counts are those of
`gpcsup get`, masks are the kernel's, from /proc."""

import errno
import json
import os
import subprocess
import unittest

import harness
from harness import Case, descendants, read_line, status_field

ARRANGEMENTS = (
    {"all": ("numtasks", "numfiles", "cpuset")},
    {"limits": ("numtasks", "numfiles"), "place": ("cpuset",)},
    {"work": ("numtasks", "cpuset"), "files": ("numfiles",)},
    {"tasks": ("numtasks",), "files": ("numfiles",), "cpus": ("cpuset",)},
)
CPUS = sorted(os.sched_getaffinity(0))
HERE, THERE = CPUS[0], CPUS[-1]
SETTINGS = {  # controller → group → settings
    "numtasks": {"/g": "numtasks.limit = 12\n", "/other": "numtasks.limit = 8\n"},
    "numfiles": {"/g": "numfiles.barrier = 60\nnumfiles.limit = 60\n", "/other": ""},
    "cpuset": {"/g": f'cpuset.cpus = "{HERE}"\n', "/other": f'cpuset.cpus = "{THERE}"\n'},
}
READ = {"numtasks": ("current", "peak", "processes", "failcnt"), "numfiles": ("held", "maxheld", "failcnt"),
        "cpuset": ("cpus", "effective_cpus")}

# Does what it is told, a word a line, and answers in one line of JSON.
WORKER = """
import errno, json, os, signal, sys
children, files = [], []
def fork():
    while len(children) < 100:
        try:
            child = os.fork()
        except OSError as error:
            return [len(children), error.errno]
        if child == 0:
            signal.pause()
        children.append(child)
def open_files():
    while len(files) < 1000:
        try:
            files.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            return [len(files), error.errno]
def open_one():
    files.append(os.open("/dev/null", os.O_RDONLY))
    return len(files)
def close_some():
    for _ in range(5):
        os.close(files.pop())
    return len(files)
def spread(cpus):
    for _ in range(50):
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as error:
            if error.errno == errno.EFAULT:  # whoever reads the mask had no CPU for 50 ms
                continue
            return error.errno
        return sorted(os.sched_getaffinity(0))
for line in sys.stdin:
    word, *rest = json.loads(line)
    print(json.dumps(globals()[word](*rest)), flush=True)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def config_of(arrangement):
    text = ""
    for hierarchy, controllers in arrangement.items():
        text += f"[hierarchy.{hierarchy}]\ncontrollers = {json.dumps(controllers)}\n"
        for group in ("/g", "/other"):
            text += f'[hierarchy.{hierarchy}.group."{group}"]\n' + "".join(SETTINGS[each][group] for each in controllers)
    return text


class Conjunction(Case):
    def counts(self):
        """By the controllers' names: whatever the hierarchies are called."""
        read = {(controller, group): self.supervisor.json("get", f"{controller}:{group}")["attributes"]
                for controller in READ for group in ("/g", "/other")}
        return {f"{controller}:{group}": {name: attributes[f"{controller}.{name}"] for name in READ[controller]}
                for (controller, group), attributes in read.items()}

    def ask(self, *words):
        self.worker.stdin.write(json.dumps(words).encode() + b"\n")
        self.worker.stdin.flush()
        return json.loads(read_line(self.worker.stdout))

    def members(self, places):
        """Who is in each hierarchy's group, the same in all of them; first who has forked the others."""
        seen = [{row["pid"]: row["ppid"] for row in self.supervisor.json("ps", place)["processes"]} for place in places]
        self.assertTrue(all(each == seen[0] for each in seen), seen)
        return sorted(seen[0], key=lambda pid: (seen[0][pid] in seen[0], pid))

    def masks(self, pids):
        return {status_field(pid, "Cpus_allowed_list") for pid in pids}

    def end(self, worker):
        for stream in (worker.stdin, worker.stdout):
            stream.close()
        worker.wait(20 * harness.SLOW)

    def work(self, arrangement):
        self.supervisor = self.supervise({}, config_of(arrangement))
        inside, other = ([f"{hierarchy}:{group}" for hierarchy in arrangement] for group in ("/g", "/other"))
        places = [word for place in inside for word in ("-g", place)]
        self.worker = self.supervisor.popen("run", *places, "--", "/usr/bin/python3", "-c", WORKER,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.end, self.worker)
        results = {"opened": self.ask("open_files"), "closed": self.ask("close_some"), "forked": self.ask("fork"),
                   "all CPUs": self.ask("spread", CPUS)}
        if HERE != THERE:
            results["a CPU of others"] = self.ask("spread", [THERE])
        pids = self.members(inside)
        results |= {"members": len(pids), "masks": self.masks(pids), "counts": self.counts()}
        self.assertEqual(set(pids), {pids[0], *descendants(pids[0])})
        # All of them, in all hierarchies, at once.
        self.supervisor.gpcsup("attach", "--tree", str(pids[0]), *other)
        results |= {"left": len(self.members(inside)), "moved": self.members(other) == pids, "masks there": self.masks(pids),
                    "counts there": self.counts(), "opened there": self.ask("open_one"), "forked there": self.ask("fork"),
                    "counts then": self.counts()}
        # A refusal of one is a refusal in all.
        refused = self.supervisor.gpcsup("attach", str(pids[0]), *inside[:-1], inside[-1] + "/none", check=False)
        results |= {"refused": refused.returncode, "still": set(pids) == set(self.members(other))}
        self.end(self.worker)
        self.supervisor.gpcsup("wait", "numtasks:/other", "--empty")
        results["counts at the end"] = self.counts()
        self.assertEqual(0, self.supervisor.stop())
        return results

    def test_one_two_and_three_hierarchies(self):
        expected = self.work(ARRANGEMENTS[0])
        print("one hierarchy:", expected)
        self.assertEqual([57, errno.EMFILE], expected["opened"])
        self.assertEqual([11, errno.EAGAIN], expected["forked"])
        self.assertEqual([HERE], expected["all CPUs"])
        self.assertEqual(errno.EINVAL, expected.get("a CPU of others", errno.EINVAL))
        self.assertEqual((12, {str(HERE)}), (expected["members"], expected["masks"]))
        self.assertEqual({"current": 12, "peak": 12, "processes": 12, "failcnt": 1}, expected["counts"]["numtasks:/g"])
        self.assertEqual({"held": 55, "maxheld": 60, "failcnt": 1}, expected["counts"]["numfiles:/g"])
        self.assertEqual((0, True, {str(THERE)}), tuple(expected[name] for name in ("left", "moved", "masks there")))
        self.assertEqual((0, 12), tuple(expected["counts there"][f"numtasks:{group}"]["current"] for group in ("/g", "/other")))
        self.assertEqual((55, 1), tuple(expected["counts then"][f"numfiles:{group}"]["held"] for group in ("/g", "/other")),
                         "a file stays charged where it was opened")
        self.assertEqual([11, errno.EAGAIN], expected["forked there"], "a move may go over a limit, a fork may not")
        self.assertEqual((4, True), (expected["refused"], expected["still"]))
        self.assertEqual([0, 0], [expected["counts at the end"][name][count] for name, count in
                                  (("numtasks:/other", "current"), ("numfiles:/g", "held"))])
        for arrangement in ARRANGEMENTS[1:]:
            self.assertEqual(expected, self.work(arrangement), arrangement)


class ConjunctionOfAnOrdinaryUser(Conjunction):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
