"""Reading expectations of what memory does: comparisons, touch latency, held bytes, KSM, swap, records on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast

from harness.spec import read
from harness.spec.expectations import Expectation, HoldsBytes, Integrity, Ksm, Ratio, Stall, Swap
from harness.spec.measures import BYTES, MEASURES, SECONDS
from harness.spec.nodes import Node
from harness.spec.read import Reader
from harness.spec.subjects import WHOM, Subjects, asked, bounds, moment, number, share, some_bytes, whom

HOWS: Final = ("quotient", "saving")
QUANTILES: Final = ("p50", "p99", "max")
HELD: Final = ("held", "memtotal", "usage", "working-set", "swap", "pss", "rss")
CHANGES: Final = ("value", "growth", "drop")
KNOBS: Final = ("file", "annotations")
OTHERS: Final = ("control", "guest")
"""What a fleet may be compared with beside other fleets."""


def _ratio(node: Node, subjects: Subjects) -> Ratio:
    reader = Reader(node, "ratio", (*WHOM, "to", "measure", "how", "min", "max", "equals"))
    measure = read.choice(reader.need("measure"), tuple(MEASURES), "measure")
    how = reader.read("how", lambda n: read.choice(n, HOWS, "way to compare")) or "quotient"
    amount: Callable[[Node], Any] = number
    if how == "saving":
        amount = some_bytes if measure in BYTES else read.duration if measure in SECONDS else number
    if reader.has("equals"):
        for key in ("min", "max"):
            if reader.has(key):
                raise reader.key_mark(key).error(f"'{key}' beside 'equals'; give one or the other")
        low = high = amount(reader.need("equals"))
    else:
        low, high = bounds(reader, amount)
    return Ratio(
        of=whom(reader, subjects),
        measure=measure,
        to=reader.read("to", lambda n: _other(n, subjects)) or "control",
        how=cast("Literal['quotient', 'saving']", how),
        min=low,
        max=high,
    )


def _other(node: Node, subjects: Subjects) -> str:
    return read.choice(node, (*OTHERS, *subjects.fleets), "fleet to compare with")


def _stall(node: Node, subjects: Subjects) -> Stall:
    keys = ("min", "max", "min-factor", "max-factor")
    reader = Reader(node, "stall", (*WHOM, "quantile", *keys, "to", "during"))
    asked(reader, keys)
    low, high = bounds(reader, read.duration, needed=False)
    low_factor, high_factor = bounds(reader, number, of="factor", needed=False)
    if reader.has("to") and low_factor is None and high_factor is None:
        raise reader.key_mark("to").error("'to' has no meaning without min-factor or max-factor")
    return Stall(
        of=whom(reader, subjects),
        quantile=cast(
            "Literal['p50', 'p99', 'max']",
            reader.read("quantile", lambda n: read.choice(n, QUANTILES, "quantile")) or "p99",
        ),
        min=low,
        max=high,
        min_factor=low_factor,
        max_factor=high_factor,
        to=reader.read("to", lambda n: read.choice(n, ("control", *subjects.fleets), "fleet to compare with"))
        or "control",
        during=reader.read("during", lambda n: read.choice(n, subjects.steps, "step")),
    )


def _holds_bytes(node: Node, subjects: Subjects) -> HoldsBytes:
    keys = ("min", "max", "min-share", "max-share")
    reader = Reader(node, "holds-bytes", (*WHOM, "measure", "how", "since", "at", *keys))
    asked(reader, keys)
    low, high = bounds(reader, some_bytes, needed=False)
    low_share, high_share = bounds(reader, share, of="share", needed=False)
    how = reader.read("how", lambda n: read.choice(n, CHANGES, "change")) or "value"
    if how == "value" and reader.has("since"):
        raise reader.key_mark("since").error("'since' has no meaning for a value; how: growth or drop")
    since, at = _between(reader, subjects)
    return HoldsBytes(
        of=whom(reader, subjects, victim=True),
        measure=cast(
            "Literal['held', 'memtotal', 'usage', 'working-set', 'swap', 'pss', 'rss']",
            read.choice(reader.need("measure"), HELD, "measure"),
        ),
        how=cast("Literal['value', 'growth', 'drop']", how),
        since=since,
        at=at,
        min=low,
        max=high,
        min_share=low_share,
        max_share=high_share,
    )


def _between(reader: Reader, subjects: Subjects) -> tuple[str, str]:
    """Read the moments that a change is measured between."""
    since = reader.read("since", lambda n: moment(n, subjects, known=("start",))) or "start"
    return since, reader.read("at", lambda n: moment(n, subjects)) or "end"


def _ksm(node: Node, subjects: Subjects) -> Ksm:
    keys = (
        "run", "min", "max", "min-share", "max-share", "min-cpu", "max-cpu", "min-cpu-factor", "knobs",
    )  # fmt: skip
    reader = Reader(node, "ksm", (*WHOM, "since", "at", *keys))
    asked(reader, keys)
    low, high = bounds(reader, some_bytes, needed=False)
    low_share, high_share = bounds(reader, share, of="share", needed=False)
    low_cpu, high_cpu = bounds(reader, number, of="cpu", needed=False)
    since, at = _between(reader, subjects)
    return Ksm(
        of=whom(reader, subjects, default="all"),
        run=reader.read("run", lambda n: read.whole(n, most=2)),
        since=since,
        at=at,
        min=low,
        max=high,
        min_share=low_share,
        max_share=high_share,
        min_cpu=low_cpu,
        max_cpu=high_cpu,
        min_cpu_factor=reader.read("min-cpu-factor", number),
        knobs=cast(
            "Literal['file', 'annotations'] | None",
            reader.read("knobs", lambda n: read.choice(n, KNOBS, "way to set the knobs")),
        ),
    )


def _swap(node: Node, subjects: Subjects) -> Swap:
    keys = (
        "min", "max", "min-peak", "max-peak", "min-fall", "pressure", "min-limit", "max-limit",
    )  # fmt: skip
    reader = Reader(node, "swap", (*WHOM, *keys))
    asked(reader, keys)
    low, high = bounds(reader, some_bytes, needed=False)
    low_peak, high_peak = bounds(reader, some_bytes, of="peak", needed=False)
    low_limit, high_limit = bounds(reader, some_bytes, of="limit", needed=False)
    return Swap(
        of=whom(reader, subjects, default="all"),
        min=low,
        max=high,
        min_peak=low_peak,
        max_peak=high_peak,
        min_fall=reader.read("min-fall", share),
        pressure=reader.read("pressure", read.boolean),
        min_limit=low_limit,
        max_limit=high_limit,
    )


def _integrity(node: Node, subjects: Subjects) -> Integrity:
    keys = ("min-lost-synced", "max-lost-synced", "min-lost-unsynced", "max-lost-unsynced")
    reader = Reader(node, "integrity", (*WHOM, *keys))
    asked(reader, keys)
    low, high = bounds(reader, read.whole, of="lost-synced", needed=False)
    low_unsynced, high_unsynced = bounds(reader, read.whole, of="lost-unsynced", needed=False)
    return Integrity(
        of=whom(reader, subjects, victim=True),
        min_lost_synced=low,
        max_lost_synced=high,
        min_lost_unsynced=low_unsynced,
        max_lost_unsynced=high_unsynced,
    )


READERS: Final[Mapping[str, Callable[[Node, Subjects], Expectation]]] = {
    "ratio": _ratio,
    "stall": _stall,
    "holds-bytes": _holds_bytes,
    "ksm": _ksm,
    "swap": _swap,
    "integrity": _integrity,
}
