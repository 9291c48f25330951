"""`density explain`: what KubeVirt requests for a VMI, and what scheduler, kubelet and kernel make of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from harness.explain.model import Explanation
    from harness.explain.settings import Settings
    from harness.explain.sources import Manifest
    from harness.rules.quantities import Quantity


class Output(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def explain(
    manifest: Annotated[
        list[Path],
        typer.Argument(
            metavar="MANIFEST...", help="VirtualMachineInstance or VirtualMachine; '-' is standard input."
        ),
    ],
    *,
    kubevirt_version: Annotated[
        str, typer.Option(metavar="VERSION", help="KubeVirt version: v1.6, v1.7, v1.8, v1.9 or main.")
    ] = "main",
    kubevirt_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="KubeVirt CR, or a fragment of its spec.configuration."),
    ] = None,
    kubelet_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="KubeletConfiguration, or a fragment of one.")
    ] = None,
    node_memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory of the node.")] = "8Gi",
    node_swap: Annotated[str | None, typer.Option(metavar="SIZE", help="Swap of the node.")] = None,
    node_cpu: Annotated[
        str | None, typer.Option(metavar="CPUS", help="CPUs of the node; without it they don't bound.")
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to write it.")] = Output.TABLE,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show what changes from the first manifest to the second.")
    ] = False,
) -> None:
    """Explain what a VMI costs a node: requests, class, how many fit, what evicts it.

    Exit code 2: a mistake, or a manifest or setting that the API server would refuse; one line each on standard error.
    """
    from harness.explain.explain import exit_code  # noqa: PLC0415 - `density --help` stays fast
    from harness.explain.explain import explain as explain_all  # noqa: PLC0415
    from harness.explain.settings import Settings, read_kubelet, read_kubevirt  # noqa: PLC0415
    from harness.rules.errors import RulesError  # noqa: PLC0415

    if diff and len(manifest) != 2:
        _fail(f"--diff takes two manifests, not {len(manifest)}")
    memory = _positive("--node-memory", node_memory).value()
    swap = None if node_swap is None else _positive("--node-swap", node_swap).value()
    cpu = None if node_cpu is None else _positive("--node-cpu", node_cpu).milli_value()
    kubelet = _settings(kubelet_config, read_kubelet)
    try:
        read = partial(read_kubevirt, column=kubevirt_version)
        kubevirt = _settings(kubevirt_config, read) or Settings(value={})
        explanations = explain_all(
            [_manifest(path, kubevirt_version) for path in manifest],
            column=kubevirt_version,
            kubevirt_config=kubevirt.value,
            kubelet_config=None if kubelet is None else kubelet.value,
            node_memory=memory,
            node_swap=swap,
            node_cpu_milli=cpu,
            quoted_overcommit=kubevirt.quoted_overcommit,
        )
    except RulesError as error:
        _fail(f"{kubelet_config}: the kubelet would not start: {error}" if _kubelets(error) else str(error))
    typer.echo(_written(explanations, output=output, diff=diff))
    mistakes = [*kubevirt.mistakes, *(kubelet.mistakes if kubelet is not None else ())]
    mistakes += [mistake for explanation in explanations for mistake in explanation.mistakes]
    for line in dict.fromkeys(str(mistake) for mistake in mistakes):
        typer.echo(line, err=True)
    if mistakes or exit_code(explanations):
        raise typer.Exit(2)


def _fail(message: str) -> NoReturn:
    typer.echo(f"density explain: {message}", err=True)
    raise typer.Exit(2)


def _kubelets(error: Exception) -> bool:
    from harness.rules.errors import ColumnError  # noqa: PLC0415

    return not isinstance(error, ColumnError)


def _positive(option: str, text: str) -> Quantity:
    from harness.explain.sources import unit  # noqa: PLC0415
    from harness.rules.errors import QuantityError  # noqa: PLC0415
    from harness.rules.quantities import Quantity  # noqa: PLC0415

    try:
        quantity = Quantity.parse(text)
    except QuantityError as error:
        near = unit(text)
        hint = "" if near is None else f" (did you mean '{near}'?)"
        _fail(f"{option} '{text}' is no quantity: {error}{hint}")
    if quantity.nano <= 0:
        _fail(f"{option} '{text}' must be more than 0")
    return quantity


def _text(path: Path) -> str:
    from harness.spec.files import read_text  # noqa: PLC0415

    return sys.stdin.read() if str(path) == "-" else read_text(path, shown=str(path))


def _manifest(path: Path, column: str) -> Manifest:
    from harness.explain.sources import Manifest, read_manifest  # noqa: PLC0415
    from harness.spec.errors import SpecError  # noqa: PLC0415

    shown = "<stdin>" if str(path) == "-" else str(path)
    try:
        return read_manifest(_text(path), shown, column=column)
    except SpecError as error:
        return Manifest(file=shown, text="", object=None, mistakes=(error,))


def _settings(path: Path | None, read: Callable[[str, str], Settings]) -> Settings | None:
    from harness.explain.settings import Settings  # noqa: PLC0415
    from harness.spec.errors import SpecError  # noqa: PLC0415

    if path is None:
        return None
    try:
        return read(_text(path), str(path))
    except SpecError as error:
        return Settings(value={}, mistakes=(error,))


def _written(explanations: Sequence[Explanation], *, output: Output, diff: bool) -> str:
    from harness.explain import present  # noqa: PLC0415

    if output is Output.TABLE:
        if diff:
            return "\n".join(present.diff_table(*explanations))
        return "\n\n".join("\n".join(present.table(explanation)) for explanation in explanations)
    data = present.diff(*explanations) if diff else [present.to_data(item) for item in explanations]
    if output is Output.JSON:
        import orjson  # noqa: PLC0415

        return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()
    import yaml  # noqa: PLC0415

    return str(yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)).rstrip()
