"""`pytest suites/`: each scenario file runs once; each of its promised claims and its requirements is a test.

Loaded by every pytest run in an environment where the harness is installed: it imports nothing of ours, and does
nothing until a scenario file is collected. It only maps the results of the orchestrator that `density run` uses.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.cli.scenario_items import Outcome

HEAD = 4096
"""Bytes in which a scenario says what it is."""
NOT_TESTS = frozenset({"manifests", "recorded", "study"})
"""Directories of scenarios and their parts that are no tests: recordings are imported, a study is `density run`'s."""
_RUNS = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of scenario files."""
    group = parser.getgroup("density", "KubeVirt density scenarios")
    group.addoption(
        "--density-cluster", default="local", metavar="KIND", help="where the cluster comes from (local)"
    )
    group.addoption(
        "--density-set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="change the scenarios, as density run --set does",
    )
    group.addoption(
        "--density-tier",
        choices=["", "quick", "full"],
        default="",
        help="as density run --tier: left out, quick scenarios, and files that are named",
    )
    group.addoption(
        "--density-runs-dir", default="runs", metavar="DIR", help="where run directories go (runs)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers that items of scenarios carry."""
    config.addinivalue_line("markers", "scenario(path): a scenario of suites/, set by the plugin")
    if not config.pluginmanager.hasplugin("timeout"):
        config.addinivalue_line("markers", "timeout(seconds): pytest-timeout's, which is not installed")
    config.stash[_RUNS] = []


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect scenario files; everything else is someone else's."""
    if file_path.suffix != ".yaml" or NOT_TESTS & set(file_path.parts):
        return None
    with file_path.open("rb") as file:
        head = file.read(HEAD)
    if b"density/v1" not in head or b"kind: Scenario" not in head:
        return None
    found: pytest.Collector = ScenarioFile.from_parent(parent, path=file_path)
    return found


def pytest_sessionfinish() -> None:
    """Delete the kind cluster that the scenarios shared."""
    maker = sys.modules.get("harness.cli.kind_maker")  # imported only if there was one
    if maker is not None:
        maker.close_all()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say where the run directories are."""
    runs = config.stash.get(_RUNS, [])
    if runs:
        terminalreporter.section("density runs")
        for run in runs:
            terminalreporter.line(run)


class ScenarioFile(pytest.File):
    """A scenario, or the several that its matrix and repeats make; each runs when the first of its items does."""

    def collect(self) -> Iterable[pytest.Item]:
        """Load the scenarios and yield an item for each claim and requirement of each."""
        from harness.cli.run import wanted  # noqa: PLC0415
        from harness.cli.scenario_items import load_for_pytest, names  # noqa: PLC0415
        from harness.spec.errors import SpecError  # noqa: PLC0415

        try:
            self.loaded = load_for_pytest(
                self.path,
                tuple(self.config.getoption("density_set")),
                cluster=str(self.config.getoption("density_cluster")),
            )
        except SpecError as error:
            raise self.CollectError(str(error)) from None
        self.outcomes: dict[int, Outcome] = {}
        several = len(self.loaded) > 1
        tier = str(self.config.getoption("density_tier"))
        named = any(Path(str(a).partition("::")[0]).resolve() == self.path for a in self.config.args)
        return [
            item
            for index, loaded in enumerate(self.loaded)
            if wanted(loaded.scenario, tier, named=named)
            for item in self._items(
                index, names(loaded.scenario), f"{loaded.scenario.name}::" if several else ""
            )
        ]

    def _items(self, index: int, wanted: Iterable[str], prefix: str) -> Iterator[pytest.Item]:
        for name in wanted:
            item = ScenarioItem.from_parent(self, name=f"{prefix}{name}")
            item.which, item.check = index, name
            item.add_marker(pytest.mark.scenario(str(self.path)))
            # A scenario has deadlines of its own; a time limit for unit tests would cut it in the middle.
            item.add_marker(pytest.mark.timeout(0))
            yield item

    def run_once(self, index: int) -> Outcome:
        """Run a scenario of the file, or return what came of it."""
        from harness.cli.scenario_items import run_for_pytest  # noqa: PLC0415

        if index not in self.outcomes:
            with warnings.catch_warnings():
                # Other projects' filters (error) are for their tests, not for libraries in a long run.
                warnings.simplefilter("default")
                outcome = self.outcomes[index] = run_for_pytest(
                    self.loaded[index],
                    cluster=str(self.config.getoption("density_cluster")),
                    runs=Path(str(self.config.getoption("density_runs_dir"))),
                )
            if outcome.directory:
                self.config.stash[_RUNS].append(outcome.directory)
        return self.outcomes[index]


class NotAsRequired(Exception):
    """What came out is not what must come out."""


class ScenarioItem(pytest.Item):
    """One claim or requirement of a scenario."""

    parent: ScenarioFile
    which: int
    """Index of its scenario among those of the file."""
    check: str
    """Claim or requirement."""

    def runtest(self) -> None:
        """Pass, skip or fail as the verdict says."""
        outcome = self.parent.run_once(self.which)
        if outcome.interrupted:
            pytest.exit(outcome.interrupted, returncode=130)
        if outcome.directory:
            self.user_properties.append(("density-run", outcome.directory))
        if outcome.error:
            raise NotAsRequired(outcome.error)
        item = next((item for item in outcome.items if item.name == self.check), None)
        if item is None:
            raise NotAsRequired(f"{self.name} was not judged")
        self.user_properties.append(("seen", item.text))
        if item.result == "skip":
            pytest.skip(item.text)
        if item.result == "fail":
            raise NotAsRequired(item.text)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """One line for what was not as required; a traceback for what went wrong in the harness."""
        if isinstance(excinfo.value, NotAsRequired):
            outcome = self.parent.outcomes.get(self.which)
            where = outcome.directory if outcome else ""
            return f"{excinfo.value}\nrun: {where}" if where else str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it stands, for reports."""
        return self.path, None, self.name
