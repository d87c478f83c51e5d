"""Real daemons from Debian, in groups of two hierarchies: seen, moved and stopped."""

import os
import pathlib
import shutil
import signal
import socket
import time
import unittest

import harness
from harness import Case, Events, children_of, command_name, status_field, threads_of, wait_gone

CONFIG = """
[hierarchy.compute]
controllers = ["cpuset", "cpuacct"]
[hierarchy.compute.group."/batch"]
cpuset.cpus = "0"
[hierarchy.compute.group."/web"]
[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
numtasks.limit = 64
[hierarchy.tenant.group."/other"]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def redis_unit(port, place='compute = "/batch"\ntenant = "/acme"', extra=""):
    return f"""
description = "Cache"
[service]
type = "notify"
command = ["/usr/bin/redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--supervised", "systemd",
           "--daemonize", "no", "--save", "", "--dir", "/tmp"]
{extra}
[place]
{place}
"""


def nginx_unit(directory, port):
    configuration = pathlib.Path(directory) / "nginx.conf"
    configuration.write_text(f"""
daemon off;
worker_processes 3;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{ access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "well\\n"; }} }} }}
""")
    configuration.chmod(0o644)
    return f"""
[service]
command = ["/usr/sbin/nginx", "-e", "stderr", "-c", "{configuration}"]
[place]
compute = "/web"
tenant = "/other"
"""


def ask_redis(port, line):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(line.encode() + b"\r\n")
        return connection.recv(4096).decode()


@unittest.skipUnless(shutil.which("redis-server") and pathlib.Path("/usr/sbin/nginx").exists(), "needs redis and nginx")
class Daemons(Case):
    def setUp(self):
        self.redis_port, self.nginx_port = free_port(), free_port()
        self.directory = harness.tempfile.mkdtemp(prefix="gpcsup-nginx-")
        os.chmod(self.directory, 0o777)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.supervisor = self.supervise({"cache": redis_unit(self.redis_port),
                                          "web": nginx_unit(self.directory, self.nginx_port)}, CONFIG)
        self.events = Events(self.supervisor, since=0)
        self.addCleanup(self.events.close)
        self.supervisor.gpcsup("start", "cache", "web")

    def nginx(self):
        master = self.supervisor.unit("web")["pid"]
        workers = children_of(master)
        deadline = time.monotonic() + 10
        while len(workers) < 3 and time.monotonic() < deadline:  # nginx says nothing when its workers are there
            self.events.next(time.monotonic() + 0.05)
            workers = children_of(master)
        return master, workers

    def test_every_process_is_shown_in_its_groups(self):
        self.assertEqual("+PONG\r\n", ask_redis(self.redis_port, "PING"))
        master, workers = self.nginx()
        self.assertEqual(3, len(workers))
        cache = self.supervisor.unit("cache")
        self.assertEqual(("active", "/batch", "/acme"),
                         (cache["state"], cache["place"]["compute"], cache["place"]["tenant"]))
        self.assertEqual("redis-server", command_name(cache["pid"]))
        listed = {row["pid"]: row for row in self.supervisor.json("ps")["processes"]}
        for pid in [master, *workers]:
            self.assertEqual("web", listed[pid]["unit"])
            self.assertEqual(("/web", "/other"), (listed[pid]["place"]["compute"], listed[pid]["place"]["tenant"]))
        self.assertEqual({"cache": "redis-server", "web": "nginx"},
                         {row["unit"]: command_name(row["pid"]) for row in listed.values()})
        self.assertEqual(set(self.supervisor.services()), set(listed))

    def test_attach_moves_every_thread_and_children_forked_later(self):
        pid = self.supervisor.unit("cache")["pid"]
        masks = lambda: {status_field(pid, "Cpus_allowed_list", task) for task in threads_of(pid)}
        self.assertEqual({"0"}, masks())
        self.assertGreater(len(threads_of(pid)), 1)
        self.supervisor.gpcsup("group", "create", "compute:/late")
        self.supervisor.gpcsup("set", "compute:/late", "cpuset.cpus=1")
        self.supervisor.gpcsup("attach", str(pid), "compute:/late")
        self.assertEqual({"1"}, masks())
        self.assertEqual("+OK\r\n", ask_redis(self.redis_port, "SET k v"))
        self.assertEqual("+OK\r\n", ask_redis(self.redis_port, "CONFIG SET rdb-key-save-delay 60000000"))  # a minute
        self.assertEqual("+Background saving started\r\n", ask_redis(self.redis_port, "BGSAVE"))
        child, = children_of(pid)
        self.assertEqual("1", status_field(child, "Cpus_allowed_list"))
        places = {row["pid"]: row["place"]["compute"] for row in self.supervisor.json("ps", "cache")["processes"]}
        self.assertEqual({pid: "/late", child: "/late"}, places)
        self.assertEqual("/late", self.supervisor.unit("cache")["place"]["compute"])
        self.assertEqual("/acme", self.supervisor.unit("cache")["place"]["tenant"])

    def test_stop_leaves_no_process(self):
        master, workers = self.nginx()
        redis = self.supervisor.unit("cache")["pid"]
        self.supervisor.gpcsup("stop", "web", "cache")
        for pid in [master, *workers, redis]:
            self.assertTrue(wait_gone(pid, 0), f"{pid} is still there")
        self.assertEqual([], self.supervisor.services())
        self.assertEqual("inactive", self.supervisor.unit("web")["state"])

    def test_a_killed_daemon_comes_back(self):
        before = self.supervisor.unit("cache")["pid"]
        os.kill(before, signal.SIGKILL)
        self.events.wait_for(lambda event: event["event"] == "unit-active" and event.get("unit") == "cache"
                             and event.get("pid") not in (None, before))
        after = self.supervisor.unit("cache")
        self.assertEqual(("active", 1), (after["state"], after["restarts"]))
        self.assertEqual("+PONG\r\n", ask_redis(self.redis_port, "PING"))


class DaemonsAsOrdinaryUser(Daemons):
    user = harness.ORDINARY if os.getuid() == 0 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
