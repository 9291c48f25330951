"""A fresh machine installs `-c constraints.txt -e .[dev]`: what is pinned must be what is asked for."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
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


def imported(*packages: str) -> set[str]:
    """Third-party distributions that the code of packages imports, wherever in a file."""
    modules: set[str] = set()
    for path in (path for package in packages for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import():
                    modules |= {alias.name.partition(".")[0] for alias in node.names}
                case ast.ImportFrom(level=0, module=str(name)):
                    modules.add(name.partition(".")[0])
    known = packages_distributions()
    ours = {"harness", "workloads", "tests", "benchmarks", *sys.stdlib_module_names}
    return {canonicalize_name(known.get(name, [name])[0]) for name in modules - ours}


def test_everything_imported_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    e2e = {"pytest-kind", "pykube-ng"}  # an extra; imported only where it is there
    optional = {canonicalize_name(one.name) for one in asked()}
    brought = {
        "markupsafe",
        "jsonpointer",
        "packaging",
    }  # by jinja2, jsonpatch, pytest, whose interfaces speak of them
    plugin = {"pytest"}  # loads the module that imports it
    assert imported("harness", "workloads") - needed - e2e - brought - plugin == set()
    assert imported("tests", "benchmarks") - optional - brought == set()
