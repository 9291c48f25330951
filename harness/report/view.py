"""The one view-model behind every form of a run's report: the same words and numbers in HTML, Markdown, JUnit, terminal."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.judge.model import Finding, Findings
from harness.records.model import Provenance
from harness.records.rundir import RunDirectory
from harness.report.errors import ReportError
from harness.spec.model import Claim

OUTCOME_SIGNS = {
    "holds": "✓",
    "differs": "≠",
    "refuted": "✗",
    "undecided": "?",
    "not-observable": "–",
    "error": "!",
}
"""A shape for each outcome, so that no report depends on colour alone."""

SEEN_SIGNS = {**OUTCOME_SIGNS, "refuted": "✗"}

_EVIDENCE = {
    "real": "kubelet and KubeVirt that no one here wrote",
    "kernel": "real guests and kernel under our own kubelet and virt-controller",
    "predicted": "the model",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One check: a promise of the page (with `claim`) or a requirement of the scenario."""

    check: str
    claim: str
    quote: str
    kind: str
    expected: str
    seen: str
    margin: str
    outcome: str
    sign: str
    word: str
    """Outcome as readers say it: for a requirement `seen` or `not seen`."""
    surprise: bool
    reason: str
    proof: tuple[int, ...]
    jq: str
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as every report shows it."""

    run: str
    title: str
    scenario: str
    cluster: str
    evidence: str
    evidence_means: str
    badges: tuple[tuple[str, str], ...]
    complete: bool
    valid: bool
    invalid_because: tuple[str, ...]
    outcome: str
    claims: tuple[Row, ...]
    requirements: tuple[Row, ...]
    summary: tuple[tuple[str, int], ...]
    facts: tuple[tuple[str, str], ...]
    """Provenance, name and value."""
    stated: tuple[tuple[str, str], ...]
    capabilities: tuple[tuple[str, str], ...]
    prediction: str = "no prediction"


def load_view(path: Path, claims: Mapping[str, Claim]) -> RunView:
    """Read a run directory's provenance and findings. Raises ReportError when it was never judged."""
    directory = RunDirectory.open(path)
    findings_file = path / "findings.json"
    try:
        findings = msgspec.json.decode(findings_file.read_bytes(), type=Findings)
    except FileNotFoundError as error:
        raise ReportError(
            f"{path}: not judged yet (no findings.json); run: density replay {shlex.quote(str(path))}"
        ) from error
    except msgspec.DecodeError as error:
        raise ReportError(f"{findings_file}: not readable as findings: {error}") from error
    return make_view(directory.provenance, findings, claims)


def make_view(provenance: Provenance, findings: Findings, claims: Mapping[str, Claim]) -> RunView:
    """Build the view-model. Pure."""
    rows = [_row(f, claims) for f in findings.findings]
    counted = Counter(r.outcome for r in rows if r.claim)
    facts = [
        ("run", provenance.run),
        ("started", provenance.started),
        ("ended", provenance.ended or "not recorded"),
        ("cluster", provenance.cluster),
        *sorted(provenance.versions.items()),
        *sorted(provenance.qualifiers.items()),
        ("seed", str(provenance.seed)),
        ("command", shlex.join(provenance.command) or "not recorded"),
    ]
    if provenance.imported:
        facts.append(("imported from", str(provenance.imported.get("recording", ""))))
        facts.append(("sha256", str(provenance.imported.get("sha256", ""))))
    if provenance.control:
        facts.append(("control run", provenance.control))
    if provenance.control_of:
        facts.append(("control of", provenance.control_of))
    stated = provenance.imported.get("stated") or {}
    return RunView(
        run=provenance.run,
        title=str(provenance.scenario.get("title") or provenance.scenario.get("name") or provenance.run),
        scenario=str(provenance.scenario.get("path", "")),
        cluster=provenance.cluster,
        evidence=provenance.evidence,
        evidence_means=_EVIDENCE[provenance.evidence],
        badges=tuple(sorted(provenance.qualifiers.items())),
        complete=findings.complete,
        valid=findings.valid,
        invalid_because=tuple(findings.invalid_because),
        outcome=provenance.outcome or "incomplete",
        claims=tuple(r for r in rows if r.claim),
        requirements=tuple(r for r in rows if not r.claim),
        summary=tuple((o, counted[o]) for o in OUTCOME_SIGNS if counted[o]),
        facts=tuple(facts),
        stated=tuple((str(k), str(v)) for k, v in sorted(stated.items()))
        if isinstance(stated, Mapping)
        else (),
        capabilities=tuple(sorted(provenance.capabilities.items())),
    )


def _row(finding: Finding, claims: Mapping[str, Claim]) -> Row:
    claim = claims.get(finding.claim)
    word: str = finding.outcome
    if not finding.claim:
        word = {"holds": "seen", "refuted": "not seen"}.get(finding.outcome, finding.outcome)
    elif finding.surprise:
        word = f"{finding.outcome} (surprise)"
    return Row(
        check=finding.check,
        claim=finding.claim,
        quote=claim.quote if claim else "",
        kind=finding.kind,
        expected=finding.expected,
        seen=finding.seen,
        margin="" if finding.margin is None else f"{finding.margin:+.3g}",
        outcome=finding.outcome,
        sign=OUTCOME_SIGNS[finding.outcome],
        word=word,
        surprise=finding.surprise,
        reason=finding.reason,
        proof=tuple(finding.proof),
        jq=proof_command(finding.proof),
        subjects=tuple(finding.subjects),
    )


def proof_command(lines: list[int] | tuple[int, ...]) -> str:
    """The command that prints the records a finding rests on, from inside the run directory."""
    if not lines:
        return ""
    wanted = ";".join(f"{n}p" for n in sorted(lines)[:20])
    return f"sed -n '{wanted}' records.ndjson | jq ."
