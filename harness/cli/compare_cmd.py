"""`density compare`: groups of runs against each other, and a set of runs against a baseline set."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.report.compare.metrics import Observation


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run directories, ids, or directories of runs.", metavar="RUN…", show_default=False
        ),
    ],
    *,
    by: Annotated[
        str,
        typer.Option(
            help="What makes a group: technique, version, cluster, or an axis of the scenarios' matrix.",
            metavar="technique|version|cluster|AXIS",
        ),
    ] = "technique",
    to: Annotated[str, typer.Option(help="The group to hold the others against.", metavar="GROUP")] = "",
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against", help="A baseline run, or a directory of them (repeatable). Regressions exit 1."
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", help="Only runs whose matrix has this value (repeatable).", metavar="AXIS=VALUE"
        ),
    ] = None,
    into: Annotated[
        Path | None, typer.Option("--into", help="Also write comparison.html, .md, .json and .csv here.")
    ] = None,
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", help="Where run directories are.", envvar="DENSITY_RUNS_DIR")
    ] = Path("runs"),
) -> None:
    """Compare techniques, versions or clusters: density, risk, latencies, and how sure we are."""
    from harness.cli import errors  # noqa: PLC0415 - `density --help` stays fast
    from harness.records.writing import write_atomically  # noqa: PLC0415
    from harness.report.compare.forms import FILES, render, render_plain  # noqa: PLC0415
    from harness.report.compare.metrics import observation  # noqa: PLC0415
    from harness.report.compare.table import tabulate_runs  # noqa: PLC0415

    wanted = _settings(where or [])

    def read(paths: Iterable[Path]) -> list[Observation]:
        found = [observation(path, by) for path in expanded(paths, runs_dir)]
        return [run for run in found if wanted <= set(run.settings)]

    compared = tabulate_runs(read(runs), by, to=to, against=read(against or []))
    sys.stdout.write(render_plain(compared))
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        for form, name in FILES.items():
            write_atomically(into / name, render(form, compared).encode("utf-8", "replace"))
            sys.stdout.write(f"{form}: {errors.printable(into / name)}\n")
    if any(not r.possible for r in compared.regressions):
        raise typer.Exit(errors.NOT_SEEN)


def _settings(where: Iterable[str]) -> set[str]:
    """`load=90%` as observations have it. Raises UsageError."""
    from harness.cli import errors  # noqa: PLC0415

    found = set()
    for text in where:
        axis, equals, value = text.partition("=")
        if not equals or not axis or not value:
            raise errors.UsageError(f"--where {text}: write AXIS=VALUE, as in --where load=90%")
        found.add(f"{axis} {value}")
    return found


def expanded(paths: Iterable[Path], runs_dir: Path) -> list[Path]:
    """Run directories of paths, ids, and directories of runs; a control run only where it is named itself."""
    from harness.cli.runs import find_run  # noqa: PLC0415
    from harness.records.rundir import RUN_FILE, RunDirectory  # noqa: PLC0415

    found: list[Path] = []
    for path in paths:
        inside = sorted(file.parent for file in path.glob(f"*/{RUN_FILE}")) if path.is_dir() else []
        if (path / RUN_FILE).is_file() or not inside:
            found.append(find_run(path, runs_dir).path)
        else:
            found += [run for run in inside if not RunDirectory.open(run).provenance.control_of]
    return list(dict.fromkeys(found))
