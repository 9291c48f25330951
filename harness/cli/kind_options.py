"""The flags of `--cluster kind`, one for each field of KindSettings, so that none can be forgotten."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Annotated, Any, Optional, get_type_hints

import typer

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


def kind_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a typer command the flags; it receives those that were given as its keyword argument `kind`."""
    signature = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    hints.pop("kind", None)
    names: dict[str, str] = {}
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
        if name != "kind"
    ]
    for item in fields(KindSettings):
        parameter = f"kind__{item.name}"
        names[parameter] = item.name
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
        hints[parameter] = Annotated[Optional[kind], option]  # noqa: UP045 - made at run time
        parameters.append(
            inspect.Parameter(
                parameter, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hints[parameter]
            )
        )

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        found = {field: given.pop(parameter, None) for parameter, field in names.items()}
        command(**given, kind={k: v for k, v in found.items() if v is not None})

    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = hints
    return wrapper
