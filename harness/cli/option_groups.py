"""Flags that several commands share: one keyword argument of a typer command, given as many options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_type_hints

import typer.models

Command = Callable[..., None]
Option = tuple[Any, typer.models.OptionInfo]
"""What it is annotated with (None for left out included), and its flag."""


def grouped(
    command: Command, argument: str, options: Mapping[str, Option], given: Callable[[Any], bool]
) -> Command:
    """Replace a command's keyword argument by options; it receives those that were `given` as a mapping by name."""
    signature = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    hints.pop(argument, None)
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
        if name != argument
    ]
    for name, (kind, option) in options.items():
        parameter = f"{argument}__{name}"
        hints[parameter] = Annotated[kind, option]
        parameters.append(
            inspect.Parameter(
                parameter, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hints[parameter]
            )
        )

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        found = {name: arguments.pop(f"{argument}__{name}", None) for name in options}
        command(**arguments, **{argument: {k: v for k, v in found.items() if given(v)}})

    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = hints
    return wrapper
