"""One record, one line: encoding, and decoding that survives what newer or crashed writers left.

A line that is JSON but of an unknown stream or an unknown member of a closed list (a newer minor version wrote it)
decodes to a `Note` named `unknown-record`; a line in the middle of a file that is not JSON at all decodes to a
`Note` named `unreadable`. Both keep their place, so that line numbers stay true, and neither is silent.
"""

from __future__ import annotations

import msgspec

from harness.records.model import Note, Record
from harness.units import Seconds

UNKNOWN_RECORD = "unknown-record"
UNREADABLE = "unreadable"

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class _Head(msgspec.Struct):
    """The part every record has, whatever else a newer version added."""

    t: float = 0.0
    at: str = ""
    stream: str = ""


_head_decoder = msgspec.json.Decoder(_Head)


def encode(record: Record) -> bytes:
    """Return the record as one line, newline included."""
    return _encoder.encode(record) + b"\n"


def decode(line: bytes) -> Record | None:
    """Return the record of a line, or None when the line is not a whole JSON object."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):  # ValidationError is a DecodeError
        pass
    try:
        head = _head_decoder.decode(line)
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Note(t=Seconds(head.t), at=head.at, what=UNKNOWN_RECORD, text=head.stream)
