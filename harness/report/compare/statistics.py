"""What can be said of two groups of runs: a difference, its interval, and whether it is one.

A run is one observation: VMIs of one run share a node and a moment, so counting them as independent would promise more
than was seen. A difference is called significant when three things agree: Mann-Whitney's test at ALPHA (two-sided,
exact for small groups without ties), a bootstrap interval of the difference of means that excludes zero, and a
difference larger than the uncertainty of the single measurements. With fewer than ENOUGH runs a side nothing is:
with 4 against 4 the test can't fall below 0.028, and the bootstrap of so few values draws the same few again: no interval
is given, only the least and the greatest run. Everything is seeded: the same values give the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.stats

_STATS: Any = scipy.stats  # untyped

ALPHA = 0.01
"""Of the test and of the interval of a difference (99 %): a table has a dozen metrics and a dozen techniques."""
HINT = 0.05
"""Below this a difference that is not significant is called uncertain, not absent."""
ENOUGH = 5
RESAMPLES = 1999
_SEED = 20260101

Verdict = Literal["significant", "uncertain", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One group: mean with a 95 % bootstrap interval (None of fewer than ENOUGH runs), and its runs."""

    n: int
    missing: int
    """Runs of the group in which it was not measured."""
    mean: float
    low: float | None
    high: float | None
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A group against the reference."""

    verdict: Verdict
    absolute: float
    relative: float | None
    """(mean − reference) / reference; None where the reference is 0."""
    low: float | None
    high: float | None
    """Bootstrap interval (99 %) of the absolute difference; None where a side has fewer than ENOUGH runs."""
    p: float | None
    delta: float
    """Cliff's delta, the effect size: 1 when every run lies above every run of the reference, −1 below, 0 alike."""
    why: str
    """What kept an uncertain one from being significant; or that nothing was to be told."""


def summarize(values: Sequence[float], *, missing: int = 0) -> Summary | None:
    """Return mean and interval of one group; None where nothing was measured."""
    if not values:
        return None
    data = np.asarray(values, dtype=float)
    mean = float(data.mean())
    low = high = None
    if len(data) >= ENOUGH:
        low, high = _interval((data,), _mean, 0.95) if np.ptp(data) > 0 else (mean, mean)
    return Summary(
        n=len(data), missing=missing, mean=mean, low=low, high=high, values=tuple(map(float, data))
    )


def compare(
    reference: Sequence[float], values: Sequence[float], *, blur: float = 0.0, exact: bool = False
) -> Difference:
    """Compare a group with the reference; both must hold something.

    `blur`: half-width of a single measurement. `exact`: it follows from what is requested, not from chance, so two runs
    of each that agree are enough, and there is nothing to test.
    """
    a, b = np.asarray(reference, dtype=float), np.asarray(values, dtype=float)
    absolute = float(b.mean() - a.mean())
    relative = absolute / float(a.mean()) if a.mean() else None
    signs = np.sign(b[:, None] - a[None, :])
    delta = float(signs.mean()) + 0.0
    few = min(len(a), len(b)) < ENOUGH
    if np.ptp(np.concatenate([a, b])) == 0:
        why = "the same in every run"
        if few and not exact:
            why += f" ({len(a)} and {len(b)}): too few to rule a difference out"
        return _difference(
            "none",
            absolute=0.0,
            relative=0.0,
            bounds=None if few else (0.0, 0.0),
            p=None if few else 1.0,
            delta=0.0,
            why=why,
        )
    constant = bool(np.ptp(a) == 0 and np.ptp(b) == 0)
    if exact and constant and min(len(a), len(b)) > 1:
        return _difference(
            "significant",
            absolute=absolute,
            relative=relative,
            bounds=None if few else (absolute, absolute),
            p=None,
            delta=delta,
            why="follows from the requests: the same in every run of both",
        )
    if few:
        return _difference(
            "uncertain",
            absolute=absolute,
            relative=relative,
            bounds=None,
            p=None,
            delta=delta,
            why=_few(len(a), len(b), delta),
        )
    bounds = (absolute, absolute) if constant else _interval((b, a), _difference_of_means, 1 - ALPHA)
    p = float(_STATS.mannwhitneyu(b, a, alternative="two-sided").pvalue)
    verdict, why = _verdict(p, absolute, bounds, blur)
    return _difference(
        verdict, absolute=absolute, relative=relative, bounds=bounds, p=p, delta=delta, why=why
    )


def _few(reference: int, runs: int, delta: float) -> str:
    """Why nothing is significant yet, and what the few runs show nevertheless."""
    if reference == runs == 1:
        return f"one run of each says nothing of chance; {ENOUGH} each are needed"
    why = f"too few runs ({reference} and {runs}; {ENOUGH} each are needed)"
    if abs(delta) == 1.0:
        return why + f", though every run lies {'above' if delta > 0 else 'below'} every run of the reference"
    return why + f", and they overlap: δ = {delta:.2g}".replace("-", "−")


def _verdict(p: float, absolute: float, bounds: tuple[float, float], blur: float) -> tuple[Verdict, str]:
    excludes = bounds[0] > 0 or bounds[1] < 0
    if p < ALPHA and excludes:
        if abs(absolute) <= blur:
            return "uncertain", "smaller than what one measurement can tell"
        return "significant", ""
    if p < HINT:
        return "uncertain", f"p = {p:.2g}; more runs would tell"
    return "none", "no detectable difference"


def _difference(
    verdict: Verdict,
    *,
    absolute: float,
    relative: float | None,
    bounds: tuple[float, float] | None,
    p: float | None,
    delta: float,
    why: str,
) -> Difference:
    low, high = bounds if bounds is not None else (None, None)
    return Difference(
        verdict=verdict, absolute=absolute, relative=relative, low=low, high=high, p=p, delta=delta, why=why
    )


def _mean(values: Any, axis: int = -1) -> Any:
    return np.mean(values, axis=axis)


def _difference_of_means(values: Any, reference: Any, axis: int = -1) -> Any:
    return np.mean(values, axis=axis) - np.mean(reference, axis=axis)


def _interval(samples: tuple[Any, ...], statistic: Any, level: float) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval; plain percentiles where that is degenerate."""
    method = "BCa" if all(np.ptp(s) > 0 for s in samples) else "percentile"
    found = _STATS.bootstrap(
        samples,
        statistic,
        vectorized=True,
        confidence_level=level,
        n_resamples=RESAMPLES,
        method=method,
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(found.low), float(found.high)
