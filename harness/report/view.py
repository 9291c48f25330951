"""The one view-model behind every form of a run's report: the same words and numbers in HTML, Markdown, JUnit, terminal."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from harness.judge.model import Finding, Findings, Outcome
from harness.judge.status import Evidence
from harness.records.model import SCHEMA_VERSION, Provenance
from harness.records.rundir import RunDirectory
from harness.report.deaths import Death, deaths
from harness.report.errors import ReportError
from harness.report.measures import measure
from harness.report.number import Number
from harness.report.proof import CITED, SHOWN, Cited, digest, proof_command
from harness.report.reading import Observed, observe
from harness.report.text import clean, gathered, margin
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
    low: float | None
    high: float | None
    outcome: Outcome
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
    evidence: Evidence
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
    records: str = "records.ndjson"
    """The record file that line numbers count in, relative to where commands are to be run."""
    problems: tuple[str, ...] = ()
    """What is missing or unreadable in the run directory."""
    numbers: tuple[Number, ...] = ()
    deaths: tuple[Death, ...] = ()
    deaths_note: str = ""
    """Why deaths are not explained, where they are not."""
    cited: tuple[Cited, ...] = ()
    """The records that rows and numbers rest on, in order of lines."""
    uncited: int = 0
    """How many more there are."""

    def of_group(self, group: str) -> tuple[Number, ...]:
        """Numbers of one group."""
        return tuple(n for n in self.numbers if n.group == group)

    @property
    def quoted(self) -> frozenset[int]:
        """Lines that the page quotes, and can be linked to."""
        return frozenset(c.line for c in self.cited)


def load_findings(path: Path) -> Findings:
    """Read a run directory's findings. Raises ReportError when it was never judged, or by a newer program."""
    findings_file = path / "findings.json"
    try:
        findings = msgspec.json.decode(findings_file.read_bytes(), type=Findings)
    except FileNotFoundError as error:
        raise ReportError(
            f"{path}: not judged yet (no findings.json); run: density replay {shlex.quote(str(path))}"
        ) from error
    except OSError as error:
        raise ReportError(f"{findings_file}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReportError(f"{findings_file}: not readable as findings: {error}") from error
    if findings.schema > SCHEMA_VERSION:
        raise ReportError(
            f"{findings_file}: written with schema {findings.schema}, this program reads up to {SCHEMA_VERSION}; "
            "use a newer kubevirt-density"
        )
    return findings


def full_view(
    directory: RunDirectory, claims: Mapping[str, Claim], *, records: str = ""
) -> tuple[RunView, Observed]:
    """Build the whole view-model of a judged run, reading its records twice (once to measure, once to cite).

    `records`: how commands name the record file, where that is not simply its name. Raises ReportError, RecordsError.
    """
    records = records or directory.records_path.name
    view = make_view(directory.provenance, load_findings(directory.path), claims, records=records)
    observed = observe(directory)
    numbers, problems = _measured(observed, records)
    dead, note = deaths(directory, observed)
    if not directory.provenance.scenario.get("title"):
        view = replace(view, title=clean(observed.run.scenario.title))
    wanted = list(dict.fromkeys(_lines(view, numbers, dead)))
    kept = set(wanted[:CITED])
    cited = [digest(line, record) for line, record in directory.records() if line in kept] if kept else []
    return (
        replace(
            view,
            problems=(*observed.problems, *problems),
            numbers=numbers,
            deaths=dead,
            deaths_note=note,
            cited=tuple(cited),
            uncited=len(wanted) - len(kept),
        ),
        observed,
    )


def _measured(observed: Observed, records: str) -> tuple[tuple[Number, ...], list[str]]:
    """Return the numbers, or none and why: findings are shown even where an object is not of its kind's shape."""
    try:
        found = measure(observed, records)
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        return (), [f"numbers can't be made: {type(error).__name__}: {clean(str(error), most=200)}"]
    return tuple(replace(n, subject=clean(n.subject), note=clean(n.note)) for n in found), []


def _lines(view: RunView, numbers: tuple[Number, ...], dead: tuple[Death, ...]) -> Iterator[int]:
    """Lines to quote, the most telling first: of findings, deaths, numbers of the run, numbers of single VMIs."""
    for row in (*view.claims, *view.requirements):
        yield from row.proof[:SHOWN]
    for death in dead:
        yield from death.proof[:SHOWN]
    for whole in (True, False):
        for item in numbers:
            if whole is not bool(item.subject):
                yield from item.proof


def make_view(
    provenance: Provenance,
    findings: Findings,
    claims: Mapping[str, Claim],
    *,
    records: str = "records.ndjson",
) -> RunView:
    """Build the view-model without what needs the records. Pure."""
    rows = [_row(f, claims, records) for f in findings.findings]
    counted = Counter[str](r.outcome for r in rows if r.claim)
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
        run=clean(provenance.run),
        title=clean(
            str(provenance.scenario.get("title") or provenance.scenario.get("name") or provenance.run)
        ),
        scenario=clean(str(provenance.scenario.get("path", ""))),
        cluster=clean(provenance.cluster),
        evidence=provenance.evidence,
        evidence_means=_EVIDENCE[provenance.evidence],
        badges=_cleaned(sorted(provenance.qualifiers.items())),
        complete=findings.complete,
        valid=findings.valid,
        invalid_because=tuple(map(clean, findings.invalid_because)),
        outcome=clean(provenance.outcome) or "incomplete",
        claims=tuple(r for r in rows if r.claim),
        requirements=tuple(r for r in rows if not r.claim),
        summary=tuple((o, counted[o]) for o in OUTCOME_SIGNS if counted[o]),
        facts=_cleaned(facts),
        records=records,
        stated=_cleaned((str(k), _stated(v)) for k, v in sorted(stated.items()) if v)
        if isinstance(stated, Mapping)
        else (),
        capabilities=_cleaned(sorted(provenance.capabilities.items())),
    )


def _cleaned(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((clean(str(k)), clean(str(v))) for k, v in pairs)


def _stated(value: object) -> str:
    """What was stated of a recording, as JSON where it is no word."""
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()


def _row(finding: Finding, claims: Mapping[str, Claim], records: str) -> Row:
    claim = claims.get(finding.claim)
    word: str = finding.outcome
    if not finding.claim:
        word = {"holds": "seen", "refuted": "not seen"}.get(finding.outcome, finding.outcome)
    elif finding.surprise:
        word = f"{finding.outcome} (surprise)"
    return Row(
        check=clean(finding.check),
        claim=clean(finding.claim),
        quote=claim.quote if claim else "",
        kind=clean(finding.kind),
        expected=clean(finding.expected),
        seen=gathered(clean(finding.seen)),
        margin=margin(finding.margin),
        low=finding.low,
        high=finding.high,
        outcome=finding.outcome,
        sign=OUTCOME_SIGNS[finding.outcome],
        word=word,
        surprise=finding.surprise,
        reason=clean(finding.reason),
        proof=tuple(finding.proof),
        jq=proof_command(finding.proof, records),
        subjects=tuple(map(clean, finding.subjects)),
    )
