"""Whether what came out is what must come out: requirements, and for scenarios of suites/ the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.judge.model import Finding, Findings
from harness.judge.status import by_claim
from harness.judge.wording import beyond
from harness.records.model import Provenance
from harness.resources import data_dir
from harness.spec.baseline import Baseline, deviations, load_baseline
from harness.spec.loader import NODE_MEMORY, SETTINGS
from harness.spec.model import Scenario

Result = Literal["pass", "fail", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What one claim or requirement comes to: a test of its own for pytest and JUnit."""

    name: str
    """Claim id, or the check's id for a requirement."""
    result: Result
    text: str
    """Why, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a scenario's run comes to."""

    items: tuple[Item, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(item.result != "fail" for item in self.items)

    @property
    def failures(self) -> tuple[Item, ...]:
        """What failed."""
        return tuple(item for item in self.items if item.result == "fail")


def in_suites(path: Path) -> bool:
    """Whether a scenario file is one of suites/, so that the baseline speaks of it."""
    try:
        return path.resolve().is_relative_to(data_dir("suites").resolve())
    except FileNotFoundError:
        return False


def baseline_for(scenario: Scenario, provenance: Provenance) -> Baseline | None:
    """Return the baseline that a run must meet: suites/baseline.yaml for runs of ours of scenarios in suites/, else None.

    It says what our clusters must show; an imported recording is held to what its scenario requires. Raises SpecError.
    """
    if provenance.imported or not in_suites(Path(scenario.source.path)):
        return None
    return load_baseline()


def verdict(
    scenario: Scenario, findings: Findings, provenance: Provenance, baseline: Baseline | None
) -> Verdict:
    """Return what the findings of a run come to."""
    lacks = _lacks(scenario, provenance)
    by_check = {f.check: f for f in findings.findings}
    items = [_requirement(c.id, by_check.get(c.id), lacks, findings) for c in scenario.requires]
    outcomes: Mapping[str, str] = by_claim(findings.findings)
    for claim in dict.fromkeys(c.claim for c in scenario.promises if c.claim):
        outcome = outcomes.get(claim, "none")
        seen = "; ".join(dict.fromkeys(f.seen for f in findings.findings if f.claim == claim))
        if baseline is None:
            items.append(Item(name=claim, result="pass", text=f"{outcome}: {seen}"))
            continue
        wrong = deviations(
            baseline,
            cluster=provenance.cluster,
            promised={claim},
            findings=outcomes,
            capabilities=provenance.capabilities,
        )
        if wrong:
            why = _why(findings, claim, seen)
            items.append(Item(name=claim, result="fail", text=f"{wrong[0]}; {why}{seen}"))
        elif outcome in {"not-observable", "none"} and not _expects_nothing(baseline, provenance, claim):
            items.append(Item(name=claim, result="skip", text=f"not observable: {seen}"))
        else:
            items.append(Item(name=claim, result="pass", text=f"{outcome}: {seen}"))
    return Verdict(items=tuple(items))


def _expects_nothing(baseline: Baseline, provenance: Provenance, claim: str) -> bool:
    expected = baseline.get(provenance.cluster, {}).get(claim)
    return expected is not None and "not-observable" in expected.finding


def _requirement(name: str, finding: Finding | None, lacks: str, findings: Findings) -> Item:
    if finding is None:
        return Item(name=name, result="fail", text="was not judged")
    text = f"{finding.expected}; seen: {finding.seen}"
    if finding.outcome == "holds":
        return Item(name=name, result="pass", text=text)
    if finding.outcome == "not-observable" and lacks:
        # Only what the scenario needs excuses a requirement that could not be seen.
        return Item(name=name, result="skip", text=lacks)
    because = "; ".join(findings.invalid_because)
    reason = beyond(finding.reason or because, text)
    return Item(name=name, result="fail", text=f"{finding.outcome}: {text}{f' ({reason})' if reason else ''}")


def _lacks(scenario: Scenario, provenance: Provenance) -> str:
    missing = [
        f"{need}: {provenance.capabilities[need]}"
        for need in (*scenario.needs, NODE_MEMORY, *SETTINGS)
        if provenance.capabilities.get(need, "yes") != "yes"
    ]
    where = "machine" if provenance.cluster == "local" else "cluster"
    return f"this {where} lacks {', '.join(missing)}" if missing else ""


def _why(findings: Findings, claim: str, seen: str) -> str:
    """The first reason that says more than what was seen."""
    reasons = [beyond(f.reason, seen) for f in findings.findings if f.claim == claim]
    return next((f"{reason}; " for reason in reasons if reason), "")
