"""`density site`: everything under reports/, and docs/upstream.md, anew from the committed run data."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.report.site.statuses import Published
    from harness.spec.model import Claim


def site(
    root: Annotated[Path, typer.Option("--root", help="The checkout.")] = Path(),
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where a committed page is not current.")
    ] = False,
) -> None:
    """Write the published pages anew: every sentence with its status, a page a run, what to change upstream."""
    from harness.cli import errors  # noqa: PLC0415 - `density --help` stays fast
    from harness.records.writing import write_atomically  # noqa: PLC0415

    if not (root / "suites" / "page.md").is_file():
        raise errors.UsageError(f"{root}: not a checkout of kubevirt-density (no suites/page.md)")
    pages = build(root)
    stale = [
        name
        for name, text in pages.items()
        if not (root / name).is_file() or (root / name).read_bytes() != text.encode()
    ]
    known = {root / name for name in pages}
    orphans = [path for path in sorted((root / "reports" / "runs").glob("*.html")) if path not in known]
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


def build(root: Path) -> dict[str, str]:
    """Return every generated file of a checkout, path relative to its root → text."""
    from harness.report.site.pages import render_index, render_readme  # noqa: PLC0415
    from harness.report.site.sentences import read_page  # noqa: PLC0415
    from harness.report.site.statuses import statuses  # noqa: PLC0415
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
    pages["reports/index.html"] = render_index(sentences, found, runs)
    pages["reports/README.md"] = render_readme(sentences, found, runs)
    pages["docs/upstream.md"] = render_upstream(found, to_runs="../reports/runs/")
    return {
        name: "".join(f"{line.rstrip()}\n" for line in pages[name].splitlines()) for name in sorted(pages)
    }


def _runs(root: Path, scratch: Path, claims: Mapping[str, Claim]) -> Iterator[tuple[Published, str]]:
    from harness.cli.site_data import kept, recorded  # noqa: PLC0415
    from harness.report.site.statuses import Published  # noqa: PLC0415
    from harness.report.write import report_on  # noqa: PLC0415
    from harness.run.judging import judge_directory  # noqa: PLC0415

    for slug, directory, records in (*recorded(root, scratch, claims), *kept(root, scratch)):
        judge_directory(directory, claims)
        view, column, page = report_on(directory, claims, records=records, home="../index.html")
        yield Published(slug=slug, view=view, column=column), page
