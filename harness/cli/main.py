"""`density`: arguments in, one room called, exit code out.

Commands import what they need when they run: `density --help` must be instant. Exit codes: 0 what must be seen was
seen, 1 it was not, 2 usage (a bad scenario file, an unknown path), 3 the cluster or the machine failed, 130 Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from harness.cli.claims_cmd import claims
from harness.cli.compare_cmd import compare
from harness.cli.explain_cmd import explain
from harness.cli.kind_options import kind_options
from harness.cli.kubeconfig_options import kubeconfig_options
from harness.cli.record_cmd import leftovers_command, rbac, record
from harness.cli.report_cmd import report
from harness.cli.site_cmd import site
from harness.cli.why_cmd import why

app = typer.Typer(
    name="density",
    help="Takes what the KubeVirt documentation promises about VM memory density, makes it happen, and reports what holds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich costs more than everything else on the way to --help
    context_settings={"help_option_names": ["-h", "--help"]},
)


class ClusterKind(StrEnum):
    """Where a cluster comes from."""

    LOCAL = "local"
    KIND = "kind"
    KUBECONFIG = "kubeconfig"


class Tier(StrEnum):
    """How much of the suites."""

    QUICK = "quick"
    FULL = "full"


class Accel(StrEnum):
    """How guests of `local` run."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


RunsDir = Annotated[
    Path, typer.Option("--runs-dir", help="Where run directories are.", envvar="DENSITY_RUNS_DIR")
]
Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more; twice: everything.")]
RUNS = Path("runs")


@app.callback()
def root(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options that hold for every command."""
    _State.debug = debug
    if version:
        from harness import __version__  # noqa: PLC0415

        typer.echo(__version__)
        raise typer.Exit


class _State:
    debug = False


@app.command()
@kind_options
@kubeconfig_options
def run(
    paths: Annotated[
        list[Path], typer.Argument(help="Scenario files, or directories of them.", metavar="PATH…")
    ],
    *,
    cluster: Annotated[ClusterKind, typer.Option(help="Where the cluster comes from.")] = ClusterKind.LOCAL,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a scenario: path=value. Repeatable.", metavar="PATH=VALUE"),
    ] = None,
    runs_dir: RunsDir = RUNS,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the guests there; on `local` until Enter or Ctrl-C.")
    ] = False,
    hold_on: Annotated[
        str,
        typer.Option(
            "--hold-on",
            help="When it happens, stop the workload, keep everything, and tell how to look around.",
            metavar="evicted|oom|ended",
        ),
    ] = "",
    tier: Annotated[
        Tier | None,
        typer.Option(help="quick: only such scenarios; full: all. Left out: quick ones, and files as named."),
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="In place of the scenarios'.")] = None,
    at_most: Annotated[
        int | None, typer.Option("--at-most", min=1, help="Only so many scenarios, the first that are left.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Leave out scenarios that a whole, judged run in --runs-dir is of already."
        ),
    ] = False,
    accel: Annotated[Accel, typer.Option(help="How guests of `local` run.")] = Accel.AUTO,
    guest_kernel: Annotated[
        Path | None,
        typer.Option(
            "--guest-kernel",
            envvar="DENSITY_GUEST_KERNEL",
            help="A vmlinuz in place of the distribution's cloud kernel.",
        ),
    ] = None,
    control: Annotated[
        bool, typer.Option("--control/--no-control", help="Make the scenario's control run.")
    ] = True,
    preflight: Annotated[
        bool, typer.Option("--preflight/--no-preflight", help="Refuse what can't show what it says.")
    ] = True,
    seed: Annotated[int | None, typer.Option(help="In place of the scenario's.")] = None,
    verbose: Verbose = 0,
    kind: Mapping[str, object] | None = None,
    kubeconfig: Mapping[str, object] | None = None,
) -> None:
    """Run scenarios: real guests, a real squeeze, a judged and reported run directory each."""
    from harness.cli.run import Request, run_command  # noqa: PLC0415

    raise typer.Exit(
        run_command(
            Request(
                paths=tuple(paths),
                cluster=cluster.value,
                overrides=tuple(set_ or ()),
                runs=runs_dir,
                keep=keep,
                hold_on=hold_on,
                tier=tier.value if tier is not None else "",
                repeats=repeats,
                resume=resume,
                at_most=at_most,
                accel=accel.value,
                guest_kernel=guest_kernel,
                control=control,
                preflight=preflight,
                seed=seed,
                verbose=verbose,
                command=("density", *sys.argv[1:]),
                kind=kind or {},
                kubeconfig=kubeconfig or {},
            )
        )
    )


@app.command()
def runs(*, runs_dir: RunsDir = RUNS) -> None:
    """List run directories, newest first."""
    from harness.cli.runs import runs_command  # noqa: PLC0415

    raise typer.Exit(runs_command(runs_dir))


@app.command()
def replay(
    run_dir: Annotated[Path, typer.Argument(help="A run directory, or the id of one.", metavar="RUN")],
    *,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Judge an old run again with today's checks, and write its reports anew."""
    from harness.cli.runs import replay_command  # noqa: PLC0415

    raise typer.Exit(replay_command(run_dir, runs_dir))


@app.command(name="import")
def import_(
    recording: Annotated[
        Path, typer.Argument(help="A recording (*.ndjson, *.ndjson.gz) or a run directory.")
    ],
    *,
    scenario: Annotated[Path, typer.Option(help="The scenario file that says what was done and expected.")],
    runs_dir: RunsDir = RUNS,
) -> None:
    """Make a run of a recording from elsewhere, and judge it."""
    from harness.cli.importing import import_command  # noqa: PLC0415

    raise typer.Exit(
        import_command(recording, scenario=scenario, runs=runs_dir, command=("density", *sys.argv[1:]))
    )


@app.command()
def clean(
    *,
    kind: Annotated[bool, typer.Option("--kind", help="Also delete kind clusters that leaked.")] = False,
    older_than: Annotated[
        float, typer.Option(help="With --kind and --kubeconfig: not those younger, in hours.")
    ] = 1.0,
    kept: Annotated[bool, typer.Option("--kept", help="With --kind: also those left by --keep.")] = False,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="Also remove what runs left in this cluster.")
    ] = None,
    context: Annotated[str | None, typer.Option("--context", help="A context of that kubeconfig.")] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", help="With --kubeconfig: only look there, not everywhere.")
    ] = "",
) -> None:
    """Undo what dead runs left on this machine."""
    from harness.cli.clean import clean_command, collect_command  # noqa: PLC0415

    code = clean_command()
    if kubeconfig is not None:
        left = leftovers_command(kubeconfig, context=context, namespace=namespace, hours=older_than)
        code = max(code, left)
    raise typer.Exit(max(code, collect_command(hours=older_than, kept=kept)) if kind else code)


@app.command()
def doctor(
    *, deep: Annotated[bool, typer.Option("--deep", help="Also boot a probe guest under KVM (5 s).")] = False
) -> None:
    """Tell what this machine can and cannot do, and the command that mends it."""
    from harness.cli.doctor import doctor_command  # noqa: PLC0415

    raise typer.Exit(doctor_command(deep=deep))


app.command()(record)
app.command()(rbac)
app.command()(claims)
app.command()(explain)
app.command()(report)
app.command()(compare)
app.command()(site)
app.command()(why)


def main() -> NoReturn:
    """Entry point: run a command; every error becomes one line and an exit code."""
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        from harness.cli import errors  # noqa: PLC0415

        if _State.debug:
            raise
        code, message = errors.explain(error)
        if message:
            typer.echo(f"density: {errors.printable(message)}", err=True)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
