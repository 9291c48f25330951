"""Durations, paths, rates, quantities and suggestions, by properties and by tables."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spec.durations import parse_duration, suggest_duration
from harness.spec.errors import SpecError, closest
from harness.spec.nodes import Fields, Mark, Scalar, flow, from_plain, parse, plain
from harness.spec.paths import assign, join, split, split_override
from harness.spec.read import suggest_quantity
from harness.spec.workload import amount, rate

HERE = Mark("here", 1, 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("90s", 90.0),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1s500ms", 1.5),
        ("250us", 0.00025),
        ("3ns", 3e-9),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "10", "10 s", "-5s", "+5s", "5S", "1m 30s", "1d", "5sec", "٣s", "1..5s", "1s\n"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10", "10s"),
        ("10 s", "10s"),
        ("5sec", "5s"),
        ("2 Minutes", "2m"),
        ("3hrs", "3h"),
        ("1d", None),
        ("soon", None),
    ],
)
def test_what_a_wrong_duration_probably_meant(text: str, meant: str | None) -> None:
    assert suggest_duration(text) == meant


def spelt(seconds: float) -> str:
    """As Go prints a duration, e.g. `1m30s`."""
    nanos = round(seconds * 1e9)
    if nanos == 0:
        return "0s"
    parts = []
    for unit, size in (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        count, nanos = divmod(nanos, size)
        if count:
            parts.append(f"{count}{unit}")
    if nanos:
        parts.append(f"{nanos}ns")
    return "".join(parts)


@given(st.integers(0, 10**15))
def test_durations_survive_a_round_trip(nanos: int) -> None:
    assert parse_duration(spelt(nanos / 1e9)) == pytest.approx(nanos / 1e9, abs=1e-9)


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        (r"a\.b.c", ("a.b", "c")),
        ("a[0].b", ("a", "0", "b")),
        ("a[0][12]", ("a", "0", "12")),
        (r"a\\.b", ("a\\", "b")),
        ("metadata.annotations.kubevirt\\.io/x", ("metadata", "annotations", "kubevirt.io/x")),
    ],
)
def test_paths(path: str, segments: tuple[str, ...]) -> None:
    assert split(path) == segments


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a]", "a[0]b"])
def test_no_paths(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        split(path)


SEGMENTS = st.lists(
    st.text(string.ascii_letters + ".\\[]/-_ ", min_size=1).filter(bool), min_size=1, max_size=5
).map(tuple)


@given(SEGMENTS)
def test_paths_survive_a_round_trip(segments: tuple[str, ...]) -> None:
    assert split(join(segments)) == segments


@given(SEGMENTS, st.integers())
def test_what_was_assigned_is_found_there(segments: tuple[str, ...], value: int) -> None:
    root = Fields(HERE, {}, {})
    assign(root, join(segments), from_plain(value, HERE), HERE)
    found = plain(root)
    # Keys that Kubernetes spells with a dot may have been joined; any way down must end at the value.
    while isinstance(found, dict):
        assert len(found) == 1
        (found,) = found.values()
    assert found == value


def test_the_longest_key_that_exists_wins() -> None:
    root = parse("a: {b: {c.d: 1}, b.c: {d: 2}}", "f")
    assign(root, "a.b.c.d", from_plain(9, HERE), HERE)
    assert plain(root) == {"a": {"b": {"c.d": 1}, "b.c": {"d": 9}}}


def test_the_rest_of_a_path_below_set_is_one_key() -> None:
    root = parse("set: {spec.a.b: 1}", "f")
    assign(root, "set.spec.a.b", from_plain(2, HERE), HERE)
    assign(root, r"set.x.y\.z", from_plain(3, HERE), HERE)
    assert plain(root) == {"set": {"spec.a.b": 2, r"x.y\.z": 3}}


def test_an_override_is_split_at_the_first_unescaped_equals_sign() -> None:
    path, value, mark = split_override(r"a.b\=c=d=e")
    assert (path, value, mark.column) == (r"a.b\=c", "d=e", 8)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("512Mb", "512Mi"), ("512MB", "512M"), ("512mib", "512Mi"), ("1gi", "1Gi"), ("1 Gi", "1Gi"), ("1.5GB", "1.5G"),
        ("10kb", "10Ki"), ("10KB", "10k"), ("many", None), ("512Mi", None),
    ],
)  # fmt: skip
def test_what_a_wrong_quantity_probably_meant(written: str, meant: str | None) -> None:
    assert suggest_quantity(written) == meant


@pytest.mark.parametrize(
    ("text", "bytes_a_second"),
    [("25Mi/s", 26214400), ("1M/s", 1000000), ("5 Mi/s", None), ("1.5Gi/s", 1610612736)],
)
def test_rates(text: str, bytes_a_second: int | None) -> None:
    node = Scalar(HERE, text, text)
    if bytes_a_second is None:
        with pytest.raises(SpecError):
            rate(node)
    else:
        assert rate(node) == bytes_a_second


@given(st.integers(0, 90))
def test_shares_up_to_ninety_per_cent(percent: int) -> None:
    text = f"{percent}%"
    found = amount(Scalar(HERE, text, text))
    assert found.bytes is None
    assert found.share == percent / 100


@given(st.integers(91, 1000))
def test_no_share_above(percent: int) -> None:
    text = f"{percent}%"
    with pytest.raises(SpecError, match="above 90%"):
        amount(Scalar(HERE, text, text))


@pytest.mark.parametrize(
    ("word", "near"),
    [("fleeet", "fleet"), ("FLEET", "fleet"), ("stats_refreshed", "stats-refreshed"), ("zzz", None)],
)
def test_the_closest_word(word: str, near: str | None) -> None:
    assert closest(word, ("fleet", "stats-refreshed", "step")) == near


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.ascii_letters + " ", min_size=1),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=5), children, max_size=4)
    ),
    max_leaves=20,
)


@given(TREES)
def test_plain_data_survives_the_tree(data: object) -> None:
    node = from_plain(data, HERE)
    assert plain(node) == data
    assert "\n" not in flow(node)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("on: off", {"on": False}),
        ("2024-01-01: 2024-01-01", {"2024-01-01": "2024-01-01"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 0x10\nb: 1e3\nc: 1.5\nd: ~", {"a": 16, "b": "1e3", "c": 1.5, "d": None}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\n---\n", {"a": 1}),
    ],
)
def test_yaml_as_data(text: str, data: object) -> None:
    assert plain(parse(text, "f")) == data
