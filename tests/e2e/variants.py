"""`suites/can-fail.yaml`: scenarios with their cause taken away, read without the harness's own loader where possible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.spec.loader import load_scenarios
from harness.spec.model import Scenario
from tests.e2e.driver import ROOT

SUITES = ROOT / "suites"
FILE = SUITES / "can-fail.yaml"
ELSEWHERE = ("recorded", "study", "manifests")
"""Recordings can't be made otherwise; a study requires nothing that a cause could be taken from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One scenario with its cause taken away."""

    scenario: str
    """Path below suites/."""
    overrides: tuple[str, ...]
    refutes: tuple[str, ...]
    """Checks (`requires/2`) or claims, each refuted; () for a control: at least one requirement is."""
    because: str

    @property
    def path(self) -> Path:
        """The scenario's file."""
        return SUITES / self.scenario


def override(path: str, value: Any) -> str:
    """Return `path=value` as `--set` takes it."""
    return f"{path}={json.dumps(value)}"


def named() -> tuple[Variant, ...]:
    """The variants of the file."""
    found = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tuple(
        Variant(
            scenario=one["scenario"],
            overrides=tuple(override(path, value) for path, value in one["set"].items()),
            refutes=tuple(one["refutes"]),
            because=one["because"],
        )
        for one in found["variants"]
    )


def scenarios() -> Mapping[str, Scenario]:
    """Path below suites/ → the first of each file's scenarios."""
    found = {}
    for path in sorted(SUITES.glob("*/*.yaml")):
        if path.parent.name not in ELSEWHERE and "kind: Scenario" in path.read_text(encoding="utf-8"):
            found[str(path.relative_to(SUITES))] = load_scenarios(path)[0]
    return found


def controls() -> tuple[Variant, ...]:
    """For every scenario that the file does not name and that has a control: its settings."""
    known = {variant.scenario for variant in named()}
    return tuple(
        Variant(
            scenario=name,
            overrides=tuple(
                override(path, value)
                for path, value in scenario.control.items()
                if path not in {"promises", "requires"}
            ),
            refutes=(),
            because="its control's settings",
        )
        for name, scenario in scenarios().items()
        if name not in known and scenario.control is not None
    )
