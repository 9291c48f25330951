"""The flags of `--cluster kind`, one for each field of KindSettings, so that none can be forgotten."""

from __future__ import annotations

from dataclasses import MISSING, fields

import typer

from harness.cli.option_groups import Command, Option, grouped
from harness.cluster.kind.settings import KindSettings

PANEL = "Clusters of --cluster kind"
_OWN_NAME = {"engine": "container-engine", "emulation": "kubevirt-emulation"}
_BARE = ("kind_bin", "kubectl_bin", "kubevirt_", "engine", "emulation")


def flag(name: str) -> str:
    """Return the flag of a field: `image` → `--kind-image`, `kubevirt_manifests` → `--kubevirt-manifests`."""
    own = _OWN_NAME.get(name)
    if own:
        return f"--{own}"
    text = name.replace("_", "-")
    return f"--{text}" if name.startswith(_BARE) else f"--kind-{text}"


def kind_options(command: Command) -> Command:
    """Give a typer command the flags; it receives those that were given as its keyword argument `kind`."""
    options: dict[str, Option] = {}
    for item in fields(KindSettings):
        assert item.default is not MISSING
        switch = isinstance(item.default, bool)
        kind = type(item.default) if isinstance(item.default, bool | int | float) else str
        option = typer.Option(
            f"{flag(item.name)}/--no-{flag(item.name)[2:]}" if switch else flag(item.name),
            help=str(item.metadata["help"]),
            # read by KindSettings too, so that pytest and `density run` see the same
            envvar=f"DENSITY_{item.metadata['env']}",
            rich_help_panel=PANEL,
            show_default=False,
        )
        options[item.name] = (kind | None, option)
    return grouped(command, "kind", options, given=lambda value: value is not None)
