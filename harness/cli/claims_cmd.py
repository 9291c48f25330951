"""`density claims`: list the claims, explain one, or hold a page against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.spec.model import Claim


class Output(StrEnum):
    """Forms of the coverage."""

    TABLE = "table"
    JSON = "json"


def claims(
    claim: Annotated[str | None, typer.Argument(metavar="[ID]", help="Explain this claim.")] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            help="Exit 1 on a sentence of this page that no claim covers and on a quote that is not on it."
        ),
    ] = None,
    *,
    coverage: Annotated[
        bool,
        typer.Option(
            "--coverage",
            help="Which claim has which evidence, and what is missing. Exit 1 unless all are settled.",
        ),
    ] = False,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--runs", help="With --coverage: also this run, or directory of runs (repeatable)."),
    ] = None,
    output: Annotated[Output, typer.Option("-o", "--output", help="With --coverage.")] = Output.TABLE,
    root: Annotated[
        Path, typer.Option("--root", help="With --coverage: the checkout with the committed runs.")
    ] = Path(),
) -> None:
    """List the claims of the documentation page, explain one, check that they cover a page, or say what is settled."""
    if coverage:
        from harness.cli.coverage import coverage_command  # noqa: PLC0415

        raise typer.Exit(coverage_command(runs or (), form=output.value, root=root))
    from harness.spec.claims import load_claims  # noqa: PLC0415 - `density --help` stays fast
    from harness.spec.errors import SpecError, closest  # noqa: PLC0415
    from harness.spec.files import read_text  # noqa: PLC0415

    try:
        registry = load_claims()
        text = None if page is None else read_text(page, shown=str(page))
    except SpecError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    chosen = [] if claim is None else [registry[claim]] if claim in registry else halves(claim, registry)
    if claim is not None and not chosen:
        near = closest(claim, registry)
        hint = "" if near is None else f" (did you mean '{near}'?)"
        typer.echo(f"density claims: no claim '{claim}'{hint}", err=True)
        raise typer.Exit(2)
    if chosen:
        typer.echo("\n\n".join(explain(one) for one in chosen))
    elif text is None:
        typer.echo("\n".join(listing(registry.values())))
    if text is not None:
        problems = check_page(text, registry.values(), shown=str(page))
        typer.echo("\n".join(problems), err=True) if problems else typer.echo(
            covered(text, registry, str(page))
        )
        if problems:
            raise typer.Exit(1)


def halves(name: str, registry: Mapping[str, Claim]) -> list[Claim]:
    """Claims of one sentence: `HARD-2` for HARD-2a, HARD-2b and HARD-2c."""
    return [claim for claim in registry.values() if claim.id[:-1] == name and claim.id[-1:].isalpha()]


def listing(registry: Iterable[Claim]) -> list[str]:
    """One line a claim: id, what is known of it, who decides, the quote."""
    rows = [(claim.id, known(claim), claim.decided_by, claim.quote) for claim in registry]
    widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else [0, 0, 0]
    return [
        f"{name:<{widths[0]}}  {state:<{widths[1]}}  {decider:<{widths[2]}}  {quote}"
        for name, state, decider, quote in rows
    ]


def known(claim: Claim) -> str:
    """`untestable`, what the page is known to be (`refuted`, `differs`), or `holds?`: nothing speaks against it."""
    if claim.untestable is not None:
        return "untestable"
    verdicts = {today.verdict for today in claim.today}
    return "refuted" if "refuted" in verdicts else "differs" if verdicts else "holds?"


def explain(claim: Claim) -> str:
    """Everything the registry says of a claim, for people."""
    from harness.spec.claims import evidence_needed  # noqa: PLC0415

    lines = [f"{claim.id}", f"  page       {claim.quote}"]
    if claim.untestable is not None:
        lines.append(f"  untestable {claim.untestable}")
    else:
        if claim.given:
            lines.append(f"  given      {claim.given}")
        lines.append(f"  promise    {claim.promise}")
        expectations = [(claim.promise_kind or "", claim.promise_args), *claim.also]
        lines.extend(f"             {kind}: {literal(arguments)}" for kind, arguments in expectations)
        for today in claim.today:
            columns = "every version" if today.columns == ("*",) else ", ".join(today.columns)
            lines.append(f"  today      {today.verdict} ({columns}): {today.kind}: {literal(today.args)}")
            lines.append(f"             {today.why}")
        lines.append(
            f"  decided by {claim.decided_by}; settled by evidence {' or '.join(evidence_needed(claim))}"
        )
    if claim.note:
        lines.append(f"  note       {claim.note}")
    if claim.corrected:
        lines.append(f"  corrected  {claim.corrected}")
    return "\n".join(lines)


def literal(arguments: Mapping[str, Any]) -> str:
    """Arguments of an expectation on one line; durations in seconds, amounts in bytes."""
    shown = []
    for key, value in arguments.items():
        if key in {"max_count", "scope"} and value in {1_000_000, None}:
            continue
        if isinstance(value, Mapping) and not value:
            continue
        shown.append(f"{key.replace('_', '-')} {_plain(value)}")
    return ", ".join(shown) or "any"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return " or ".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def check_page(text: str, registry: Iterable[Claim], *, shown: str) -> list[str]:
    """One line for each sentence that is not covered and each quote that is not on the page."""
    from harness.spec.page import misquoted, uncovered  # noqa: PLC0415

    registry = tuple(registry)
    lines = [
        f"{shown}:{sentence.line}: no claim covers {_words(sentence.missing)}: {sentence.text}"
        for sentence in uncovered(text, registry)
    ]
    lines.extend(
        f"{shown}: not on the page, quoted by {claim.id}: {claim.quote}"
        for claim in misquoted(text, registry)
    )
    return lines


def _words(words: tuple[str, ...]) -> str:
    return f"'{' '.join(words[:6])}{' …' if len(words) > 6 else ''}'"


def covered(text: str, registry: Mapping[str, Claim], shown: str) -> str:
    """The line that says all is well, with counts."""
    from harness.spec.page import sentences  # noqa: PLC0415

    testable = sum(claim.untestable is None for claim in registry.values())
    return (
        f"{shown}: all {len(sentences(text))} sentences are covered by {len(registry)} claims "
        f"({testable} testable, {len(registry) - testable} untestable)"
    )
