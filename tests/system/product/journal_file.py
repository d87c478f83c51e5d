"""The supervisor's journal from outside: gpc-init keeps its memfd, and a test may read it, or write what a gpcsupd that
was killed at the wrong moment would have left (src/journal/record.cpp)."""

import json
import os
import pathlib
import signal
import struct

from harness import wait_gone

HEADER = struct.Struct("<IIIHHQQQHHI")
MAGIC = 0x4c4a5047
STATE, ERASURE = 1, 2


def crc32c(data):
    remainder = 0xffffffff
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82f63b78 if remainder & 1 else 0)
    return remainder ^ 0xffffffff


def kept(supervisor, name):
    """The path by which a memfd that gpc-init keeps can be opened."""
    for entry in pathlib.Path(f"/proc/{supervisor.init.pid}/fd").iterdir():
        if os.readlink(entry).startswith(f"/memfd:{name}"):
            return entry
    raise AssertionError(f"gpc-init keeps no {name}")


def records(data):
    at = 0
    while at + HEADER.size <= len(data):
        magic, _, size, _, meaning, sequence, _, _, event, key, body = HEADER.unpack_from(data, at)
        if magic != MAGIC:
            break
        text = data[at + HEADER.size:at + size]
        yield at + size, sequence, meaning, text[event:event + key].decode(), text[event + key:event + key + body]
        at += size


def states(supervisor):
    """The fold: what a successor would be told."""
    found = {}
    for _, _, meaning, key, body in records(kept(supervisor, "gpcsup-journal").read_bytes()):
        if meaning == STATE:
            found[key] = body
        elif meaning == ERASURE:
            found.pop(key, None)
    return found


def replace_with(supervisor, added, meanwhile=lambda: None):
    """gpcsupd is killed, and its successor finds these states at the journal's end; `meanwhile` is called in between.
    A state is an object, or bytes that have been read from a journal."""
    killed = supervisor.helper("gpcsupd")
    os.kill(supervisor.init.pid, signal.SIGSTOP)  # so that no successor starts before they are written
    try:
        os.kill(killed, signal.SIGKILL)
        assert wait_gone(killed, 10)
        path = kept(supervisor, "gpcsup-journal")
        end, sequence = 0, 0
        for end, sequence, *_ in records(path.read_bytes()):
            pass
        with open(path, "r+b") as file:
            file.seek(end)
            for key, body in added.items():
                sequence += 1
                file.write(record(sequence, key, body if isinstance(body, bytes) else json.dumps(body).encode()))
        meanwhile()
    finally:
        os.kill(supervisor.init.pid, signal.SIGCONT)


def record(sequence, key, body):
    content = key.encode() + body
    size = (HEADER.size + len(content) + 7) & ~7
    checked = HEADER.pack(MAGIC, 0, size, 1, STATE, sequence, 0, 0, 0, len(key), len(body))[8:] + content
    checked += bytes(size - 8 - len(checked))
    return struct.pack("<II", MAGIC, crc32c(checked)) + checked
