r"""The few protobuf bodies that kubectl sends without falling back to JSON.

Envelope: `k8s\0` and `runtime.Unknown{1: TypeMeta{1: apiVersion, 2: kind}, 2: raw}` (apimachinery
`pkg/runtime/generated.proto`). Only the fields that matter here are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.embedded.api.errors import BadRequest, UnsupportedMediaType

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

Message = Mapping[int, list[Any]]


def decode(body: bytes) -> dict[str, Any]:
    """Return the object a body holds. Raises `UnsupportedMediaType` for kinds that aren't read, `BadRequest`."""
    if not body.startswith(_MAGIC):
        raise BadRequest("the body is no Kubernetes protobuf message")
    try:
        unknown = _fields(body[len(_MAGIC) :])
        type_meta = _fields(unknown[1][0])
        api_version, kind = _text(type_meta, 1), _text(type_meta, 2)
        reader = _READERS.get(kind)
        if reader is None:
            raise UnsupportedMediaType(
                f"{kind} is not read as protobuf here - accepted media types include: application/json"
            )
        raw = _fields(unknown[2][0]) if 2 in unknown else {}
        return {"apiVersion": api_version, "kind": kind, **reader(raw)}
    except (IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BadRequest("the protobuf body is cut or malformed") from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if shift > 63:
            raise BadRequest("a varint of more than ten bytes in a protobuf body")
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> dict[int, list[Any]]:
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: Any
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
            case 1:
                value, at = data[at : at + 8], at + 8
            case 2:
                length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
            case 5:
                value, at = data[at : at + 4], at + 4
            case other:
                raise BadRequest(f"wire type {other} in a protobuf body")
        if at > len(data):
            raise BadRequest("the protobuf body is cut or malformed")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _text(message: Message, field: int) -> str:
    return _string(message[field][-1]) if field in message else ""


def _string(value: Any) -> str:
    if not isinstance(value, bytes):
        raise BadRequest("a protobuf field has another type than its kind says")
    return value.decode()


def _set(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in ("", None, {}, [])}


def _map(message: Message, field: int) -> dict[str, str]:
    entries = [_fields(entry) for entry in message.get(field, [])]
    return {_text(entry, 1): _text(entry, 2) for entry in entries}


def _metadata(message: Message) -> dict[str, Any]:
    metadata = _fields(message[1][0]) if 1 in message else {}
    return _set(
        name=_text(metadata, 1),
        generateName=_text(metadata, 2),
        namespace=_text(metadata, 3),
        labels=_map(metadata, 11),
        annotations=_map(metadata, 12),
    )


def _object(message: Message) -> dict[str, Any]:
    return {"metadata": _metadata(message)}


def _delete_options(message: Message) -> dict[str, Any]:
    preconditions = _fields(message[2][0]) if 2 in message else {}
    seconds = message[1][-1] if 1 in message else None
    if seconds is not None and seconds >= 1 << 63:
        seconds -= 1 << 64
    return _set(
        gracePeriodSeconds=seconds,
        preconditions=_set(uid=_text(preconditions, 1), resourceVersion=_text(preconditions, 2)),
        propagationPolicy=_text(message, 4),
        dryRun=[_string(item) for item in message.get(5, [])],
    )


def _access_review(message: Message) -> dict[str, Any]:
    spec = _fields(message[2][0]) if 2 in message else {}
    attributes = _fields(spec[1][0]) if 1 in spec else {}
    names = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
    found = {name: _text(attributes, field) for field, name in enumerate(names, start=1)}
    return {**_object(message), "spec": _set(resourceAttributes=_set(**found))}


_READERS: Mapping[str, Callable[[Message], dict[str, Any]]] = {
    "DeleteOptions": _delete_options,
    "Namespace": _object,
    "SelfSubjectAccessReview": _access_review,
    "SelfSubjectReview": _object,
}
