"""Runs with planted truths: what a comparison must find, or must not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.report.compare.metrics import Observation
from harness.units import MIB

SEED, N, CV = 7, 15, 0.08
"""Of the generator: runs a group, and coefficient of variation of each metric between runs."""


def runs(
    group: str,
    *,
    seed: int = SEED,
    n: int = N,
    cv: float = CV,
    means: Mapping[str, float],
    counts: Mapping[str, float] | None = None,
    **fields: object,
) -> list[Observation]:
    """Runs whose metrics are normal around `means` with coefficient of variation `cv`, and Poisson around `counts`."""
    random = np.random.default_rng(seed)
    drawn = {key: random.normal(mean, mean * cv, n) for key, mean in means.items()}
    drawn |= {key: random.poisson(mean, n).astype(float) for key, mean in (counts or {}).items()}
    values: dict[str, object] = {
        "scenario": "density-study",
        "evidence": "kernel",
        "cluster": "local",
        "complete": True,
        "blur": {},
        "proof": {},
    }
    return [
        Observation(
            run=f"20260101T0000{i:02}Z-{group}-{seed}",
            group=group,
            values={key: float(column[i]) for key, column in drawn.items()},
            **(values | fields),  # type: ignore[arg-type]
        )
        for i in range(n)
    ]


TECHNIQUES: Mapping[str, tuple[float, float, float]] = {
    # MiB sold per GiB, VMIs lost of 10, p99 in ns
    "baseline": (620, 0.01, 4_000),
    "headless": (660, 0.01, 4_000),
    "overcommit-overhead": (900, 0.4, 4_100),
    "overcommit-guest": (1400, 2.0, 6_000),
    "overcommit-percent": (1380, 2.2, 6_100),
    "ksm": (640, 0.02, 4_900),
    "swap": (640, 0.3, 90_000),
    "ksm+swap": (1500, 0.6, 120_000),
    "headless+overcommit-overhead+overcommit-guest": (1620, 3.0, 6_300),
    "free-page-reporting": (630, 0.01, 4_050),
}


def study(*names: str, n: int = 8) -> list[Observation]:
    """A made-up study of every technique (or those named), for pictures and pages."""
    found: list[Observation] = []
    for index, (name, (sold, lost, p99)) in enumerate(TECHNIQUES.items()):
        if names and name not in names:
            continue
        means = {
            "fit": sold / 90,
            "survive": max(0.0, sold / 90 - lost),
            "sold-per-gib": sold * MIB,
            "touch-p50": p99 / 4,
            "touch-p99": p99,
            "detection": 6.0,
            "eviction": 1.9,
        } | ({"ksm-cpu": 0.11} if "ksm" in name else {})
        counts = {
            "evictions": lost,
            "oom-container": 0.0,
            "oom-pod": 0.0,
            "oom-node": lost / 6,
            "oom-guest": 0.0,
        }
        found += runs(name, seed=index, n=n, cv=0.05, means=means, counts=counts)
    return found
