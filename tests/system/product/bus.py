"""A client of the control bus that is not gpcsup: raw D-Bus on the socket, to do what gpcsup never does."""

import array
import os
import socket
import struct

HEADER = "<BBBBIII"  # little endian, type, flags, version, length of the body, serial, length of the fields


class Body:
    """The arguments of a call: texts (s), lists of texts (as), numbers (t), descriptors (ah)."""

    def __init__(self):
        self.data = b""

    def align(self, to):
        self.data += b"\0" * (-len(self.data) % to)

    def text(self, value):
        self.align(4)
        raw = value.encode()
        self.data += struct.pack("<I", len(raw)) + raw + b"\0"
        return self

    def texts(self, values):
        inner = Body()
        for value in values:
            inner.text(value)
        self.align(4)
        self.data += struct.pack("<I", len(inner.data)) + inner.data
        return self

    def number(self, value):
        self.align(8)
        self.data += struct.pack("<Q", value)
        return self

    def descriptors(self, count):
        self.align(4)
        self.data += struct.pack("<I", 4 * count) + struct.pack(f"<{count}I", *range(count))
        return self


def call_message(serial, method, signature, body, descriptors):
    fields = Body()
    texts = {1: ("o", "/org/gpcsup1"), 2: ("s", "org.gpcsup1.Manager"), 3: ("s", method)}
    for code, (kind, value) in texts.items():
        fields.align(8)
        fields.data += bytes([code, 1]) + kind.encode() + b"\0"
        fields.text(value)
    if signature:
        fields.align(8)
        fields.data += bytes([8, 1]) + b"g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    if descriptors:
        fields.align(8)
        fields.data += bytes([9, 1]) + b"u\0" + struct.pack("<I", descriptors)
    head = struct.pack(HEADER, ord("l"), 1, 0, 1, len(body), serial, len(fields.data)) + fields.data
    return head + b"\0" * (-len(head) % 8) + body


class Client:
    def __init__(self, runtime, seconds=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(seconds)
        self.socket.connect(str(runtime / "control"))
        self.buffer = b""
        self.serial = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def fill(self, size):
        while len(self.buffer) < size:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError("the supervisor has closed the connection")
            self.buffer += piece

    def take(self, size):
        self.fill(size)
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def authenticate(self):
        self.socket.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
        lines = 0
        while lines < 3:  # DATA, OK, AGREE_UNIX_FD
            self.fill(2)
            if b"\r\n" in self.buffer:
                _, self.buffer = self.buffer.split(b"\r\n", 1)
                lines += 1
            else:
                self.fill(len(self.buffer) + 1)
        return self

    def send(self, method, signature="", body=None, descriptors=()):
        """Sends a call and does not wait for its answer; returns its serial."""
        self.serial += 1
        message = call_message(self.serial, method, signature, body.data if body else b"", len(descriptors))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sent = self.socket.sendmsg([message], rights)
        self.socket.sendall(message[sent:])
        return self.serial

    def receive(self):
        """The next message: its type (2 = answer, 3 = error), the serial it answers, its body."""
        head = self.take(16)
        _, kind, _, _, length, _, fields = struct.unpack(HEADER, head)
        raw = self.take(fields + (-fields % 8))
        body = self.take(length)
        return kind, self.reply_serial(raw[:fields]), body

    @staticmethod
    def reply_serial(fields):
        at = 0
        while at < len(fields):
            at += -at % 8
            code, signature = fields[at], chr(fields[at + 2])
            at += 4
            if signature in "so":
                at += -at % 4
                at += 4 + struct.unpack_from("<I", fields, at)[0] + 1
            elif signature == "g":
                at += 1 + fields[at] + 1
            else:
                at += -at % 4
                value = struct.unpack_from("<I", fields, at)[0]
                if code == 5:
                    return value
                at += 4
        return None

    def call(self, method, signature="", body=None, descriptors=()):
        serial = self.send(method, signature, body, descriptors)
        while True:
            kind, answered, answer = self.receive()
            if answered == serial:
                if kind == 3:
                    raise RuntimeError(text_at(answer, 0))
                return answer


def text_at(body, offset):
    length = struct.unpack_from("<I", body, offset)[0]
    return body[offset + 4:offset + 4 + length].decode()


def number_at(body, offset):
    return struct.unpack_from("<Q", body, offset)[0]


def connect_as(uid, runtime, count):
    """So many connections of that user, from this process (root), silent; those that are refused are seen at the first read."""
    found = []
    before = os.geteuid()
    os.seteuid(uid)
    try:
        for _ in range(count):
            client = Client(runtime)
            found.append(client)
    finally:
        os.seteuid(before)
    return found
