"""The view-model of a comparison: groups × metrics, differences against a reference, regressions against a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.report.compare.curve import Curve, curve
from harness.report.compare.metrics import METRICS, Metric, Observation, setting_of, values_of
from harness.report.compare.statistics import ENOUGH, Difference, Summary, compare, summarize
from harness.report.compare.technique import By
from harness.report.errors import ReportError
from harness.report.text import between, number
from harness.report.timeline import natural

TOLERANCE = 0.05
"""A regression is significant, in the wrong direction, and at least this share of the baseline."""
BASELINE = "baseline"
SIGNS = {"significant": "●", "uncertain": "?", "none": "="}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One metric of one group."""

    metric: str
    text: str
    """Mean and interval, as people read them; `not measured`."""
    summary: Summary | None
    difference: Difference | None
    """Against the reference; None for the reference itself, or where one of the two was not measured."""
    said: str
    """The difference in words; '' where there is none to say."""
    sign: str
    better: bool | None
    """Whether a significant difference is an improvement; None where it is none, or neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One row of a comparison."""

    name: str
    runs: tuple[Observation, ...]
    evidence: tuple[str, ...]
    cells: tuple[Cell, ...]
    reference: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A metric that got worse than in the baseline set, or (`possible`) may have."""

    group: str
    metric: str
    text: str
    possible: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything a comparison's forms show."""

    by: By
    reference: str
    metrics: tuple[Metric, ...]
    """Those that at least one run measured."""
    groups: tuple[Group, ...]
    cautions: tuple[str, ...]
    curve: Curve
    """The same runs, group by setting."""
    against: bool = False
    regressions: tuple[Regression, ...] = ()

    @property
    def runs(self) -> int:
        """Runs compared."""
        return sum(len(group.runs) for group in self.groups)

    @property
    def evidence(self) -> tuple[str, ...]:
        """Kinds of evidence among the runs."""
        return tuple(sorted({kind for group in self.groups for kind in group.evidence}))

    @property
    def same(self) -> dict[str, float]:
        """Metric → value, of those that have one value in every run of every group: no table is needed to say so."""
        found: dict[str, float] = {}
        for metric in self.metrics:
            values = [run.values.get(metric.key) for group in self.groups for run in group.runs]
            if (first := values[0]) is not None and values.count(first) == len(values):
                found[metric.key] = first
        return found


def tabulate_runs(
    observations: Sequence[Observation], by: By, *, to: str = "", against: Sequence[Observation] = ()
) -> Comparison:
    """Compare groups of runs. `to`: the reference group (default `baseline`, else the first).

    `against`: runs of a baseline set; each group is held to the group of the same name there. Runs that did not come to
    their end are left out, since what they did not see did not fail to happen, and are named. Raises ReportError.
    """
    broken = sorted({run.run for run in (*observations, *against) if not run.complete})
    observations = [run for run in observations if run.complete]
    against = [run for run in against if run.complete]
    everything = observations
    setting = main_setting(observations, to or BASELINE)
    if not against:
        observations = [run for run in observations if setting_of(run) == setting]
    grouped = _grouped(observations)
    if not grouped:
        why = f"none came to its end: {_some(broken)}" if broken else "no runs"
        raise ReportError(f"nothing to compare: {why}")
    reference = to or (BASELINE if BASELINE in grouped else next(iter(grouped)))
    if reference not in grouped:
        raise ReportError(f"no group is named {reference!r}; there are {', '.join(grouped)}")
    measured = tuple(m for m in METRICS if any(m.key in run.values for run in observations))
    order = [reference, *(name for name in grouped if name != reference)]
    groups = tuple(
        Group(
            name=name,
            runs=tuple(grouped[name]),
            evidence=tuple(sorted({run.evidence for run in grouped[name]})),
            cells=tuple(
                _cell(metric, grouped[name], () if name == reference else grouped[reference])
                for metric in measured
            ),
            reference=name == reference,
        )
        for name in order
    )
    return Comparison(
        by=by,
        reference=reference,
        metrics=measured,
        groups=groups,
        cautions=(
            *_elsewhere(everything, observations, setting),
            *_cautions([*observations, *against], grouped, broken),
        ),
        curve=curve(everything, by, reference),
        against=bool(against),
        regressions=tuple(_regressions(grouped, _grouped(against))),
    )


def main_setting(observations: Sequence[Observation], reference: str) -> str:
    """Return the setting whose runs are compared, for a mean over several loads is of none of them.

    The one with the reference, with most groups, with most runs, and last in natural order, in this order.
    """
    groups: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for run in observations:
        groups.setdefault(setting_of(run), set()).add(run.group)
        counts[setting_of(run)] = counts.get(setting_of(run), 0) + 1
    return max(
        groups, key=lambda s: (reference in groups[s], len(groups[s]), counts[s], natural(s)), default=""
    )


def _elsewhere(
    everything: Sequence[Observation], observations: Sequence[Observation], setting: str
) -> Iterable[str]:
    if len(observations) < len(everything):
        others = sorted({setting_of(run) for run in everything} - {setting}, key=natural)
        shown = "; ".join(other or "no setting" for other in others[:6]) + (" …" if len(others) > 6 else "")
        yield (
            f"the tables of single metrics are of {setting or 'no setting'} alone, {len(observations)} of {len(everything)} runs; "
            f"--where chooses another ({shown})"
        )


def _grouped(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    grouped: dict[str, list[Observation]] = {}
    for run in sorted(observations, key=lambda o: (natural(o.group), o.run)):
        grouped.setdefault(run.group, []).append(run)
    return grouped


def _cell(metric: Metric, runs: Sequence[Observation], reference: Sequence[Observation]) -> Cell:
    values = values_of(runs, metric.key)
    summary = summarize(values, missing=len(runs) - len(values))
    if summary is None:
        return Cell(
            metric=metric.key,
            text="not measured",
            summary=None,
            difference=None,
            said="",
            sign="",
            better=None,
        )
    text = _interval(metric, summary)
    before = values_of(reference, metric.key)
    if not before:
        return Cell(
            metric=metric.key, text=text, summary=summary, difference=None, said="", sign="", better=None
        )
    found = _compare(metric, reference, runs)
    return Cell(
        metric=metric.key,
        text=text,
        summary=summary,
        difference=found,
        said=say(metric, found),
        sign=SIGNS[found.verdict],
        better=_better(metric, found),
    )


def _compare(metric: Metric, reference: Sequence[Observation], runs: Sequence[Observation]) -> Difference:
    blur = max((run.blur.get(metric.key, 0.0) for run in (*reference, *runs)), default=0.0)
    return compare(
        values_of(reference, metric.key), values_of(runs, metric.key), blur=blur, exact=metric.exact
    )


def _interval(metric: Metric, summary: Summary) -> str:
    text = metric.show(summary.mean)
    if summary.low is not None and summary.high is not None and summary.high > summary.low:
        text += f" ({between(metric.show(summary.low), metric.show(summary.high))})"
    elif summary.low is None and (least := min(summary.values)) < (most := max(summary.values)):
        text += f" (runs: {between(metric.show(least), metric.show(most))})"
    missing = f", {summary.missing} not measured" if summary.missing else ""
    return f"{text}, n = {summary.n}{missing}"


def say(metric: Metric, found: Difference) -> str:
    """A difference in words: how much, how sure."""
    if found.verdict == "none" and not found.absolute:
        return found.why
    amount = change(metric, found)
    bounds = ""
    if found.low is not None and found.high is not None and found.high > found.low:
        bounds = f" (99 %: {between(metric.show(found.low), metric.show(found.high))})"
    if found.verdict == "none":
        return f"{found.why}{bounds}"
    if found.verdict == "uncertain":
        return f"{amount}{bounds}, uncertain: {found.why}"
    if found.p is None:
        return f"{amount}, {found.why}"
    return f"{amount}{bounds}, p = {found.p:.2g}, δ = {number(round(found.delta, 2))}"


def change(metric: Metric, found: Difference) -> str:
    """How much a difference is: in per cent of the reference, else as it is."""
    if found.relative is not None:
        return f"{found.relative * 100:+.3g} %".replace("-", "−")
    sign = "+" if found.absolute > 0 else ""
    return sign + metric.show(found.absolute)


def _better(metric: Metric, found: Difference) -> bool | None:
    if found.verdict != "significant" or not metric.better:
        return None
    return (found.absolute > 0) == (metric.better == "more")


def _regressions(
    now: Mapping[str, Sequence[Observation]], then: Mapping[str, Sequence[Observation]]
) -> Iterable[Regression]:
    for name, runs in now.items():
        for metric in METRICS:
            before, after = values_of(then.get(name, ()), metric.key), values_of(runs, metric.key)
            if not metric.better or not before or not after:
                continue
            found = _compare(metric, then[name], runs)
            if found.verdict == "none" or (found.absolute > 0) == (metric.better == "more"):
                continue
            large = found.relative is None or abs(found.relative) >= TOLERANCE
            if found.absolute and large:
                yield Regression(
                    group=name,
                    metric=metric.name,
                    text=f"{metric.name}: {say(metric, found)}",
                    possible=found.verdict != "significant",
                )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (" …" if len(names) > 6 else "")


def _cautions(
    observations: Sequence[Observation], grouped: Mapping[str, Sequence[Observation]], broken: Sequence[str]
) -> Iterable[str]:
    evidence = sorted({run.evidence for run in observations})
    if len(evidence) > 1:
        yield f"runs of different evidence are mixed: {', '.join(evidence)}"
    scenarios = sorted({run.scenario for run in observations})
    if len(scenarios) > 1:
        shown = ", ".join(scenarios[:6]) + (" …" if len(scenarios) > 6 else "")
        yield f"the runs are of {len(scenarios)} scenarios ({shown}): a difference may be theirs"
    settings = sorted({setting_of(run) for run in observations}, key=natural)
    if len(settings) > 1:
        shown = "; ".join(filter(None, settings[:6])) + (" …" if len(settings) > 6 else "")
        yield f"the runs are of {len(settings)} settings ({shown}): --where keeps those of one"
    if broken:
        were = "1 run did" if len(broken) == 1 else f"{len(broken)} runs did"
        yield f"left out: {were} not come to the end: {_some(broken)}"
    small = [name for name, runs in grouped.items() if len(runs) < ENOUGH]
    if small:
        counts = sorted({len(grouped[name]) for name in small})
        of = f"{counts[0]} of each" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        who = f"every group ({of})" if len(small) == len(grouped) else f"{', '.join(small)} ({of})"
        yield f"fewer than five runs: {who}; no difference of theirs is called significant but what follows from the requests"
