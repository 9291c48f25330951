"""Findings and statuses: what one run says of one check, and what many runs say of a claim."""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["holds", "differs", "refuted", "undecided", "not-observable", "error"]
WORST_FIRST: tuple[Outcome, ...] = ("error", "refuted", "differs", "undecided", "not-observable", "holds")


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What one run says of one check. For a requirement (`claim` '') `holds` means seen, `refuted` not seen."""

    check: str
    kind: str
    claim: str = ""
    expected: str
    """One line, from the literals."""
    seen: str
    """One line: what was seen, with its uncertainty (`2.2 s (2.1 … 2.4)`), or why nothing could be."""
    outcome: Outcome
    surprise: bool = False
    reason: str = ""
    """Why undecided, not-observable or error; or what is known of a `differs`/`refuted`."""
    low: float | None = None
    high: float | None = None
    """Uncertainty interval of the measured quantity (seconds or bytes), where there is one."""
    margin: float | None = None
    """Distance of the interval to the nearest bound: negative when violated for certain."""
    proof: list[int] = []
    """1-based line numbers of records.ndjson that show it."""
    subjects: list[str] = []
    """VMIs it is about, `<namespace>/<name>`."""


class Findings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`findings.json`. Identical bytes for identical run directories, whatever the machine, time zone or hash seed."""

    schema: int
    run: str
    complete: bool
    """False when the run's `end` record is missing."""
    valid: bool
    """False when the control failed or the run's own health spoilt it; then decided findings became undecided."""
    invalid_because: list[str] = []
    findings: list[Finding] = []
    measures: dict[str, list[float]] | msgspec.UnsetType = msgspec.UNSET
    """Of a control run only: `<measure>/<fleet>` → its interval, for the main run to compare with."""


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is published of a claim."""

    claim: str
    status: str
    """holds, differs, refuted, contested, `unsettled (indicates …)`, not-observable, untestable, undecided, error."""
    evidence: list[str] = []
    """`<run id> (<evidence>): <outcome>`."""
