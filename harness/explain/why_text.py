"""A report of `why` as text for people, and as plain data for `-o json`. No decisions."""

from __future__ import annotations

import dataclasses
import math
import re
import textwrap
from typing import Any

from tabulate import tabulate

from harness.explain.why_model import OOMS, Acted, PostMortem, Ranking, Report
from harness.explain.why_words import moment, point, signed, size, span
from harness.judge.interval import Interval

WIDTH = 110


def to_data(value: Any) -> Any:
    """Return plain data: camelCase keys, an unbounded end of an interval is null."""
    if isinstance(value, Interval):
        return {"low": _bound(value.low), "high": _bound(value.high)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_camel(f.name): to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [to_data(item) for item in value]
    return _bound(value) if isinstance(value, float) else value


def _bound(value: float) -> float | None:
    return round(value, 4) + 0.0 if math.isfinite(value) else None


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda m: m[1].upper(), name)


def text(report: Report) -> str:
    """Return the whole answer."""
    parts = []
    if len(report.dead) != 1 and not (len(report.alive) == 1 and not report.dead):
        parts.append(_wrap(report.verdict))
    parts += [post(item) for item in report.dead]
    asked_alive = [item for item in report.alive if not report.dead and len(report.alive) == 1]
    parts += [post(item) for item in asked_alive]
    if report.closest:
        parts.append("\n".join(["How close it was", *(_item(c.text) for c in report.closest)]))
    tail = [f"Times are seconds since {report.started}; the records reach to {point(report.end)} s."]
    tail += list(report.notes)
    parts.append("\n".join(_wrap(line) for line in tail))
    return "\n\n".join(parts)


def post(item: PostMortem) -> str:
    """Return one post-mortem."""
    life = f", life {item.life} of {item.lives}" if item.lives > 1 else ""
    head = (
        f"{item.subject}{life}: {item.cause}{'' if item.certain or item.cause == 'alive' else ' (inferred)'}"
    )
    parts = [f"{head}\n{'-' * len(head)}\n{_wrap(item.verdict)}"]
    rows = [(moment(fact.when), fact.text, _proof(fact.proof)) for fact in item.timeline]
    if rows:
        parts.append(_titled("Timeline", _table(rows, ("when", "what", "records"))))
    if item.acted is not None:
        parts.append(_titled("Threshold", "\n".join(_item(line) for line in _threshold(item.acted))))
    if item.ranking is not None:
        parts.append(_titled(f"Ranking on {item.ranking.node}", _ranking(item.ranking)))
    chain = _chain(item)
    if chain:
        parts.append(_titled("The end", "\n".join(_item(line) for line in chain)))
    if item.unknown:
        parts.append(_titled("What can no longer be known", "\n".join(_item(line) for line in item.unknown)))
    if item.saved_by:
        parts.append(_titled("What would have saved it", "\n".join(_item(line) for line in item.saved_by)))
    return "\n\n".join(parts)


def _threshold(acted: Acted) -> list[str]:
    out = []
    if acted.quantity:
        signal = f" of {acted.signal}" if acted.signal else ""
        out.append(
            f"In force: {acted.quantity}{signal}, told by the Evicted message; the kubelet saw {acted.available}."
        )
    if acted.offenders:
        named = "; ".join(acted.offenders)
        out.append(f"The message names: {named} (figures of the containers; it ranks by those of the pods).")
    kind = acted.kind or "unknown"
    out.append(f"Kind: {kind}{'' if acted.certain or not acted.kind else ' (inferred)'}: {acted.how}.")
    if acted.latency is not None and acted.crossing is not None:
        if math.isinf(acted.crossing.low):
            out.append(f"Already crossed when the records begin; acted on {span(acted.latency)} later.")
        else:
            out.append(f"Crossed at {moment(acted.crossing)}, acted on {span(acted.latency)} later.")
    if acted.grace is not None:
        out.append(f"Grace: SIGKILL {point(acted.grace)} s after SIGTERM by the rules: {acted.grace_why}.")
    else:
        out.append(f"Grace: {acted.grace_why}.")
    return out


def _ranking(ranked: Ranking) -> str:
    rows = []
    for n, row in enumerate(ranked.rows, start=1):
        usage = row.usage
        had = size(usage.working_set) if usage.working_set is not None else "-"
        age = span(row.age) if row.age is not None else "-"
        over = signed(usage.excess) if usage.working_set is not None else "-"
        mark = " <- evicted" if row.victim else " (critical)" if usage.critical else ""
        rows.append(
            (
                n,
                f"{row.subject}{mark}",
                row.qos,
                size(usage.request),
                usage.priority,
                had,
                age,
                over,
                size(row.truth) if row.truth is not None else "-",
            )
        )
    heads = (
        "",
        "pod",
        "QoS",
        "request",
        "priority",
        "kubelet had",
        "measured before",
        "over request",
        "cgroup then",
    )
    lines = [_table(rows, heads)]
    if ranked.source == "cgroup":
        lines.append(_wrap("No stats/summary was recorded: these are the cgroups' own figures."))
    if ranked.decisive:
        lines.append(_wrap(f"Decisive: {ranked.decisive}."))
    order = [row.subject for row in ranked.rows if not row.usage.critical]
    if ranked.truth_order and ranked.truth_order[0] != order[0]:
        lines.append(
            _wrap(
                f"By the figures of that moment {ranked.truth_order[0]} would have been first: the lag decided."
            )
        )
    return "\n".join(lines)


def _chain(item: PostMortem) -> list[str]:
    out = []
    if item.reaction is not None:
        out.append(f"Guest: {item.reaction.text}.")
    if item.window is not None:
        out.append(f"Between being told to go and being gone: {span(item.window)}.")
    if item.exit_code is not None:
        out.append(
            f"Container: exit code {item.exit_code}, reason {item.exit_reason or 'none'}{_whose(item)}."
        )
    if item.pod_phase and item.cause != "alive":
        reason = f", reason {item.pod_reason}" if item.pod_reason else ", without a reason"
        launcher = ": virt-launcher outlives its QEMU" if item.cause in OOMS else ""
        over = item.pod_phase in {"Succeeded", "Failed"}
        out.append(f"Pod: {item.pod_phase}{reason if over else f' when last seen{launcher}'}.")
    if item.vmi_phase and item.cause != "alive":
        out.append(f"VMI: {item.vmi_phase}{_lag(item)}.")
    if item.successor is not None:
        next_ = item.successor
        where = (
            "on the same node" if next_.same_node else f"on {next_.node}" if next_.node else "on no node yet"
        )
        down = (
            f", Running {span(next_.down)} after the death"
            if next_.down is not None
            else ", not Running when the records end"
        )
        out.append(f"Restarted by {next_.by}: a new VMI {span(next_.delay)} after the death{down}, {where}.")
        if next_.waited_for:
            out.append(f'It waited: "{next_.waited_for}"')
    elif item.restarted:
        out.append(item.restarted)
    return out


def _whose(item: PostMortem) -> str:
    if item.exit_reason == "ContainerStatusUnknown":
        return " (filled in by the kubelet, which found the container gone)"
    clean = item.reaction is not None and item.reaction.kind == "clean"
    if clean and item.exit_code not in (None, 0):
        return " (virt-launcher's, killed when its guest had shut down already)"
    return ""


def _lag(item: PostMortem) -> str:
    if item.phase_lag is None:
        return ""
    if math.isinf(item.phase_lag.high):
        return f"; {span(item.phase_lag)} after the death it still said so"
    return f"; it left the phase Running only {span(item.phase_lag)} after the death"


def _proof(lines: tuple[int, ...]) -> str:
    return ", ".join(str(line) for line in lines)


def _table(rows: list[tuple[Any, ...]], heads: tuple[str, ...]) -> str:
    drawn: str = tabulate(rows, headers=heads, tablefmt="plain", disable_numparse=True)
    return textwrap.indent("\n".join(line.rstrip() for line in drawn.splitlines()), "  ")


def _titled(title: str, body: str) -> str:
    return f"{title}\n{body}"


def _item(line: str) -> str:
    return textwrap.fill(
        line,
        WIDTH,
        initial_indent="  - ",
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _wrap(line: str) -> str:
    return textwrap.fill(line, WIDTH, break_on_hyphens=False, break_long_words=False)
