"""Printing findings and writing reports of a judged run."""

from __future__ import annotations

from typing import TextIO

from harness.records.rundir import RunDirectory
from harness.run.verdict import Verdict


def present(directory: RunDirectory, verdict: Verdict | None, *, out: TextIO) -> None:
    """Write the run's reports and print its findings; with a verdict, also what is not as it must be."""
    from harness.report.terminal import print_findings  # noqa: PLC0415 - draws with matplotlib
    from harness.report.write import write_reports  # noqa: PLC0415

    print_findings(write_reports(directory.path), file=out)
    for item in verdict.items if verdict else ():
        if item.result != "pass":
            out.write(f"{'FAIL' if item.result == 'fail' else 'skip'} {item.name}: {item.text}\n")
    out.write(f"report: {directory.path / 'report.html'}\n")
    out.flush()
