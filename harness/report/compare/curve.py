"""How full the guests may be: each group at each setting (a load), and the answer in words.

A setting is what the file's matrix varies beside the groups: `load 90%`. Values are means over runs; where the runs
differ, the least and the greatest of them stand beside the mean. Pure functions of observations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.report.compare.metrics import METRICS, RISK, Metric, Observation, setting_of
from harness.report.text import between, number
from harness.report.timeline import natural

SHOWN = ("fit", "survive", "evictions", "killed", "touch-p50", "touch-p99", "ksm-cpu", "swap-peak")
"""Columns of the table; `killed` is every OOM kill, of whatever scope."""
HEADS = {
    "fit": "fit",
    "survive": "survive",
    "evictions": "evicted",
    "killed": "OOM-killed",
    "touch-p50": "stall p50",
    "touch-p99": "stall p99",
    "ksm-cpu": "ksmd CPU",
    "swap-peak": "swap, at most",
}
_SCOPES = {
    "evictions": "evicted by the kubelet",
    "oom-container": "OOM-killed at the container's limit",
    "oom-pod": "OOM-killed at the pod's limit",
    "oom-node": "OOM-killed by the node's kernel",
    "oom-guest": "out of the guest's own memory",
}
_WIDE = 6
"""Settings that stand side by side; of more, and of fewer groups, rows and columns change places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One number over the runs of a cell."""

    mean: float
    least: float
    most: float
    n: int

    def text(self, metric: Metric | None) -> str:
        """Mean, and the runs' range where they differ."""

        def show(value: float) -> str:
            return metric.show(value) if metric is not None and metric.unit else number(round(value, 2))

        shown = show(self.mean)
        if show(self.least) == show(self.most):
            return shown
        return f"{shown} ({between(show(self.least), show(self.most))})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One group at one setting."""

    setting: str
    n: int
    values: dict[str, Spread]
    """Of `SHOWN` and of each kind of `RISK`; missing where it was not measured."""
    losses: tuple[float, ...] = ()
    """How many of those that fit did not survive, run by run."""

    def mean(self, key: str) -> float | None:
        """Mean of a value, None where it was not measured."""
        found = self.values.get(key)
        return None if found is None else found.mean

    @property
    def lost(self) -> float:
        """How many of those that fit did not survive, in the mean; 0 where it is next to nothing."""
        fit, survive = self.mean("fit"), self.mean("survive")
        lost = 0.0 if fit is None or survive is None else fit - survive
        return lost if lost > 0.005 else 0.0

    @property
    def counted(self) -> bool:
        """Whether both who fit and who survived was counted."""
        return "fit" in self.values and "survive" in self.values

    @property
    def text(self) -> str:
        """`10 of 11`."""
        if not self.counted:
            return "–"
        return f"{self.values['survive'].text(None)} of {self.values['fit'].text(None)}"

    def shown(self, key: str) -> str:
        """A column of the table."""
        found = self.values.get(key)
        if found is None:
            return "–"
        text = found.text(next((m for m in METRICS if m.key == key), None))
        if key == "killed" and found.mean:
            scopes = [
                k.removeprefix("oom-") for k in RISK if k != "evictions" and k in self.values and self.mean(k)
            ]
            text += f" ({', '.join(scopes)})"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One group."""

    name: str
    reference: bool
    cells: tuple[Cell | None, ...]
    """One a setting, in the curve's order; None where no run was made."""

    @property
    def fit(self) -> float | None:
        """The most that fit at any setting, in the mean."""
        found = [fit for cell in self.cells if cell is not None and (fit := cell.mean("fit")) is not None]
        return max(found, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Groups × settings."""

    by: str
    settings: tuple[str, ...]
    """In natural order: 25 % before 100 %."""
    rows: tuple[Row, ...]
    """The reference first, then those that fit most."""

    @property
    def several(self) -> bool:
        """Whether there is a curve to draw: more than one setting."""
        return len(self.settings) > 1


def curve(observations: Sequence[Observation], by: str, reference: str) -> Curve:
    """Return every group at every setting."""
    runs = [(run.group, setting_of(run), run) for run in observations if run.complete]
    groups, settings = {g for g, _, _ in runs}, {s for _, s, _ in runs}
    if len(settings) > _WIDE and len(groups) < len(settings):
        # --by load of fourteen techniques: the loads stand side by side, whichever of the two makes the groups.
        axes = {setting.partition(" ")[0] for setting in settings if setting and ", " not in setting}
        axis = axes.pop() if len(axes) == 1 and all(", " not in s for s in settings) else ""
        runs = [(s.removeprefix(f"{axis} ") if axis else s, f"{by} {g}", run) for g, s, run in runs]
        groups, settings, by = {g for g, _, _ in runs}, {s for _, s, _ in runs}, axis or "setting"
        reference = "baseline" if by == "technique" else ""
    columns = tuple(sorted(settings, key=natural))
    rows = [
        Row(
            name=name,
            reference=name == reference,
            cells=tuple(
                _cell(setting, [run for group, of, run in runs if (group, of) == (name, setting)])
                for setting in columns
            ),
        )
        for name in groups
    ]
    rows.sort(key=lambda row: (not row.reference, -(row.fit or 0), *_least_lost(row), natural(row.name)))
    return Curve(by=by, settings=columns, rows=tuple(rows))


def _least_lost(row: Row) -> tuple[float]:
    return (sum(cell.lost for cell in row.cells if cell is not None),)


def _cell(setting: str, runs: Sequence[Observation]) -> Cell | None:
    if not runs:
        return None
    values: dict[str, Spread] = {}
    for key in dict.fromkeys((*SHOWN, *RISK)):
        found = [value for run in runs if (value := _value(run, key)) is not None]
        if found:
            values[key] = Spread(mean=fmean(found), least=min(found), most=max(found), n=len(found))
    losses = tuple(
        max(0.0, run.values["fit"] - run.values["survive"])
        for run in runs
        if "fit" in run.values and "survive" in run.values
    )
    return Cell(setting=setting, n=len(runs), values=values, losses=losses)


def _value(run: Observation, key: str) -> float | None:
    if key != "killed":
        return run.values.get(key)
    kinds = [run.values[kind] for kind in RISK if kind != "evictions" and kind in run.values]
    return sum(kinds) if kinds else None


def answers(curve: Curve) -> tuple[str, ...]:
    """How far memory can be sold, and what dies first: one sentence a group, those that fit most first.

    Groups of which the same is to be said share a sentence. Empty where nobody counted who fit and who survived.
    """
    reference, base = next(((row.name, row.fit) for row in curve.rows if row.reference), ("", None))
    said: dict[tuple[str, str], list[str]] = {}
    named = curve.several or curve.by == "technique"  # of loads at one technique, the technique says nothing
    for row in sorted(curve.rows, key=lambda row: -(row.fit or 0)):
        cells = [cell for cell in row.cells if cell is not None and cell.counted]
        if not cells or row.fit is None:
            continue
        times = ""
        if base and not row.reference and row.fit != base:
            times = f", {number(round(row.fit / base, 2))} times as many as {reference}"
        said.setdefault((f"{number(round(row.fit, 2))} fit{times}", _fate(cells, named=named)), []).append(
            row.name
        )
    return tuple(f"{', '.join(names)}: {fit}; {fate}." for (fit, fate), names in said.items())


def _fate(cells: Sequence[Cell], *, named: bool) -> str:
    """What becomes of those that fit, from the lowest setting to the highest."""
    first = next((index for index, cell in enumerate(cells) if cell.lost), None)
    if first is None:
        if len(cells) == 1:
            return f"all survive{f' at {cells[0].setting}' if named and cells[0].setting else ''}"
        return f"all survive at {_listed([cell.setting for cell in cells])}"
    before = f"all survive up to {cells[first - 1].setting}; " if first else ""
    losses: list[tuple[str, list[str]]] = []
    for cell in cells[first:]:
        if losses and losses[-1][0] == _loss(cell):
            losses[-1][1].append(cell.setting)
        else:
            losses.append((_loss(cell), [cell.setting]))
    return before + "; ".join(
        f"at {_listed(settings)} {loss}" if named and settings[0] else loss for loss, settings in losses
    )


def _listed(settings: Sequence[str]) -> str:
    """`load 25%, 50% and 90%`: the axis once, where it is the same."""
    if len(settings) == 1:
        return settings[0]
    axes = {setting.partition(" ")[0] for setting in settings}
    short = [s.partition(" ")[2] or s for s in settings[1:]] if len(axes) == 1 else list(settings[1:])
    return f"{', '.join((settings[0], *short[:-1]))} and {short[-1]}"


def _loss(cell: Cell) -> str:
    if not cell.lost:
        return "all survive"
    lost = sorted(loss for loss in cell.losses if loss)
    few, many = number(round(lost[0], 2)), number(round(lost[-1], 2))
    of = f"{few if few == many else f'{few} to {many}'} of {number(round(cell.mean('fit') or 0, 2))}"
    where = f" in {len(lost)} of {len(cell.losses)} runs" if len(lost) < len(cell.losses) else ""
    kinds = "; ".join(_kinds(cell)) or "how is not recorded"
    runs = f"mean of {cell.n} runs" if cell.n > 1 else "one run"
    return f"{of} {'is' if few == many == '1' else 'are'} lost{where} ({kinds}, {runs})"


def _kinds(cell: Cell) -> Iterator[str]:
    for key in RISK:
        mean = cell.mean(key)
        if mean:
            yield f"{number(round(mean, 2))} {_SCOPES[key]}"
