"""The supervisors that are measured, each in its best form: no shell between it and the service, no rescan to wait for.

A peer writes its configuration for COUNT services, is one process that we start, and knows its own status command and how
it is told to stop."""

import os
import pathlib
import shutil
import signal
import time


class Peer:
    name = ""
    needs = ()  # programs

    def __init__(self, place, count, programs):
        self.place = place  # a directory of its own
        self.count = count
        self.pause = programs["pause"]
        self.programs = programs
        self.fifo = place / "fifo"
        os.mkfifo(self.fifo)

    @classmethod
    def present(cls):
        return all(shutil.which(program) for program in cls.needs)

    def configure(self):
        """Writes what the supervisor reads."""

    def command(self):
        raise NotImplementedError

    def environment(self):
        """More of it, beside PAUSE_FIFO."""
        return {}

    def status(self, index):
        """The command that shows one service, or None."""
        return None

    def stop(self, process):
        process.send_signal(signal.SIGTERM)


class Floor(Peer):
    name = "vfork+exec"

    def command(self):
        return [self.programs["floor"], str(self.count), self.pause, self.fifo]


class Gpcsup(Peer):
    name = "gpcsup"
    groups = placed = ""  # more of gpcsup.toml, and of each unit

    def configure(self):
        units = self.place / "units"
        units.mkdir()
        (self.place / "gpcsup.toml").write_text('[hierarchy.compute]\ncontrollers = ["cpuset", "cpuacct"]\n'
                                                '[hierarchy.tenant]\ncontrollers = ["numtasks"]\n' + self.groups)
        for index in range(self.count):
            (units / f"s{index}.toml").write_text(f'[service]\ncommand = ["{self.pause}", "{self.fifo}"]\n'
                                                  'restart = "always"\nrestart_delay = "0s"\nstart_limit = "max"\n' + self.placed)
        self.runtime = self.place / "run"
        self.runtime.mkdir(mode=0o700)

    def command(self):
        return [self.programs["gpc-init"], "--config", self.place / "gpcsup.toml", "--units", self.place / "units",
                "--runtime", self.runtime]

    def environment(self):
        return {"GPCSUP_LOGS": str(self.place / "logs")}

    def status(self, index):
        return [self.programs["gpcsup"], "--runtime", self.runtime, "status", f"s{index}"]


class GpcsupLimited(Gpcsup):
    """The same with every service in a group with a limit: gpc-enforce answers for each."""

    name = "gpcsup-limited"
    groups = '[hierarchy.tenant.group."/limited"]\nnumtasks.limit = 20000\n'
    placed = '[place]\ntenant = "/limited"\n'


class Runit(Peer):
    name = "runit"
    needs = ("runsvdir", "sv")

    def folder(self, index):
        return self.place / "sv" / f"s{index}"

    def configure(self):
        for index in range(self.count):
            self.folder(index).mkdir(parents=True)
            (self.folder(index) / "run").symlink_to(self.pause)
        time.sleep(1.1)  # runsvdir leaves a directory alone that changed in this very second

    def command(self):
        return ["runsvdir", self.place / "sv"]

    def status(self, index):
        return ["sv", "status", self.folder(index)]

    def stop(self, process):
        process.send_signal(signal.SIGHUP)  # SIGTERM would leave the services running


class S6(Peer):
    name = "s6"
    needs = ("s6-svscan", "s6-svstat")

    def folder(self, index):
        return self.place / "sv" / f"s{index}"

    def configure(self):
        for index in range(self.count):
            self.folder(index).mkdir(parents=True)
            (self.folder(index) / "run").symlink_to(self.pause)
            (self.folder(index) / "notification-fd").write_text("3\n")  # s6 restarts at once only what was ready

    def environment(self):
        return {"PAUSE_READY_FD": "3"}

    def command(self):
        return ["s6-svscan", "-c", str(self.count + 10), self.place / "sv"]

    def status(self, index):
        return ["s6-svstat", self.folder(index)]


class Supervisor(Peer):
    name = "supervisor"
    needs = ("supervisord", "supervisorctl")

    def configure(self):
        text = (f"[supervisord]\nnodaemon=true\nsilent=true\nlogfile={self.place}/log\npidfile={self.place}/pid\n"
                f"minfds=20000\nchildlogdir={self.place}\n"
                f"[unix_http_server]\nfile={self.place}/sock\n[supervisorctl]\nserverurl=unix://{self.place}/sock\n"
                "[rpcinterface:supervisor]\n"
                "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n")
        for index in range(self.count):
            text += (f"[program:s{index}]\ncommand={self.pause} {self.fifo}\nautorestart=true\nstdout_logfile=NONE\n"
                     "stderr_logfile=NONE\nstartsecs=0\n")
        (self.place / "conf").write_text(text)

    def command(self):
        return ["supervisord", "-c", self.place / "conf"]

    def status(self, index):
        return ["supervisorctl", "-c", self.place / "conf", "status", f"s{index}"]


PEERS = [Floor, Gpcsup, GpcsupLimited, Runit, S6, Supervisor]


def built_programs(root):
    """Where our own programs and those of bench/ are."""
    release = pathlib.Path(root) / "build/release/src"
    bench = pathlib.Path(root) / "build/bench"
    return {"gpc-init": release / "gpc-init", "gpcsup": release / "gpcsup", "pause": bench / "pause", "floor": bench / "floor"}
