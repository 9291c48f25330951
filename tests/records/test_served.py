"""Served times, quantities, conditions and requests."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import served
from harness.records.errors import BadServedValue


@pytest.mark.parametrize(
    ("text", "seconds", "resolution"),
    [
        ("2026-11-24T09:58:24Z", 1795514304.0, 1.0),
        ("2026-11-24T09:58:24.911818Z", 1795514304.911818, 1e-6),
        ("2026-11-24T09:57:21.218+00:00", 1795514241.218, 1e-3),
        ("2026-11-24T11:58:24+02:00", 1795514304.0, 1.0),
        ("1970-01-01T00:00:00Z", 0.0, 1.0),
        ("2024-02-29T23:59:59.5z", 1709251199.5, 0.1),
    ],
)
def test_times(text: str, seconds: float, resolution: float) -> None:
    read = served.instant(text)
    assert (read.seconds, read.resolution) == (seconds, resolution)
    assert read.end == seconds + resolution


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-24", "2026-13-01T00:00:00Z", "2026-11-24T09:58:24"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadServedValue, match="not an RFC 3339 time"):
        served.instant(text)
    assert served.maybe_instant(text) is None


@given(st.datetimes(min_value=datetime(1970, 1, 2)))  # noqa: DTZ001 - a bound without a zone
def test_every_second_is_read_back(moment: datetime) -> None:
    text = moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")
    days = moment.toordinal() - 719163
    assert served.epoch(text) == days * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("64Mi", 67108864),
        ("1Gi", 1073741824),
        ("195052Ki", 199733248),
        ("327808Ki", 335675392),
        ("35M", 35000000),
        ("1024M", 1024000000),
        ("671875073", 671875073),
        (671875073, 671875073),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1.5Gi", 1610612736),
        (".5Gi", 536870912),
        ("100m", 1),
        ("1500m", 2),
        ("0", 0),
        ("-1Mi", -1048576),
        ("1E", 10**18),
        ("1Ei", 1 << 60),
        ("9223372036854775807", 9223372036854775807),
    ],
)
def test_quantities(value: object, amount: int) -> None:
    assert served.quantity(value) == amount


@pytest.mark.parametrize("value", ["", "Mi", "1 Gi", "1GiB", "1K", "١Mi", None, True, [], "1e"])
def test_what_is_no_quantity(value: object) -> None:
    with pytest.raises(BadServedValue, match="not a quantity"):
        served.quantity(value)
    assert served.maybe_quantity(value) is None


@given(st.integers(min_value=0, max_value=1 << 50), st.sampled_from(["", "Ki", "Mi", "k", "M", "G"]))
def test_quantities_are_exact(number: int, suffix: str) -> None:
    factor = {"": 1, "Ki": 1024, "Mi": 1048576, "k": 1000, "M": 10**6, "G": 10**9}[suffix]
    assert served.quantity(f"{number}{suffix}") == Decimal(number) * factor


def pod(**spec: object) -> dict[str, object]:
    return {"spec": spec}


def container(name: str, request: str | None = None, *, sidecar: bool = False) -> dict[str, object]:
    made: dict[str, object] = {"name": name}
    if request is not None:
        made["resources"] = {"requests": {"memory": request}, "limits": {"memory": "1Gi"}}
    if sidecar:
        made["restartPolicy"] = "Always"
    return made


@pytest.mark.parametrize(
    ("spec", "request_"),
    [
        ({"containers": [container("a", "64Mi"), container("b")]}, 67108864),
        ({"containers": [container("a")]}, 0),
        ({"containers": [container("a", "1Mi")], "initContainers": [container("i", "5Mi")]}, 5242880),
        (
            {
                "containers": [container("a", "10Mi")],
                "initContainers": [container("s", "4Mi", sidecar=True), container("i", "5Mi")],
            },
            14680064,
        ),
        (
            {
                "containers": [container("a", "1Mi")],
                "initContainers": [container("s", "4Mi", sidecar=True), container("i", "5Mi")],
            },
            9437184,
        ),
        ({"containers": [container("a", "1Mi")], "overhead": {"memory": "2Mi"}}, 3145728),
        ({"containers": [container("a", "1Mi")], "resources": {"requests": {"memory": "7Mi"}}}, 7340032),
    ],
)
def test_a_pods_request_as_the_kubelet_ranks_by_it(spec: dict[str, object], request_: int) -> None:
    assert served.pod_memory_request(pod(**spec)) == request_


def test_requests_and_limits_by_container() -> None:
    made = pod(containers=[container("a", "64Mi"), container("b")], initContainers=[container("i", "1M")])
    assert served.container_requests(made) == {"i": 1000000, "a": 67108864, "b": None}
    assert served.container_limits(made) == {"i": 1 << 30, "a": 1 << 30, "b": None}


def test_conditions_and_names() -> None:
    obj = {
        "metadata": {"name": "x", "namespace": "d", "uid": "u"},
        "status": {
            "conditions": [{"type": "Ready", "status": "False"}, "rubbish", {"type": "DisruptionTarget"}]
        },
    }
    assert served.condition(obj, "DisruptionTarget") == {"type": "DisruptionTarget"}
    assert served.condition(obj, "Other") is None
    assert (served.key(obj), served.uid(obj)) == ("d/x", "u")
    assert (served.key({}), served.uid({})) == ("/", "")


@pytest.mark.parametrize(
    ("event", "seconds"),
    [
        ({"lastTimestamp": "2026-11-24T09:58:24Z", "firstTimestamp": "2026-11-24T09:00:00Z"}, 1795514304.0),
        ({"lastTimestamp": None, "eventTime": "2026-11-24T09:58:24.500000Z"}, 1795514304.5),
        ({"series": {"lastObservedTime": "2026-11-24T09:58:25.000000Z"}, "eventTime": None}, 1795514305.0),
        ({"metadata": {"creationTimestamp": "2026-11-24T09:58:24Z"}}, 1795514304.0),
    ],
)
def test_when_an_event_last_happened(event: dict[str, object], seconds: float) -> None:
    read = served.event_time(event)
    assert read is not None
    assert read.seconds == seconds


def test_an_event_without_a_time() -> None:
    assert served.event_time({}) is None


def test_events_of_both_apis() -> None:
    assert served.event_subject({"regarding": {"kind": "Pod"}}) == {"kind": "Pod"}
    assert served.event_subject({"involvedObject": {"kind": "Pod"}}) == {"kind": "Pod"}
    assert served.event_subject({}) == {}
    assert served.event_message({"note": "n"}) == served.event_message({"message": "n"}) == "n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"workingSet": 5, "usage": 9}, 5),
        ({"workingSet": 5}, 5),  # without a usage beside it
        ({"workingSet": 0, "usage": 9}, 0),
        ({"usage": 9, "inactiveFile": 2}, 7),
        ({"usage": 9, "inactive_file": 2}, 7),
        ({"usage": 9.75, "inactive_file": 2.0}, 7),  # floats, as some recorders round
        ({"usage": 9}, 9),
        ({"usage": 1, "inactiveFile": 2}, 0),
        ({"usage": 9, "inactiveFile": "2"}, 9),
        ({"usage": 9, "workingSet": None}, 9),
        ({"usage": 9, "workingSet": math.nan}, 9),
        ({"usage": math.inf}, None),
        ({"usage": True}, None),
        ({"usage": "9"}, None),
        ({"limit": 1}, None),
        ({}, None),
    ],
)
def test_working_set(data: dict[str, object], expected: int | None) -> None:
    assert served.working_set(data) == expected


@pytest.mark.parametrize(
    ("value", "capacity", "expected"),
    [
        ("300Mi", None, 314572800),
        ("300Mi", 1073741824, 314572800),
        ("10%", 2147483648, 214748364.8),
        ("10.5%", 1000, 105.0),
        ("10%", None, None),
        ("0%", 1000, None),
        ("100%", 1000, None),
        ("-5%", 1000, None),
        ("150%", 1000, None),
        ("x%", 1000, None),
        ("nan%", 1000, None),
        ("lots", 1000, None),
        ("0", 1000, None),
        ("-1Mi", 1000, None),
        (104857600, 1000, 104857600),
        (None, 1000, None),
        (True, 1000, None),
    ],
)
def test_memory_thresholds(value: object, capacity: float | None, expected: float | None) -> None:
    assert served.memory_threshold(value, capacity) == expected
