"""`ksm`: what the kernel merged on the whole machine, at what cost, and who set its knobs."""

from __future__ import annotations

import re
from itertools import pairwise

from harness.judge.checks.bounded import all_of, amount, bounded, plain, scaled, share
from harness.judge.checks.compare import quotient
from harness.judge.checks.evicted import settling
from harness.judge.endings import Ending
from harness.judge.interval import Interval, Truth
from harness.judge.measures import KSM_CPU, from_control, ksm_cpu
from harness.judge.seen import Run, Seen, undecided, unobservable
from harness.judge.series import Point, change, host_series, moment, series, value_at
from harness.judge.tracks import Row
from harness.records.model import Action
from harness.spec.expectations import Ksm

PAGE = 4096
"""Bytes, unless a sample says `pageSize`."""
KNOBS = ("pages_to_scan", "sleep_millisecs")
HANDLED = "ksm-handler"
"""Action of an embedded cluster's virt-handler, which sets KSM by what it computes and the node's annotations override."""
KSM_ANNOTATIONS = "kubevirt.io/ksm-"
"""KubeVirt's node annotations that set KSM (pkg/virt-handler/node-labeller, api/core/v1/types.go `KSM…Override`)."""
_GROW = re.compile(r"^\d+ grow to=(\d+).*\bpages=(unique|shared|zero)\b")
_SHRINK = re.compile(r"^\d+ shrink to=(\d+)")


def look_ksm(run: Run, wanted: Ksm) -> Seen:
    """Judge all that is asked of KSM; each question has its own answer, all must hold."""
    rows = run.timeline.host_rows.get("ksm", [])
    waiting = not run.timeline.closed
    if not rows:
        return unobservable(
            "KSM was not recorded: the kernel has none, or the probe can't see it", open_=waiting
        )
    if waiting and wanted.at == "end" and settling(run):
        return undecided("the window is not over", open_=True)
    parts: list[Seen] = []
    if wanted.run is not None:
        parts.append(_run(run, wanted, rows))
    if any(v is not None for v in (wanted.min, wanted.max, wanted.min_share, wanted.max_share)):
        parts += _merged(run, wanted, rows)
    if any(v is not None for v in (wanted.min_cpu, wanted.max_cpu, wanted.min_cpu_factor)):
        parts += _cpu(run, wanted)
    if wanted.knobs is not None:
        parts.append(_knobs(run, wanted, rows))
    return all_of(parts)


def _run(run: Run, wanted: Ksm, rows: list[Row]) -> Seen:
    value = value_at(run, host_series(rows, "run"), wanted.at)
    if value.interval is None:
        return undecided(value.why, open_=not run.timeline.closed)
    literal = float(wanted.run or 0)
    return bounded(
        value.interval, literal, literal, text=f"/sys/kernel/mm/ksm/run {plain(value.interval)}", value=value
    )


def _merged(run: Run, wanted: Ksm, rows: list[Row]) -> list[Seen]:
    page = next((v for r in rows if isinstance(v := r.data.get("pageSize"), int)), PAGE)
    points = [Point(t=p.t, line=p.line, value=p.value * page) for p in host_series(rows, "pages_sharing")]
    grown = change(value_at(run, points, wanted.since), value_at(run, points, wanted.at))
    if grown.interval is None:
        return [undecided(grown.why, open_=not run.timeline.closed)]
    text = f"merged {amount(grown.interval)} more since {wanted.since}"
    parts: list[Seen] = []
    if wanted.min is not None or wanted.max is not None:
        parts.append(bounded(grown.interval, wanted.min, wanted.max, text=text, value=grown))
    if wanted.min_share is not None or wanted.max_share is not None:
        whole = _mergeable(run, wanted)
        if not whole:
            parts.append(unobservable("no guest was asked to hold shared pages"))
        else:
            part = scaled(grown.interval, whole)
            told = f"{text}, {share(part)} of {amount(Interval(whole, whole))} that could be"
            parts.append(bounded(part, wanted.min_share, wanted.max_share, text=told, value=grown))
    return parts


def _mergeable(run: Run, wanted: Ksm) -> float:
    """Return the bytes that merging all shared pages would save: all copies but one."""
    at, _, _ = moment(run, wanted.at)
    until = run.timeline.end if at is None else at
    asked = [_shared(run, e, until) for m in run.cast.of(wanted.of) for e in run.inside(m)[-1:]]
    return sum(asked) - max(asked, default=0.0)


def _shared(run: Run, ending: Ending, at: float) -> float:
    """Return the bytes of shared pages a guest was asked to hold by then, as far as it said that it holds so many."""
    held = [p for p in series(run, ending, "held") if p.t <= at]
    most = held[-1].value if held else float("inf")
    total, shared = 0.0, 0.0
    for _, action in run.timeline.actions:
        if action.what != "command" or action.target != ending.key or action.t > at:
            continue
        line = str(action.args.get("line") or "")
        if match := _GROW.match(line):
            target = min(float(match[1]), most)
            shared += max(0.0, target - total) if match[2] == "shared" else 0.0
            total = max(total, target)
        elif match := _SHRINK.match(line):
            total = min(total, float(match[1]))
            shared = min(shared, total)
    return shared


def _cpu(run: Run, wanted: Ksm) -> list[Seen]:
    used = ksm_cpu(run, wanted.since, wanted.at)
    if used.interval is None:
        return [unobservable(used.why)]
    text = f"ksmd used {plain(used.interval)} CPU"
    parts: list[Seen] = []
    if wanted.min_cpu is not None or wanted.max_cpu is not None:
        parts.append(bounded(used.interval, wanted.min_cpu, wanted.max_cpu, text=text, value=used))
    if wanted.min_cpu_factor is not None:
        other = from_control(run, f"{KSM_CPU}/{wanted.since}/{wanted.at}")
        if other.interval is None:
            parts.append(unobservable(other.why))
        else:
            factor = quotient(used.interval, other.interval) or Interval(0.0, float("inf"))
            told = f"{text}, x {plain(factor)} of the control's"
            parts.append(bounded(factor, wanted.min_cpu_factor, None, text=told, value=used))
    return parts


def _knobs(run: Run, wanted: Ksm, rows: list[Row]) -> Seen:
    """Judge by whose doing the knobs changed: the last cause before each change."""
    changes: list[tuple[Row, str]] = []
    for before, after in pairwise(rows):
        changed = [k for k in KNOBS if k in before.data and before.data.get(k) != after.data.get(k)]
        if changed:
            changes.append((after, changed[0]))
    causes = [
        (mark.t, mark.line, "annotations", "after the annotations changed")
        for node in run.timeline.nodes.values()
        for (_, old), (mark, new) in pairwise(node.annotations)
        if _of_ksm(old) != _of_ksm(new)
    ]
    causes += [(a.t, line, *whose) for line, a in run.timeline.actions if (whose := _cause(a)) is not None]
    if not changes:
        if not causes:
            return undecided("nobody set the knobs, and they did not change", open_=not run.timeline.closed)
        tried = "annotations" if any(side == "annotations" for *_, side, _ in causes) else "file"
        text = f"the knobs did not change, though the {tried} did"
        return Seen(
            truth=Truth.FALSE if tried == wanted.knobs else Truth.STRADDLES,
            text=text,
            proof=(rows[0].line, rows[-1].line),
            reason=text,
            timed=False,
        )
    row, knob = changes[-1]
    earlier = [cause for cause in causes if cause[0] <= row.t]
    if not earlier:
        return undecided(f"{knob} changed, and nothing that was recorded did it", proof=(row.line,))
    _, line, cause, how = max(earlier)
    right = cause == wanted.knobs
    text = f"{knob} became {row.data.get(knob)} {how}"
    return Seen(
        truth=Truth.of(right), text=text, proof=(line, row.line), reason="" if right else text, timed=False
    )


def _cause(action: Action) -> tuple[str, str] | None:
    """Return whose doing an action is, and in words how it set KSM; None: it did not."""
    if action.what == HANDLED:
        return "annotations", "by virt-handler"
    if action.what not in {"configure-host", "write-file"}:
        return None
    by = action.args.get("by")
    if by:
        return "file", f"by {by}'s {action.args.get('file') or 'settings'}"
    return "file", "after the file changed"


def _of_ksm(annotations: object) -> dict[str, str]:
    if not isinstance(annotations, dict):
        return {}
    # What virt-handler reports of its own doing is no cause.
    mine = ("kubevirt.io/ksm-handler-managed", "kubevirt.io/ksm-enabled")
    return {k: v for k, v in annotations.items() if k.startswith(KSM_ANNOTATIONS) and k not in mine}
