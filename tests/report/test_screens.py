"""Pages on a screen: axe-core finds nothing serious, nothing is wider than the window, no word of a picture
is cut off or written over another, nothing is loaded from elsewhere.

Needs chromium and node; axe-core and puppeteer-core come from npm into the cache once. Skipped with the reason where
they are not to be had. Part of `make soak`, since it starts a browser and may download.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.report.compare.forms import render_html
from harness.report.compare.table import tabulate_runs
from harness.report.site.study import pages
from harness.report.write import write_reports
from tests.report import directories as made
from tests.report.compare.planted import study
from tests.report.site.test_study import the_study
from tests.report.test_hostile import hostile

ROOT = Path(__file__).parents[2]
PACKAGES = ("axe-core@4.14.1", "puppeteer-core@24.43.1")
pytestmark = [pytest.mark.soak, pytest.mark.timeout(500)]


@pytest.fixture(scope="module")
def tools() -> tuple[str, Path]:
    """Path of chromium, and a node_modules with what tools/axe.mjs needs."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None or shutil.which("node") is None:
        pytest.skip("no chromium or no node on this machine")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kubevirt-density" / "axe"
    modules = cache / "node_modules"
    if not (modules / "axe-core").is_dir() or not (modules / "puppeteer-core").is_dir():
        if shutil.which("npm") is None:
            pytest.skip("no npm on this machine to fetch axe-core and puppeteer-core")
        cache.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [
                "npm",
                "install",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--prefix",
                str(cache),
                *PACKAGES,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"npm can't install axe-core and puppeteer-core: {done.stderr.strip()[-200:]}")
    return chromium, modules


def seen(tools: tuple[str, Path], *pages: Path, axe: bool = True) -> list[dict[str, object]]:
    chromium, modules = tools
    done = subprocess.run(
        ["node", str(ROOT / "tools" / "axe.mjs"), str(modules), chromium, *map(str, pages)],
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
        env=os.environ | ({} if axe else {"NO_AXE": "1"}),
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 4 * len(pages)
    return found


def test_pages_are_accessible_fit_and_load_nothing(tools: tuple[str, Path], tmp_path: Path) -> None:
    comparison = tmp_path / "comparison.html"
    comparison.write_text(render_html(tabulate_runs(study(), "technique")), encoding="utf-8")
    evil = hostile(tmp_path)
    write_reports(evil, forms=["html"])
    site = ROOT / "reports"
    chosen = [
        site / "index.html",
        *sorted((site / "runs").glob("*.html"))[:4],
        *sorted((site / "study").glob("*.html")),
        *loads(tmp_path),
        comparison,
        evil / "report.html",
    ]
    assert faulty(seen(tools, *chosen)) == []


def faulty(screens: list[dict[str, object]]) -> list[dict[str, object]]:
    faults = ("violations", "cut", "over", "wide")
    return [screen for screen in screens if screen["requests"] != 1 or any(screen[name] for name in faults)]


def loads(into: Path) -> list[Path]:
    """Pages of a study of three loads: all loads together, one of them, and a comparison of the same runs."""
    made_up = the_study()
    found = {name: text for name, text in pages(made_up).items() if name.endswith(".html")}
    runs = [run for s in made_up.settings for group in s.comparison.groups for run in group.runs]
    found["loads.html"] = render_html(tabulate_runs(runs, "technique"))
    for name, text in found.items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_text(text, encoding="utf-8")
    return [into / "reports/study/index.html", into / "reports/study/load-90.html", into / "loads.html"]


def test_a_faulty_page_is_told(tools: tuple[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "faulty.html"
    words = "".join(
        f'<text x="{x}" y="{y}">{word}</text>'
        for x, y, word in ((5, 20, "under"), (8, 21, "over"), (90, 60, "cut off"))
    )
    page.write_text(
        f'<!doctype html><html lang="en"><title>x</title><main><h1>x</h1><svg width="100" height="80" role="img" aria-label="x">'
        f'{words}</svg><div style="width:3000px">wide</div></main>',
        encoding="utf-8",
    )
    for screen in seen(tools, page):
        assert screen["cut"] == ["cut off"]
        assert screen["over"] == ["under / over"]
        assert screen["wide"] != 0


def test_every_published_picture_is_whole_and_readable(tools: tuple[str, Path]) -> None:
    found = sorted((ROOT / "reports" / "runs").glob("*.html"))
    assert len(found) > 40
    assert faulty(seen(tools, *found, axe=False)) == []


def test_a_run_of_10000_vmis_opens_in_3_seconds_and_is_small(tools: tuple[str, Path], tmp_path: Path) -> None:
    run = made.write(tmp_path, made.fleet(10_000, taken=40))
    view = write_reports(run)
    counted = {n.key: (n.value, n.censored) for n in view.numbers if not n.subject}
    assert counted["asked"] == (10_000.0, 0)
    assert counted["fit"][0] == 10_000.0
    page = run / "report.html"
    assert page.stat().st_size < 10 << 20
    for screen in seen(tools, page):
        assert isinstance(screen["ms"], int)
        assert screen["ms"] < 3000
        assert screen["violations"] == []
