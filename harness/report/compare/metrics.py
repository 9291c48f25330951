"""The metrics by which runs are compared: one value a run, out of the numbers of its report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from harness.records.rundir import RunDirectory
from harness.report.compare.technique import By, group_of
from harness.report.felt import microseconds
from harness.report.measures import measure
from harness.report.number import Number
from harness.report.reading import observe
from harness.report.text import clean, number
from harness.spec.matrix import slug_of
from harness.spec.model import Scenario
from harness.units import MIB

Better = Literal["more", "less", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One column of a comparison."""

    key: str
    name: str
    unit: str
    better: Better
    """Which direction is an improvement; '' where neither is."""
    exact: bool = False
    """Follows from what is requested, not from chance: runs that agree need no test."""
    sources: tuple[str, ...] = ()
    """Keys of the numbers it is the median of; default: its own key."""

    def show(self, value: float) -> str:
        """A value as people read it."""
        if self.unit == "MiB":
            return f"{number(value / MIB)} MiB"
        if self.unit == "ns":
            return ("−" if value < 0 else "") + microseconds(abs(value))
        if self.unit == "CPU":
            return f"{number(value * 100)} %"
        return f"{number(value)} {self.unit}".rstrip()


METRICS: tuple[Metric, ...] = (
    Metric(key="requested", name="memory requested for one VMI", unit="MiB", better="less", exact=True),
    Metric(key="fit", name="VMIs that fit", unit="", better="more", exact=True),
    Metric(key="survive", name="VMIs that survive the load", unit="", better="more"),
    Metric(
        key="sold-per-gib", name="guest memory sold per GiB of node", unit="MiB", better="more", exact=True
    ),
    Metric(key="evictions", name="evictions", unit="", better="less"),
    Metric(key="oom-container", name="OOM kills of a container's limit", unit="", better="less"),
    Metric(key="oom-pod", name="OOM kills of a pod's limit", unit="", better="less"),
    Metric(key="oom-node", name="OOM kills of the node", unit="", better="less"),
    Metric(key="oom-guest", name="guests that ran out of their own memory", unit="", better="less"),
    Metric(key="touch-p50", name="touch latency p50", unit="ns", better="less", sources=("touch-p50-run",)),
    Metric(key="touch-p99", name="touch latency p99", unit="ns", better="less", sources=("touch-p99-run",)),
    Metric(key="ksm-saved", name="memory merged away by KSM, at most", unit="MiB", better=""),
    Metric(key="ksm-cpu", name="CPU of ksmd", unit="CPU", better="less"),
    Metric(key="swap-peak", name="memory in swap, at most", unit="MiB", better=""),
    Metric(key="detection", name="threshold crossed to told to go", unit="s", better="less"),
    Metric(key="eviction", name="told to go to gone", unit="s", better=""),
)
RISK = ("evictions", "oom-container", "oom-pod", "oom-node", "oom-guest")
"""What takes a VMI away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One run in a comparison."""

    run: str
    group: str
    scenario: str
    evidence: str
    cluster: str
    complete: bool
    values: dict[str, float]
    """Metric → value; missing where it was not measured."""
    blur: dict[str, float]
    """Metric → half-width of the interval of a single measurement."""
    proof: dict[str, tuple[int, ...]]
    settings: tuple[str, ...] = ()
    """What its file's matrix varies beside the technique: `load 90%`."""

    @property
    def risk(self) -> float | None:
        """Share of the VMIs that fit and were taken away."""
        fit = self.values.get("fit")
        known = [self.values[key] for key in RISK if key in self.values]
        return min(1.0, sum(known) / fit) if fit and known else None


def observation(path: Path, by: By) -> Observation:
    """Read one run directory. Raises RecordsError, ReportError."""
    directory = RunDirectory.open(path)
    provenance = directory.provenance
    observed = observe(directory)
    numbers = measure(observed, directory.records_path.name)
    seen = [vmi.object for vmi in observed.run.timeline.vmis.values()]
    values: dict[str, float] = {}
    blur: dict[str, float] = {}
    proof: dict[str, tuple[int, ...]] = {}
    for metric in METRICS:
        found = [n for n in numbers if n.key in (metric.sources or (metric.key,)) and n.value is not None]
        if found:
            values[metric.key] = float(median(n.value for n in found if n.value is not None))
            blur[metric.key] = _half_width(found)
            proof[metric.key] = tuple(sorted({line for n in found for line in n.proof}))[:20]
    return Observation(
        run=clean(directory.path.name),
        group=clean(group_of(by, provenance, observed.run.scenario, seen)),
        scenario=clean(file_name(observed.run.scenario)),
        evidence=provenance.evidence,
        cluster=clean(provenance.cluster),
        complete=observed.run.timeline.complete,
        values=values,
        blur=blur,
        proof=proof,
        settings=tuple(
            clean(f"{axis} {label}") for axis, label in observed.run.scenario.matrix.items() if axis != by
        ),
    )


def setting_of(run: Observation) -> str:
    """Return everything its matrix varies beside the groups, as one text; '' where it varies nothing."""
    return ", ".join(run.settings)


def file_name(scenario: Scenario) -> str:
    """Return the name its file gives all its scenarios: without values of the matrix and the repeat."""
    name = scenario.name
    if scenario.repeat:
        name = name.removesuffix(f"-r{scenario.repeat}")
    labels = "".join(f"-{slug_of(label)}" for label in scenario.matrix.values())
    return name.removesuffix(labels)


def _half_width(found: Iterable[Number]) -> float:
    widths = [(n.high - n.low) / 2 for n in found if n.low is not None and n.high is not None]
    return max(widths, default=0.0)


def values_of(runs: Sequence[Observation], key: str) -> list[float]:
    """Return a metric's values over runs, leaving out those that did not measure it."""
    return [run.values[key] for run in runs if key in run.values]
