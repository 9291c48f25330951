"""A fresh machine installs `-c constraints.txt -e .[dev]`: what is pinned must be what is asked for."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    split = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in split}


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


def test_every_dependency_is_pinned_to_a_version_it_allows() -> None:
    pinned = pins()
    wrong = [
        f"{one} is pinned to {pinned.get(canonicalize_name(one.name))}"
        for one in asked()
        if one.name != "kubevirt-density"
        and not ((version := pinned.get(canonicalize_name(one.name))) and one.specifier.contains(version))
    ]
    assert wrong == []
