"""`density report`: the reports of judged runs, in every form."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Form(StrEnum):
    """Forms of a report."""

    HTML = "html"
    MARKDOWN = "md"
    JUNIT = "junit"
    JSON = "json"
    CSV = "csv"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run directories, or ids of them.", metavar="RUN…", show_default=False),
    ],
    *,
    forms: Annotated[
        list[Form] | None, typer.Option("--form", "-f", help="Only this form (repeatable). Default: all.")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", help="Write here (one directory a run) instead of into the run directory."),
    ] = None,
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", help="Where run directories are.", envvar="DENSITY_RUNS_DIR")
    ] = Path("runs"),
) -> None:
    """Write the reports of judged runs anew: HTML, Markdown, JUnit, JSON and CSV; print their findings."""
    from harness.cli.errors import printable  # noqa: PLC0415 - `density --help` stays fast
    from harness.cli.runs import find_run  # noqa: PLC0415
    from harness.report.terminal import print_findings  # noqa: PLC0415
    from harness.report.write import FILES, write_reports  # noqa: PLC0415

    chosen = [form.value for form in forms] if forms else list(FILES)
    for run in runs:
        directory = find_run(run, runs_dir)
        target = None if into is None else into / directory.path.name
        print_findings(write_reports(directory.path, forms=chosen, into=target))
        for form in chosen:
            written = " ".join(printable((target or directory.path) / FILES[form]).split("\n"))
            sys.stdout.write(f"{form}: {written}\n")
