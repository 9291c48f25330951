"""The published study: a comparison of techniques for each setting (how full the guests are), and the README's headline.

Pure functions of observations: one a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tabulate import tabulate

from harness.report.compare.bars import draw_bars
from harness.report.compare.metrics import METRICS, RISK, Observation, values_of
from harness.report.compare.table import Comparison, Group, tabulate_runs
from harness.report.html import ENVIRONMENT
from harness.report.markdown import escape
from harness.report.text import number
from harness.report.timeline import natural
from harness.spec.matrix import slug_of
from harness.spec.model import Scenario
from harness.units import MIB

DIRECTORY = "reports/study"
PICTURE = "reports/headline.svg"
FRAGMENT = "reports/headline.md"
COMMANDS = ("density run suites/study --resume", "density site --add runs")
BEGIN, END = "<!-- headline -->", "<!-- /headline -->"
_STYLE = re.compile(r":root \{.*?\n\}\n@media \(prefers-color-scheme: dark\) \{.*?\n\}\n", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The runs of one setting, side by side."""

    name: str
    """`load 90%`; '' where the runs have no setting."""
    slug: str
    comparison: Comparison


def settings(observations: Sequence[Observation]) -> tuple[Setting, ...]:
    """Return one comparison a setting, the one with most techniques first, then by name."""
    grouped: dict[str, list[Observation]] = {}
    for run in observations:
        grouped.setdefault(", ".join(run.settings), []).append(run)
    found = [
        Setting(name=name, slug=slug_of(name) or "all", comparison=tabulate_runs(runs, "technique"))
        for name, runs in grouped.items()
    ]
    return tuple(sorted(found, key=lambda s: (-len(s.comparison.groups), natural(s.name))))


def setup(scenario: Scenario) -> str:
    """Return what all runs have in common, in words: node, threshold, guests."""
    nodes = [
        f"a node of {number((node.memory or 0) / MIB)} MiB"
        + (f" (hard eviction below {hard})" if (hard := _hard(node.kubelet)) else "")
        for node in scenario.nodes
    ]
    guests = sorted({str(_guest(fleet.manifest)) for fleet in scenario.fleet if _guest(fleet.manifest)})
    return (
        f"{' and '.join(nodes)}, filled with guests of {', '.join(guests)} until the scheduler finds no room"
    )


def _hard(kubelet: Mapping[str, object]) -> object:
    hard = kubelet.get("evictionHard")
    return hard.get("memory.available") if isinstance(hard, Mapping) else None


def _guest(manifest: Mapping[str, object]) -> object:
    found: object = manifest
    for key in ("spec", "domain", "memory", "guest"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def render_headline(found: Sequence[Setting], *, what: str) -> str:
    """Return the README's fragment, with links from the repository's root. `what`: of `setup`."""
    main = found[0]
    counts = sorted({len(g.runs) for g in main.comparison.groups})
    runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    load = (
        f", then loaded ({main.name} of each one's MemAvailable; a quarter is the same in all)"
        if main.name
        else ""
    )
    parts = [
        (
            f"What each technique buys on {what}{load}: real guests under this repository's own kubelet (evidence kernel, "
            f"TCG). Means; runs of each: {runs}. [Intervals, tests and runs]({DIRECTORY}/{main.slug}.html)."
        ),
        f"![How many VMIs fit and survive, technique by technique]({PICTURE})",
        _table(main.comparison),
    ]
    if len(found) > 1:
        parts.append(_curve(found))
    return "\n\n".join(parts) + "\n"


def _ordered(comparison: Comparison) -> list[Group]:
    def worth(group: Group) -> tuple[bool, float, str]:
        survive = values_of(group.runs, "survive")
        return (not group.reference, -fmean(survive) if survive else 0.0, group.name)

    return sorted(comparison.groups, key=worth)


def _table(comparison: Comparison) -> str:
    rows = [
        (
            escape(group.name),
            _mean(group, "requested"),
            _mean(group, "fit"),
            _mean(group, "survive"),
            _mean(group, "sold-per-gib"),
            _mean(group, "evictions"),
            _killed(group),
            _mean(group, "touch-p99"),
            _mean(group, "ksm-cpu"),
            str(len(group.runs)),
        )
        for group in _ordered(comparison)
    ]
    return tabulate(
        rows,
        headers=[
            "technique", "one VMI requests", "fit", "survive", "sold per GiB of node", "evicted", "OOM-killed",
            "touch p99", "ksmd CPU", "runs",
        ],
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *("right",) * 9),
    )  # fmt: skip


def _mean(group: Group, key: str) -> str:
    values = values_of(group.runs, key)
    metric = next(m for m in METRICS if m.key == key)
    if not values:
        return "–"
    return metric.show(fmean(values)) if metric.unit else number(round(fmean(values), 2))


def _killed(group: Group) -> str:
    counts = [
        sum(run.values[key] for key in RISK if key != "evictions" and key in run.values) for run in group.runs
    ]
    return number(round(fmean(counts), 2))


def _curve(found: Sequence[Setting]) -> str:
    """Survivors of those that fit, technique by setting, of the techniques that were looked at in several."""
    ordered = sorted(found, key=lambda s: natural(s.name))
    by = {s.name: {g.name: g for g in s.comparison.groups} for s in ordered}
    names = [
        g.name for g in _ordered(found[0].comparison) if sum(g.name in groups for groups in by.values()) > 1
    ]
    rows = [
        (escape(name), *(_survivors(by[s.name][name]) if name in by[s.name] else "–" for s in ordered))
        for name in names
    ]
    heads = [f"[{s.name}]({DIRECTORY}/{s.slug}.html)" for s in ordered]
    return "How full the guests may be: survivors of those that fit.\n\n" + tabulate(
        rows, headers=["technique", *heads], tablefmt="github", disable_numparse=True,
        colalign=("left", *("right",) * len(heads)),
    )  # fmt: skip


def _survivors(group: Group) -> str:
    return f"{_mean(group, 'survive')} of {_mean(group, 'fit')}"


def render_picture(comparison: Comparison) -> str:
    """Return the headline's picture as a file of its own: its colours within, light and dark; '' where there is none."""
    svg = draw_bars(comparison)
    if not svg:
        return ""
    source = ENVIRONMENT.loader.get_source(ENVIRONMENT, "style.css")[0] if ENVIRONMENT.loader else ""
    colours = _STYLE.match(source)
    style = f"<style>\n{colours[0] if colours else ''}svg {{ background: var(--paper); }}\n</style>"
    head, close, rest = svg.partition(">")
    return f"{head}{close}\n{style}{rest}\n"


def placed(readme: str, fragment: str) -> str:
    """Return the README with the fragment between its markers; unchanged where it has none."""
    begin, end = readme.find(BEGIN), readme.find(END)
    if begin < 0 or end < begin:
        return readme
    return f"{readme[: begin + len(BEGIN)]}\n{fragment}{readme[end:]}"
