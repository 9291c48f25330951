"""`density record`, `density rbac`: what concerns existing clusters beside `density run --cluster kubeconfig`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import errors

Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="A kubeconfig file; else $KUBECONFIG, else ~/.kube/config."),
]
Context = Annotated[
    str | None,
    typer.Option("--context", help="A context of it; else its current one.", envvar="DENSITY_CONTEXT"),
]


def record(
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Annotated[
        list[str] | None, typer.Option("-n", "--namespace", help="Only this one. Repeatable.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            help="End when seen: evicted, oom, pressure, failed, ended; also of one VMI, pod or node: evicted:NAME.",
            metavar="WHAT[:NAME]",
        ),
    ] = None,
    linger: Annotated[float, typer.Option(help="Seconds to go on after that.")] = 10.0,
    seconds: Annotated[float | None, typer.Option("--for", help="End after so many seconds.")] = None,
    consoles: Annotated[
        bool, typer.Option("--consoles", help="Also read serial consoles; whoever has one open loses it.")
    ] = False,
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", help="Where run directories are.", envvar="DENSITY_RUNS_DIR")
    ] = Path("runs"),
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more.")] = 0,
) -> None:
    """Record a live cluster, read-only, into a run directory, until Ctrl-C: for `import`, `why` and bug reports."""
    import sys  # noqa: PLC0415

    from harness.cli.logging import configure  # noqa: PLC0415
    from harness.run.awaited import KINDS, Awaited  # noqa: PLC0415
    from harness.run.record import Request  # noqa: PLC0415

    configure(verbose)
    awaited: Awaited | None = None
    if until is not None:
        kind, _, name = until.partition(":")
        if kind not in KINDS:
            told = "; ".join(f"{k}: {text}" for k, text in KINDS.items())
            raise errors.UsageError(f"--until {kind}: not known. {told}")
        awaited = Awaited(kind=kind, name=name, started=time.time())
    request = Request(
        runs=runs_dir,
        kubeconfig=kubeconfig,
        context=context,
        namespaces=tuple(namespace or ()),
        until=awaited,
        linger=linger,
        seconds=seconds,
        consoles=consoles,
        command=("density", *sys.argv[1:]),
        tell=typer.echo,
    )
    raise typer.Exit(record_command(request))


def record_command(request: Any) -> int:
    """Record; 0 when it ended as asked, 1 when what was waited for was not seen."""
    from harness.run.interrupt import Interrupt  # noqa: PLC0415
    from harness.run.record import record as carry_out  # noqa: PLC0415

    async def interruptibly() -> Any:
        interrupt = Interrupt()
        with interrupt.signals():
            return await carry_out(request, interrupt=interrupt)

    result = asyncio.run(interruptibly())
    directory = result.directory
    typer.echo(f"{result.text}: {directory.path}")
    typer.echo(
        f"evidence {directory.provenance.evidence}; judge it: density import {directory.path} --scenario FILE"
    )
    return errors.NOT_SEEN if result.outcome == "not-seen" else errors.OK


def rbac(
    *,
    namespace: Annotated[str, typer.Option("-n", "--namespace", help="Where runs happen.")] = "density",
    account: Annotated[str, typer.Option("--account", help="Name of the service account.")] = "density",
    part: Annotated[
        list[str] | None,
        typer.Option(
            "--part",
            help="Also: namespaces (one per run), kubevirt-settings (patch the CR). Repeatable.",
        ),
    ] = None,
    node_stats: Annotated[
        bool,
        typer.Option(
            "--node-stats/--no-node-stats",
            help="Read stats/summary and configz: get nodes/proxy, which reaches every GET address of a kubelet.",
        ),
    ] = True,
    node_reader: Annotated[
        bool,
        typer.Option(
            "--node-reader", help="Also what --node-reader needs, and what it would run, as a comment."
        ),
    ] = False,
    allow_kubelet_config: Annotated[
        bool,
        typer.Option(
            "--allow-kubelet-config",
            help="Also what --allow-kubelet-config needs, and what it would run on a node, as a comment.",
        ),
    ] = False,
    node_reader_image: Annotated[
        str, typer.Option("--node-reader-image", help="The image in that comment.")
    ] = "REF",
    kubevirt_namespace: Annotated[
        str, typer.Option("--kubevirt-namespace", help="Where the KubeVirt CR is.")
    ] = "kubevirt",
) -> None:
    """Print the least rights that runs on an existing cluster need, as a manifest for kubectl apply."""
    from harness.cluster.kubeconfig import shown  # noqa: PLC0415
    from harness.cluster.kubeconfig.rights import PARTS, manifest_yaml  # noqa: PLC0415

    parts = [
        *(part or ()),
        *(["node-stats"] if node_stats else []),
        *(["node-reader"] if node_reader else []),
        *(["kubelet-settings"] if allow_kubelet_config else []),
    ]
    for name in parts:
        if name not in PARTS:
            raise errors.UsageError(f"--part {name}: not known; there are {', '.join(sorted(PARTS))}")
    text = manifest_yaml(
        namespace=namespace, account=account, parts=parts, kubevirt_namespace=kubevirt_namespace
    )
    for wanted, made in (
        ("node-reader", shown.reader),
        ("kubelet-settings", shown.kubelet),
    ):
        if wanted in parts:
            typer.echo(made(namespace=namespace, image=node_reader_image), nl=False)
    typer.echo(text, nl=False)


def leftovers_command(kubeconfig: Path, *, context: str | None, namespace: str, hours: float) -> int:
    """Remove what runs left in an existing cluster and print it; exit 3 if something could not be."""
    from datetime import timedelta  # noqa: PLC0415

    from harness.cluster.kubeconfig.leftovers import collect  # noqa: PLC0415
    from harness.kube.config import choose  # noqa: PLC0415
    from harness.kube.connection import connect  # noqa: PLC0415
    from harness.kube.objects import Objects  # noqa: PLC0415

    async def look() -> Any:
        async with connect(choose(kubeconfig, context=context).document) as connection:
            return await collect(
                Objects(connection, patience=5.0), namespace=namespace, older_than=timedelta(hours=hours)
            )

    found = asyncio.run(look())
    for item in found:
        typer.echo(str(item))
    if not found:
        typer.echo("nothing of ours in the cluster")
    return errors.BROKEN if any(item.failed for item in found) else errors.OK
