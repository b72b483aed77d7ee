"""Messages with the runtime, one after the other in each direction.

A message is `u32 head bytes | u64 body bytes | head | body`, little-endian. The head is a JSON object; the body holds the
tensors that it lists, each beginning at a multiple of 8 bytes so that arrays are views into it.
"""

import json
import socket
import struct

PREFIX = struct.Struct("<IQ")
READ_BUFFER_BYTES = 1 << 16


class Channel:
    def __init__(self, descriptor):
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        # programs that a model starts must not hold it open
        self._socket.set_inheritable(False)
        self._reader = self._socket.makefile("rb", buffering=READ_BUFFER_BYTES)

    def receive(self):
        """The next message as (head, body), or None at the channel's end."""
        prefix = self._reader.read(PREFIX.size)
        if len(prefix) < PREFIX.size:
            return None
        head_bytes, body_bytes = PREFIX.unpack(prefix)
        head = self._reader.read(head_bytes)
        body = bytearray(body_bytes)
        view = memoryview(body)
        while view:
            count = self._reader.readinto(view)
            if not count:
                return None
            view = view[count:]
        return (json.loads(head), body) if len(head) == head_bytes else None

    def send(self, head, parts=()):
        """Sends a message; `parts` are the tensors' bytes without their padding."""
        text = json.dumps(head).encode()
        padded = []
        for part in parts:
            padded.append(part)
            if len(part) % 8:
                padded.append(b"\0" * (-len(part) % 8))
        body_bytes = sum(map(len, padded))
        first = PREFIX.pack(len(text), body_bytes) + text
        if body_bytes <= READ_BUFFER_BYTES:
            self._socket.sendall(b"".join((first, *padded)))
            return
        for piece in (first, *padded):
            self._socket.sendall(piece)
