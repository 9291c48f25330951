from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedded.api.errors import ApiError, BadRequest, UnsupportedMediaType
from harness.embedded.api.protobuf import decode


def field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2, len(payload)]) + payload


def message(kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, b"v1") + field(2, kind.encode())) + field(2, raw)


def test_a_namespace() -> None:
    label = field(11, field(1, b"k") + field(2, b"v"))
    assert decode(message("Namespace", field(1, field(1, b"x") + label))) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "x", "labels": {"k": "v"}},
    }


def test_delete_options() -> None:
    raw = b"\x08\x00" + field(2, field(1, b"uid")) + field(4, b"Foreground") + field(5, b"All")
    assert decode(message("DeleteOptions", raw)) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "uid"},
        "propagationPolicy": "Foreground",
        "dryRun": ["All"],
    }


def test_an_access_review() -> None:
    attributes = field(1, b"default") + field(2, b"create") + field(5, b"pods")
    assert decode(message("SelfSubjectAccessReview", field(2, field(1, attributes))))["spec"] == {
        "resourceAttributes": {"namespace": "default", "verb": "create", "resource": "pods"}
    }


def test_other_kinds_are_unsupported() -> None:
    with pytest.raises(UnsupportedMediaType, match="ConfigMap"):
        decode(message("ConfigMap", b""))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"k8s\x00", b"k8s\x00\x0a\x05", b"k8s\x00\x0b", b"k8s\x00\x0a\x01\xff"]
)
def test_what_is_cut_or_malformed(body: bytes) -> None:
    with pytest.raises(BadRequest):
        decode(body)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(tail: bytes) -> None:
    for body in (b"k8s\x00" + tail, message("DeleteOptions", tail), message("Namespace", tail)):
        try:
            decode(body)
        except ApiError as error:
            assert error.status["code"] in {400, 415}  # noqa: PT017
