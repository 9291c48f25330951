"""From what was seen to a finding: the promise, else what is known of today, else a surprise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from harness.judge.checks import look
from harness.judge.errors import BadLiteral
from harness.judge.interval import Truth, rounded
from harness.judge.model import Finding, Outcome
from harness.judge.seen import Run, Seen
from harness.judge.wording import describe
from harness.records.errors import RecordsError
from harness.spec.expectations import KINDS, Check, Expectation
from harness.spec.model import Claim, Today

_BINDING = ("of", "fleets")
_ASKED = ("since", "at", "during", "until", "order", "to", "measure", "how", "quantile", "object", "type")
"""Fields that say what is looked at, not what must be found."""
_MALFORMED = (RecordsError, AttributeError, KeyError, IndexError, TypeError, ValueError, ArithmeticError)


def bind(today: Today, check: Check) -> Expectation:
    """Make the expectation of a claim's `today` about the subjects of the scenario's check.

    Raises:
        BadLiteral: the literal is no expectation of its kind, or of no subject.
    """
    kind = KINDS.get(today.kind)
    if kind is None:
        raise BadLiteral(f"no expectation is named {today.kind!r}")
    names = {field.name for field in fields(kind)}
    values: dict[str, Any] = {name.replace("-", "_"): value for name, value in today.args.items()}
    mine = {
        f.name: getattr(check.expectation, f.name) for f in fields(check.expectation) if f.name in _BINDING
    }
    if "of" in names:
        fleets = mine.get("fleets", ())
        values.setdefault("of", mine["of"] if "of" in mine else fleets[0] if len(fleets) == 1 else "all")
    if "fleets" in names:
        of = mine.get("of", "all")
        values.setdefault("fleets", mine.get("fleets", () if of in {"all", "victim"} else (of,)))
    if isinstance(check.expectation, kind):
        # What the claim leaves open stays as the scenario asks: when, of what, and against whom is the scenario's.
        for name in _ASKED:
            if name in names:
                values.setdefault(name, getattr(check.expectation, name))
    try:
        return kind(**values)
    except TypeError as error:
        raise BadLiteral(f"today of kind {today.kind!r}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A finding together with what it was drawn from."""

    finding: Finding
    seen: Seen | None


def verdict(run: Run, check: Check, claims: Mapping[str, Claim]) -> Verdict:
    """Judge one check of a run."""
    expected = describe(check.expectation)
    try:
        seen = look(run, check.expectation)
        outcome, surprise, reason, text = _outcome(run, check, claims, seen)
    except (BadLiteral, *_MALFORMED) as error:
        finding = Finding(
            check=check.id,
            kind=check.kind,
            claim=check.claim or "",
            expected=expected,
            seen="could not be judged",
            outcome="error",
            reason=f"{type(error).__name__}: {error}",
        )
        return Verdict(finding=finding, seen=None)
    finding = Finding(
        check=check.id,
        kind=check.kind,
        claim=check.claim or "",
        expected=expected,
        seen=text,
        outcome=outcome,
        surprise=surprise,
        reason=reason,
        low=rounded(seen.interval.low) if seen.interval is not None else None,
        high=rounded(seen.interval.high) if seen.interval is not None else None,
        margin=rounded(seen.margin),
        proof=sorted(set(seen.proof)),
        subjects=list(seen.subjects),
    )
    return Verdict(finding=finding, seen=seen)


def _outcome(
    run: Run, check: Check, claims: Mapping[str, Claim], seen: Seen
) -> tuple[Outcome, bool, str, str]:
    lacking = [
        f"{need} ({run.provenance.capabilities[need]})"
        for need in run.scenario.needs
        if run.provenance.capabilities.get(need, "yes") != "yes"
    ]
    if lacking:
        why = f"this cluster lacks {', '.join(lacking)}"
        return "not-observable", False, why, why
    if seen.truth is None:
        return "not-observable", False, seen.reason, seen.text
    if seen.truth is Truth.STRADDLES:
        return "undecided", False, seen.reason or "the uncertainty straddles the line", seen.text
    if seen.truth is Truth.TRUE:
        return "holds", False, "", seen.text
    if not check.claim:
        return "refuted", False, seen.reason, seen.text
    return _against_today(run, check, claims, seen)


def _against_today(
    run: Run, check: Check, claims: Mapping[str, Claim], seen: Seen
) -> tuple[Outcome, bool, str, str]:
    """Return what a broken promise is: the known difference, or a surprise.

    The promise is broken for certain here. A `today` that what was seen is compatible with (its interval reaches
    into the literal) names the break; only one that is certainly not met makes it a surprise.
    """
    claim = claims.get(check.claim or "")
    column = run.column
    for today in claim.today if claim is not None else ():
        if today.kind not in KINDS or (column not in today.columns and "*" not in today.columns):
            continue
        known = look(run, bind(today, check))
        if known.truth is Truth.TRUE or known.truth is Truth.STRADDLES:
            return today.verdict, False, today.why, seen.text
    why = (
        f"not what is known of {check.claim} today"
        if claim is not None and claim.today
        else "nothing is known of this"
    )
    return "refuted", True, "; ".join(part for part in (why, seen.reason) if part), seen.text
