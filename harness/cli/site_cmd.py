"""`density site`: everything under reports/, and docs/upstream.md, anew from the committed run data."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.report.site.statuses import Published
    from harness.report.site.study import Study
    from harness.spec.model import Claim


def site(
    root: Annotated[Path, typer.Option("--root", help="The checkout.")] = Path(),
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where a committed page is not current.")
    ] = False,
    add: Annotated[
        list[Path] | None,
        typer.Option(
            "--add",
            help="First put this run (a directory, an id, or a directory of runs) among the published data. Repeatable.",
            metavar="RUN",
        ),
    ] = None,
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", help="Where ids of --add are.", envvar="DENSITY_RUNS_DIR")
    ] = Path("runs"),
) -> None:
    """Write the published pages anew: every sentence with its status, a page a run, what to change upstream."""
    from harness.cli import errors  # noqa: PLC0415 - `density --help` stays fast
    from harness.records.writing import write_atomically  # noqa: PLC0415

    if not (root / "suites" / "page.md").is_file():
        raise errors.UsageError(f"{root}: not a checkout of kubevirt-density (no suites/page.md)")
    new = _add(add, root, runs_dir) if add else []
    try:
        pages = build(root)
    except BaseException:
        for path in new:  # what no pages can be made of must not stay and break the next attempt
            shutil.rmtree(path)
        raise
    stale = [
        name
        for name, text in pages.items()
        if not (root / name).is_file() or (root / name).read_bytes() != text.encode()
    ]
    known = {root / name for name in pages}
    orphans = [
        path
        for folder in ("runs", "study")
        for path in sorted((root / "reports" / folder).glob("*.html"))
        if path not in known
    ]
    if check:
        for name in (*stale, *(str(path.relative_to(root)) for path in orphans)):
            sys.stdout.write(f"not current: {name}\n")
        raise typer.Exit(errors.NOT_SEEN if stale or orphans else errors.OK)
    for name in stale:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(root / name, pages[name].encode())
    for path in orphans:
        path.unlink()
    sys.stdout.write(
        f"{len(pages)} pages, {len(stale)} changed, {len(orphans)} removed: {root / 'reports/index.html'}\n"
    )


def _add(runs: list[Path], root: Path, runs_dir: Path) -> list[Path]:
    """Publish runs; return the directories that were not there before."""
    from harness.cli import errors  # noqa: PLC0415
    from harness.cli.compare_cmd import expanded  # noqa: PLC0415 - only it needs them
    from harness.cli.publish import MOST, publish, size_of, target_of, unfit  # noqa: PLC0415
    from harness.records.rundir import RunDirectory  # noqa: PLC0415
    from harness.report.reading import scenario_of  # noqa: PLC0415

    def why_not(directory: RunDirectory) -> str:
        # Pages are made of what is judged anew, by its scenario.
        return unfit(directory) or scenario_of(directory.provenance)[1]

    named = {path.resolve() for path in runs}
    found = [RunDirectory.open(path) for path in expanded(runs, runs_dir)]
    # A run that was named must be fit; of a directory of runs those that are not are left out, and told.
    for directory in found:
        if (why := why_not(directory)) and directory.path.resolve() in named:
            raise errors.UsageError(f"{directory.path}: {why}")
    new: list[Path] = []
    for directory in found:
        if why := why_not(directory):
            sys.stdout.write(errors.printable(f"left out: {directory.path}: {why}") + "\n")
        else:
            new += [target] if not (target := target_of(directory, root)).exists() else []
            sys.stdout.write(errors.printable(f"added: {publish(directory, root)}") + "\n")
    if (size := size_of(root / "reports")) > MOST:
        sys.stdout.write(
            f"caution: reports/ has {size / (1 << 20):.1f} MiB; {MOST >> 20} are what a checkout should carry\n"
        )
    return new


def build(root: Path) -> dict[str, str]:
    """Return every generated file of a checkout, path relative to its root → text."""
    from harness.report.site.pages import render_index, render_readme  # noqa: PLC0415
    from harness.report.site.sentences import read_page  # noqa: PLC0415
    from harness.report.site.statuses import statuses  # noqa: PLC0415
    from harness.report.site.study import BEGIN, FRAGMENT, placed  # noqa: PLC0415
    from harness.report.site.study import pages as study_pages  # noqa: PLC0415
    from harness.report.site.upstream import render_upstream  # noqa: PLC0415
    from harness.spec.claims import load_claims  # noqa: PLC0415

    claims = load_claims(root / "suites" / "claims.yaml")
    sentences = read_page((root / "suites" / "page.md").read_text(encoding="utf-8"), claims.values())
    pages: dict[str, str] = {}
    runs = []
    with tempfile.TemporaryDirectory(prefix="density-site-") as scratch:
        for published, page in _runs(root, Path(scratch), claims):
            runs.append(published)
            pages[f"reports/runs/{published.slug}.html"] = page
    found = statuses(claims, runs)
    study = _study(root)
    pages["reports/index.html"] = render_index(sentences, found, runs, study=study)
    pages["reports/README.md"] = render_readme(sentences, found, runs, study=study)
    pages["docs/upstream.md"] = render_upstream(found, to_runs="../reports/runs/")
    if study is not None:
        pages |= study_pages(study)
    plain = {
        name: "".join(f"{line.rstrip()}\n" for line in pages[name].splitlines()) for name in sorted(pages)
    }
    readme = root / "README.md"
    if study is not None and readme.is_file() and BEGIN in (text := readme.read_text(encoding="utf-8")):
        plain["README.md"] = placed(text, plain[FRAGMENT])
    return plain


def _study(root: Path) -> Study | None:
    """Return the published study; None where it has no runs."""
    from harness.records.rundir import RUN_FILE, RunDirectory  # noqa: PLC0415
    from harness.report.compare.metrics import observation  # noqa: PLC0415
    from harness.report.reading import scenario_of  # noqa: PLC0415
    from harness.report.site.study import Study, settings, setup  # noqa: PLC0415

    kept = sorted(file.parent for file in (root / "reports" / "data" / "study").glob(f"*/{RUN_FILE}"))
    if not kept:
        return None
    return Study(
        settings=settings([observation(path, "technique") for path in kept]),
        what=setup(scenario_of(RunDirectory.open(kept[0]).provenance)[0]),
    )


def _runs(root: Path, scratch: Path, claims: Mapping[str, Claim]) -> Iterator[tuple[Published, str]]:
    from harness.cli.site_data import kept, recorded  # noqa: PLC0415
    from harness.report.site.statuses import Published  # noqa: PLC0415
    from harness.report.write import report_on  # noqa: PLC0415
    from harness.run.judging import judge_directory  # noqa: PLC0415

    for slug, directory, records in (*recorded(root, scratch, claims), *kept(root, scratch)):
        judge_directory(directory, claims)
        view, column, page = report_on(directory, claims, records=records, home="../index.html")
        yield Published(slug=slug, view=view, column=column), page
