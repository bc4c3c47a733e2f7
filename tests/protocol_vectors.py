#!/usr/bin/env python3
"""Decodes docs/protocol-vectors.txt and docs/serial-vectors.txt with decoders of its own, written from docs/protocol.md alone.

Each line is HEX, a tab, and what it means: envelopes joined by " | ", or "refused: WHY"; for byte streams, who reads stands in
front and events are joined. Standard library only.
"""

import sys
import zlib
from pathlib import Path

TAGS = {
    0x41: "hello", 0x42: "welcome", 0x43: "ping", 0x44: "pong", 0x45: "ack", 0x46: "goodbye", 0x07: "health",
    0x48: "renewal", 0xC9: "binary", 0xCA: "text", 0xCB: "broadcast", 0xCC: "publish", 0xCD: "subscribe",
    0xCE: "unsubscribe", 0xCF: "confirmation", 0xD0: "request", 0xD1: "response", 0xD2: "error",
}
WITH_PAYLOAD = {"hello", "renewal", "broadcast", "publish", "request", "response"}
LIMITS = {"envelope": 2**20 + 2**10, "credentials": 8192, "channel name": 255, "request name": 255, "reason": 123, "token": 64}


class Refused(Exception):
    pass


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise Refused("truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, bits=32):
        value = 0
        for index in range(10):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << 7 * index
            if value >= 2**64:
                raise Refused("number")
            if byte < 0x80:
                if byte == 0 and index > 0 or value >= 2**bits:
                    raise Refused("number")
                return value
        raise Refused("number")

    def string(self, limit):
        length = self.number()
        if length > LIMITS[limit]:
            raise Refused("limit " + limit)
        return self.take(length)

    def text(self, limit):
        return utf8(self.string(limit))

    def channel(self):
        number = self.number()
        return "#%d" % number if number else self.text("channel name")


def utf8(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("text") from None


def announced(fields):
    return "%d/%d/%d" % (fields.number(), fields.number(), fields.number())


def version(fields):
    value = fields.number()
    if value == 0:
        raise Refused("value")
    return value


def show(flags, payload):
    if flags & 1:
        return 'text "%s"' % utf8(payload)
    return "binary %s" % (payload.hex() or "-")


def envelope(frame):
    (tag,) = frame.take(1)
    body = frame.string("envelope")
    name = TAGS.get(tag)
    if name is None:
        if tag & 0x40:
            raise Refused("unknown 0x%02x" % tag)
        return "skipped 0x%02x%s" % (tag, " counted" if tag & 0x80 else "")
    if name == "binary":
        return "message " + show(0, body)
    if name == "text":
        return "message " + show(1, body)
    fields, payload = Bytes(body), b""
    if name in WITH_PAYLOAD:
        length = fields.number()
        known = fields.take(length)
        payload = fields.take(fields.left())
        fields = Bytes(known)
    if name in ("hello", "renewal") and len(payload) > LIMITS["credentials"]:
        raise Refused("limit credentials")
    if name == "hello":
        return "hello version %d attempt %d received %d announced %s token %s credentials %s" % (
            version(fields), fields.number(), fields.number(64), announced(fields),
            fields.string("token").hex() or "-", payload.hex() or "-")
    if name == "welcome":
        number = version(fields)
        resumed = fields.number()
        if resumed > 1:
            raise Refused("value")
        return "welcome version %d %s received %d from %d announced %s session %d token %s" % (
            number, ("new", "resumed")[resumed], fields.number(64), fields.number(64), announced(fields),
            fields.number(64), fields.string("token").hex() or "-")
    if name in ("ping", "pong"):
        return "%s %d" % (name, fields.number())
    if name == "ack":
        return "ack %d" % fields.number(64)
    if name == "goodbye":
        code = fields.number()
        if not 1000 <= code <= 4999:
            raise Refused("value")
        return 'goodbye %d retry-after %d attempt %d reason "%s"' % (
            code, fields.number(), fields.number(), fields.text("reason"))
    if name == "health":
        return "health state %d queued %d latency %d" % (fields.number(), fields.number(), fields.number())
    if name == "renewal":
        return "renewal token %s credentials %s" % (fields.string("token").hex() or "-", payload.hex() or "-")
    if name == "broadcast":
        what = show(fields.number(), payload)
        return "broadcast on %s %s" % (fields.channel(), what)
    if name == "publish":
        number = fields.number()
        what = show(fields.number(), payload)
        return "publish %d on %s %s" % (number, fields.channel(), what)
    if name == "subscribe":
        return "subscribe %d to %s" % (fields.number(), fields.text("channel name"))
    if name == "unsubscribe":
        return "unsubscribe %d from %s" % (fields.number(), fields.channel())
    if name == "confirmation":
        return 'confirmation %d code %d number %d reason "%s"' % (
            fields.number(), fields.number(), fields.number(), fields.text("reason"))
    if name == "request":
        number, flags = fields.number(), fields.number()
        what, form = show(flags, payload), flags >> 1 & 3
        if form == 3:
            raise Refused("value")
        return "%s %d %s %s" % (("command", "query", "event")[form], number, fields.text("request name"), what)
    if name == "response":
        number = fields.number()
        return "response %d %s" % (number, show(fields.number(), payload))
    return 'error %d code %d reason "%s"' % (fields.number(), fields.number(), fields.text("reason"))


def meaning(data):
    frame, parts = Bytes(data), []
    try:
        while frame.left():
            parts.append(envelope(frame))
    except Refused as why:
        parts.append("refused: %s" % why)
    return " | ".join(parts)


BUFFER = 1024


def unstuffed(packet):
    """The bytes of a packet that came between two zeros."""
    plain, at = b"", 0
    while at < len(packet):
        code = packet[at]
        block = packet[at + 1 : at + code]
        at += code
        plain += block
        if len(plain) > BUFFER:
            raise Refused("too long")
        if len(block) < code - 1:
            raise Refused("truncated")
        if code < 255 and at < len(packet):
            plain += b"\0"
    if len(plain) < 7:
        raise Refused("truncated")
    if zlib.crc32(plain[:-4]) != int.from_bytes(plain[-4:], "little"):
        raise Refused("checksum")
    return plain[0], int.from_bytes(plain[1:3], "little"), plain[3:-4]


def stream_meaning(reader, data):
    """What a stream means that ends with a zero."""
    kind, _, mine = reader.partition(":")
    current, expected = (int(mine), 0) if mine else (None, None)
    events = []
    for packet in filter(None, data.split(b"\0")):
        try:
            connection, number, frame = unstuffed(packet)
        except Refused as why:
            events.append("damaged: %s" % why)
            continue
        shown = frame.hex() or "-"
        if kind == "server" and number == 0:
            current, expected = connection, 1
            events.append("opened %d %s" % (connection, shown))
        elif connection != current or expected is None:
            events.append("stale %d" % connection)
        elif number != expected:
            events.append("gap %d %d" % (expected, number))
            expected = None
        else:
            expected = 1 if number == 65535 else number + 1
            events.append("frame " + shown)
    return " | ".join(events)


def lines(name):
    path = Path(__file__).resolve().parent.parent / "docs" / name
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.partition("\t")[::2]


def main():
    checks = [(hexes, expected, meaning(bytes.fromhex(hexes))) for hexes, expected in lines("protocol-vectors.txt")]
    for stream, expected in lines("serial-vectors.txt"):
        reader, _, hexes = stream.partition(" ")
        checks.append((stream, expected, stream_meaning(reader, bytes.fromhex(hexes))))
    wrong = [check for check in checks if check[1] != check[2]]
    for stream, expected, found in wrong:
        print("%s\n  expected %s\n  found    %s" % (stream, expected, found))
    print("%d vectors, %d wrong" % (len(checks), len(wrong)))
    return 1 if wrong or len(checks) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
