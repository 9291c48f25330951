"""`integrity`: numbered records on a guest's disk after its death, against what the guest had said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.judge.checks.bounded import all_of, bounded
from harness.judge.endings import Ending
from harness.judge.interval import Interval
from harness.judge.seen import Run, Seen, undecided, unobservable
from harness.judge.series import Value
from harness.spec.expectations import Integrity


def look_integrity(run: Run, wanted: Integrity) -> Seen:
    """Judge how many records are lost: fsynced ones, and ones that were only written."""

    def one(ending: Ending) -> Seen:
        waiting = not run.timeline.closed
        said = ending.last("rec")
        if said is None or said.parsed.record is None:
            return unobservable("the guest wrote no numbered records", open_=waiting)
        if ending.gone is None:
            return undecided("it was not seen to end", open_=waiting)
        read = _read(run, ending)
        if read is None:
            return unobservable("its disk was not read after its end", open_=waiting)
        line, args = read
        number, written, synced = said.parsed.record
        intact = _intact(args, number)
        first = max(1, written - _slots(args, written) + 1)
        lost = [n for n in range(first, written + 1) if not any(low <= n <= high for low, high in intact)]
        gone = sum(n <= synced for n in lost)
        proof = (said.line, line)
        parts: list[Seen] = []
        for what, count, low, high in (
            (f"of {synced} fsynced", gone, wanted.min_lost_synced, wanted.max_lost_synced),
            (
                f"of {written - synced} written since",
                len(lost) - gone,
                wanted.min_lost_unsynced,
                wanted.max_lost_unsynced,
            ),
        ):
            if low is None and high is None:
                continue
            interval = Interval(float(count), float(count))
            value = Value(interval=interval, proof=proof)
            parts.append(bounded(interval, low, high, text=f"{count} records {what} lost", value=value))
        return all_of(parts)

    return run.each(wanted.of, one)


def _read(run: Run, ending: Ending) -> tuple[int, Mapping[str, Any]] | None:
    """Return the reading of its disk: an action `disk-read` with `runs` (`{"<run>": [[first, last], …]}`) and `slots`.

    The first one after it came: later ones are of its successors, which begin after its disk was read.
    """
    mine = ending.incarnation
    found = [
        (line, action.args)
        for line, action in run.timeline.actions
        if action.what == "disk-read" and action.target == ending.key and mine.begin <= action.t
    ]
    return found[0] if found else None


def _intact(args: Mapping[str, Any], number: int) -> list[tuple[int, int]]:
    runs = args.get("runs")
    found = runs.get(str(number), []) if isinstance(runs, Mapping) else []
    return [(int(low), int(high)) for low, high in found]


def _slots(args: Mapping[str, Any], written: int) -> int:
    slots = args.get("slots")
    return slots if isinstance(slots, int) and slots > 0 else written
