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
from harness.report.compare.curve import Curve, answers, curve
from harness.report.compare.forms import QUESTION, curve_parts, glossary, render_html
from harness.report.compare.grid import draw_grid
from harness.report.compare.metrics import METRICS, RISK, Observation, setting_of, values_of
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
LOADS = f"{DIRECTORY}/index.html"
"""All settings together."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All of it."""

    settings: tuple[Setting, ...]
    """Not empty; the one with most techniques first."""
    what: str
    """What all runs have in common, of `setup`."""

    @property
    def curve(self) -> Curve:
        """Every technique at every setting."""
        runs = [run for setting in self.settings for group in setting.comparison.groups for run in group.runs]
        main = self.settings[0].comparison
        return curve(runs, main.by, main.reference)

    @property
    def intro(self) -> str:
        """Node, guests and load, in words."""
        if not self.settings[0].name:
            return self.what
        return f"{self.what}, then loaded to a share of each one's MemAvailable, a quarter of which is the same in all"

    @property
    def answers(self) -> tuple[str, ...]:
        """How far, and what dies first."""
        return answers(self.curve)

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """Name and page of each setting, relative to `reports/`; of several, the page of all together first."""
        pages = [
            (s.name or "all runs", f"study/{s.slug}.html")
            for s in sorted(self.settings, key=lambda s: natural(s.name))
        ]
        return (*([("all loads together", "study/index.html")] if len(pages) > 1 else []), *pages)


def settings(observations: Sequence[Observation]) -> tuple[Setting, ...]:
    """Return one comparison a setting, the one with most techniques first, then by name."""
    grouped: dict[str, list[Observation]] = {}
    for run in observations:
        grouped.setdefault(setting_of(run), []).append(run)
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


def pages(study: Study) -> dict[str, str]:
    """Return every file made of the study but the README: path from the repository's root → text."""
    several = len(study.settings) > 1
    found = {
        f"{DIRECTORY}/{setting.slug}.html": render_html(
            setting.comparison,
            title=f"The density study{': ' if setting.name else ''}{setting.name}",
            intro=f"{study.intro[0].upper()}{study.intro[1:]}.",
            home=("index.html", "All loads") if several else ("../index.html", "All sentences"),
            data="../data/study/",
            commands=COMMANDS,
        )
        for setting in study.settings
    }
    if several:
        found[LOADS] = _loads(study)
    return found | {FRAGMENT: render_headline(study), PICTURE: render_picture(study)}


def _loads(study: Study) -> str:
    """Return the page of all settings together."""
    return ENVIRONMENT.get_template("study.html.j2").render(
        title="The density study: how full the guests may be",
        intro=f"{study.intro[0].upper()}{study.intro[1:]}.",
        home="../index.html",
        commands=COMMANDS,
        pages={s.name: f"{s.slug}.html" for s in sorted(study.settings, key=lambda s: natural(s.name))},
        **curve_parts(study.curve),
    )


def render_headline(study: Study) -> str:
    """Return the README's fragment, with links from the repository's root."""
    main, whole = study.settings[0], study.curve
    counts = sorted({cell.n for row in whole.rows for cell in row.cells if cell is not None})
    runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    parts = [
        f"**{QUESTION}?** On {study.intro}:",
        "\n".join(f"- {escape(line)}" for line in study.answers),
        f"![How many VMIs fit and survive, technique by technique]({PICTURE})",
        _curve(study) if whole.several else "",
        f"What each technique asks and costs{' at ' + main.name if main.name else ''}:",
        _table(main.comparison),
        "; ".join(f"`{name}`: {escape(title)}" for name, title in glossary(whole)) + ".",
        (
            "Real guests under this repository's own kubelet (evidence kernel, TCG). Stall: touch latency of held pages. "
            "Means; runs of each: "
            f"{runs}. [Intervals, tests and runs]({DIRECTORY}/{main.slug}.html)."
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


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
            "stall p99", "ksmd CPU", "runs",
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


def _curve(study: Study) -> str:
    """Survivors of those that fit, technique by setting, of the techniques that were looked at in several."""
    whole, linked = study.curve, {s.name: f"{DIRECTORY}/{s.slug}.html" for s in study.settings}
    rows = [
        (escape(row.name), *("–" if cell is None else cell.text for cell in row.cells))
        for row in whole.rows
        if sum(cell is not None for cell in row.cells) > 1
    ]
    heads = [f"[{name or 'no setting'}]({linked[name]})" for name in whole.settings]
    return (
        f"How full the guests may be: survivors of those that fit ([with evictions, OOM kills and stalls]({LOADS})).\n\n"
    ) + tabulate(
        rows, headers=["technique", *heads], tablefmt="github", disable_numparse=True,
        colalign=("left", *("right",) * len(heads)),
    )  # fmt: skip


def render_picture(study: Study) -> str:
    """Return the headline's picture as a file of its own: its colours within, light and dark; '' where there is none."""
    svg = draw_grid(study.curve) or draw_bars(study.settings[0].comparison)
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
