"""`density run`: load everything first, then run one scenario after the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from harness.cli import errors
from harness.cli.hold import AtTheKeyboard
from harness.cli.preflight import check
from harness.cli.progress import show
from harness.cluster.base import Cluster, Undo
from harness.cluster.errors import ClusterError
from harness.resources import REGISTRIES, claims_file
from harness.run.interrupt import Interrupt, Interrupted
from harness.run.session import Result, run_scenario
from harness.run.settings import HOLD_ON, MakeCluster, Progress, Settings
from harness.run.verdict import Verdict, baseline_for, verdict
from harness.spec.claims import load_claims
from harness.spec.loader import load_scenarios
from harness.spec.model import Claim, Scenario

NOT_SCENARIO_DIRECTORIES = frozenset({"manifests", "recorded"})
ONLY_NAMED = frozenset({"study"})
"""Directories whose scenarios run only where they are asked for by name: they measure for half an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for."""

    paths: tuple[Path, ...]
    cluster: str = "local"
    overrides: tuple[str, ...] = ()
    runs: Path = Path("runs")
    keep: bool = False
    accel: str = "auto"
    guest_kernel: Path | None = None
    control: bool = True
    preflight: bool = True
    seed: int | None = None
    verbose: int = 0
    command: tuple[str, ...] = ()
    tier: str = ""
    """`quick`: only such scenarios; `full`: all; '': those of directories that are quick, and files as named."""
    repeats: int | None = None
    """In place of the files'."""
    at_most: int | None = None
    """So many of the scenarios, the first that are left."""
    resume: bool = False
    """Leave out what a run in `runs` has shown already."""
    hold_on: str = ""
    """What a run is held on (settings.HOLD_ON), '' nothing."""
    kind: Mapping[str, object] = field(default_factory=dict)
    """Settings of kind clusters that were given as flags."""
    kubeconfig: Mapping[str, object] = field(default_factory=dict)
    """Choices of an existing cluster that were given as flags."""


def find_scenarios(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return files as given, and of directories the scenario files in them, sorted. Raises UsageError."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(
            p
            for p in path.rglob("*.yaml")
            if is_scenario(p) and not ONLY_NAMED & set(p.relative_to(path).parts[:-1])
        )
        if not inside:
            raise errors.UsageError(f"{path}: no scenario files (*.yaml) in it")
        found += inside
    return tuple(dict.fromkeys(found))


def is_scenario(path: Path) -> bool:
    """Whether a YAML file of suites is a scenario to run: not the registries, manifests or recordings' scenarios."""
    return path.name not in REGISTRIES and not NOT_SCENARIO_DIRECTORIES & set(path.parts[:-1])


def load(request: Request) -> tuple[Mapping[str, Claim], list[Scenario]]:
    """Load claims and all scenarios of a request before anything starts. Raises SpecError, UsageError."""
    claims = load_claims(claims_file())
    found = [
        scenario
        for path in find_scenarios(request.paths)
        for scenario in load_scenarios(
            path, overrides=request.overrides, claims=claims, cluster=request.cluster, repeats=request.repeats
        )
        if wanted(scenario, request.tier, named=path in request.paths or bool(ONLY_NAMED & set(path.parts)))
    ]
    if not found:
        raise errors.UsageError(f"no scenario of tier {request.tier or 'quick'} there; --tier full runs all")
    return claims, found


def wanted(scenario: Scenario, tier: str, *, named: bool) -> bool:
    """Whether a scenario is of a tier. `named`: its file was, not its directory: then it runs unless a tier is asked for."""
    if tier == "full" or (not tier and named):
        return True
    return scenario.tier == "quick"


def cluster_maker(request: Request) -> MakeCluster:
    """Return what makes a cluster of the asked kind. Raises UsageError, ClusterError."""
    if request.cluster == "kind":
        from harness.cli.kind_maker import kind_maker  # noqa: PLC0415 - only they need it

        return kind_maker(
            request.kind,
            keep=request.keep,
            logs=str(request.runs),
            command=request.command,
            guest_kernel=request.guest_kernel,
        )
    if request.cluster == "kubeconfig":
        return kubeconfig_maker(request.kubeconfig)
    if request.cluster != "local":
        raise errors.UsageError(f"--cluster {request.cluster} is not available in this version; use local")

    def make(scenario: Scenario, run: str, undo: Undo) -> Cluster:
        from harness.cluster.local import LocalCluster  # noqa: PLC0415 - QEMU and the embedded cluster come with it

        return LocalCluster(
            undo=undo,
            run=run,
            column=scenario.kubevirt_version,
            seed=scenario.seed if request.seed is None else request.seed,
            accel=cast("Literal['auto', 'kvm', 'tcg']", request.accel),
            guest_kernel=request.guest_kernel,
        )

    return make


def kubeconfig_maker(given: Mapping[str, object]) -> MakeCluster:
    """Return what opens an existing cluster. Raises UsageError for a choice that can't be meant."""
    import harness.run.undo_kubeconfig  # noqa: F401, PLC0415 - registers how its settings are put back
    from harness.cluster.kubeconfig import KubeconfigCluster, Options  # noqa: PLC0415 - only they need it

    try:
        options = Options.of(os.environ, given)
        options.check_guest()
    except ClusterError as error:
        raise errors.UsageError(str(error)) from error
    return lambda _scenario, run, undo: KubeconfigCluster(options, undo=undo, run=run)


def settings_of(request: Request, progress: Progress, *, cautions: tuple[str, ...] = ()) -> Settings:
    """Return the settings of a request. `cautions`: what preflight said of the scenario."""
    return Settings(
        runs=request.runs,
        command=request.command,
        keep=request.keep,
        control=request.control,
        seed=request.seed,
        hold_on=request.hold_on,
        holder=AtTheKeyboard(progress.step),
        cautions=cautions,
        progress=progress,
    )


def run_command(request: Request) -> int:
    """Run and return the exit code; the worst of all scenarios'."""
    from harness.cli.logging import configure  # noqa: PLC0415

    configure(request.verbose)
    if request.hold_on and request.hold_on not in HOLD_ON:
        raise errors.UsageError(f"--hold-on {request.hold_on} is not one of {', '.join(HOLD_ON)}")
    claims, scenarios = load(request)
    make_cluster = cluster_maker(request)
    scenarios, codes = left(request, scenarios)
    cautions = [check(s) if request.preflight else () for s in scenarios]
    with show(verbose=request.verbose) as view, _kind_closed(request, view):
        for scenario, said in zip(scenarios, cautions, strict=True):
            for caution in said:
                view.step(f"preflight: {caution}")
            settings = settings_of(request, view, cautions=said)
            try:
                result = asyncio.run(run_interruptibly(scenario, claims, make_cluster, settings))
            except Interrupted as error:
                view.error(str(error))
                return errors.INTERRUPTED
            except Exception as error:
                if len(scenarios) == 1:
                    raise
                code, message = errors.explain(error)
                view.error(f"{scenario.name}: {message}")
                codes.append(code)
                continue
            provenance = result.run.directory.provenance
            judged = verdict(scenario, result.findings, provenance, baseline_for(scenario, provenance))
            view.finished(result, judged)
            codes.append(exit_code(result, judged))
            if codes[-1] == errors.INTERRUPTED:
                break
    return max(codes, default=errors.OK)


def left(request: Request, scenarios: list[Scenario]) -> tuple[list[Scenario], list[int]]:
    """Return what is to be run now, and the exit codes of what an earlier invocation ran."""
    if not request.resume:
        return scenarios[: request.at_most], []
    from harness.cli.resume import split, verdict_of  # noqa: PLC0415 - only they need it

    todo, done = split(scenarios, request.runs, request.cluster)
    codes = []
    for scenario, directory in done:
        judged = verdict_of(scenario, directory)
        codes.append(errors.OK if judged.passed else errors.NOT_SEEN)
        print(f"{scenario.name}: done before, {directory.path}{_failed(judged)}")  # noqa: T201 - the command's own output
    print(f"{len(done)} of {len(scenarios)} done before, {len(todo)} to run", flush=True)  # noqa: T201
    return todo[: request.at_most], codes


def _failed(judged: Verdict) -> str:
    return "".join(f"; {item.name}: {item.text}" for item in judged.failures)


@contextmanager
def _kind_closed(request: Request, view: Progress) -> Iterator[None]:
    """Tell what happens to kind clusters, and delete them at the end."""
    if request.cluster != "kind":
        yield
        return
    from harness.cli.kind_maker import close_all, tell  # noqa: PLC0415

    tell(view.step)
    try:
        yield
    finally:
        close_all()


async def run_interruptibly(
    scenario: Scenario, claims: Mapping[str, Claim], make_cluster: MakeCluster, settings: Settings
) -> Result:
    """Run a scenario with Ctrl-C meaning: end in good order."""
    interrupt = Interrupt()
    with interrupt.signals():
        return await run_scenario(scenario, claims, make_cluster, settings=settings, interrupt=interrupt)


def exit_code(result: Result, judged: Verdict) -> int:
    """Return the exit code of one scenario."""
    outcomes = {run.outcome for run in (result.run, result.control) if run is not None}
    if "interrupted" in outcomes:
        return errors.INTERRUPTED
    if "failed" in outcomes:
        return errors.BROKEN
    return errors.OK if judged.passed else errors.NOT_SEEN
