"""Loading a scenario: text and manifests in, a `Scenario` with every reference resolved out, or one SpecError.

The order of errors is the order of the file within each section; sections are read so that what is referred to
(nodes, fleets, steps) is known before what refers to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from harness.spec import fragments, read
from harness.spec.checks import COLUMNS, Subjects, read_checks
from harness.spec.expectations import Check
from harness.spec.files import read_text
from harness.spec.fleet import OpenFile, read_fleet
from harness.spec.model import NodeSpec, Scenario, Source, Stated
from harness.spec.nodes import Fields, Mark, Node, Scalar, from_plain, kind_of, parse, parse_value, plain
from harness.spec.paths import assign, split_override
from harness.spec.read import Reader, or_else
from harness.spec.workload import name_steps, read_workload
from harness.units import Seconds

API_VERSION: Final = "density/v1"
KEYS: Final = (
    "apiVersion",
    "kind",
    "metadata",
    "budget",
    "needs",
    "seed",
    "observe",
    "kubevirtVersion",
    "nodes",
    "kubevirt",
    "fleet",
    "workload",
    "promises",
    "requires",
    "control",
    "stated",
)
NODE_KEYS: Final = ("name", "memory", "kubelet")
CAPABILITIES: Final = ("cgroup-write", "cgroup-v2", "kvm", "ksm", "swap", "oom-adj-negative", "kmsg")
"""Names `density doctor` prints."""
DEFAULT_CONTROL: Final[Mapping[str, Any]] = {"promises": [], "requires": [{"survives": {"fleet": "all"}}]}
"""A control that does not say otherwise must leave every guest alive."""
_UNESCAPED: Final = re.compile(r"(?<!\\)=")
"""An equals sign in a path, before which `path=value` would be split."""


def load_scenario(
    path: Path | str, *, overrides: Iterable[str] = (), claims: Collection[str] | None = None
) -> Scenario:
    """Load a scenario file with `--set path=value` overrides applied. `claims`: known claim ids (None: not checked).

    Raises SpecError, always with the place. Nothing is started or written.
    """
    path = Path(path)
    shown = str(path)
    text = read_text(path, shown=shown)
    files: dict[str, str] = {}

    def open_file(name: str, mark: Mark) -> str:
        if name not in files:
            files[name] = read_text(path.parent / name, shown=name, mark=mark)
        return files[name]

    source = Source(path=shown, text=text, overrides=tuple(overrides))
    scenario = _load(source, open_file, claims)
    return replace(scenario, source=replace(source, files=files))


def load_from_source(source: Source, *, claims: Collection[str] | None = None) -> Scenario:
    """Load a scenario again from the text and files a run kept, without touching the disk. Raises SpecError."""

    def open_file(name: str, mark: Mark) -> str:
        if name not in source.files:
            raise mark.error(f"the run does not hold '{name}'")
        return source.files[name]

    return _load(source, open_file, claims)


def source_from_run(kept: Mapping[str, Any]) -> Source:
    """The Source in `run.json`'s `scenario` (`{"path", "text", "files", "set"}`)."""
    return Source(
        path=str(kept.get("path", "scenario.yaml")),
        text=str(kept["text"]),
        files=dict(kept.get("files", {})),
        overrides=tuple(kept.get("set", ())),
    )


def source_for_run(source: Source) -> dict[str, Any]:
    """What `run.json` keeps of a Source; the inverse of `source_from_run`."""
    return {
        "path": source.path,
        "text": source.text,
        "files": dict(source.files),
        "set": list(source.overrides),
    }


def control_of(scenario: Scenario) -> Scenario | None:
    """The control run of a scenario: the same file with `control:` applied; None where it has none.

    Unless `control:` says otherwise, the control promises nothing and requires that every guest survives.
    """
    if scenario.control is None:
        return None
    changes = {**DEFAULT_CONTROL, **scenario.control, "control": None}
    extra = tuple(
        _UNESCAPED.sub(r"\\=", path) + "=" + json.dumps(value, ensure_ascii=False)
        for path, value in changes.items()
    )
    return load_from_source(replace(scenario.source, overrides=(*scenario.source.overrides, *extra)))


def _load(source: Source, open_file: OpenFile, claims: Collection[str] | None) -> Scenario:
    return _interpret(_tree(source), source, open_file, claims)


def _tree(source: Source) -> Node:
    root = parse(source.text, source.path)
    if isinstance(root, Fields):
        name_steps(root.fields.get("workload"))
        for override in source.overrides:
            path, written, mark = split_override(override)
            assign(root, path, parse_value(written, mark), replace(mark, column=1))
    return root


def _interpret(root: Node, source: Source, open_file: OpenFile, claims: Collection[str] | None) -> Scenario:
    reader = Reader(root, "a scenario", KEYS)
    _expect(reader, "apiVersion", API_VERSION)
    _expect(reader, "kind", "Scenario")
    metadata = Reader(reader.need("metadata"), "metadata", ("name", "title"))
    nodes = _nodes(reader.get("nodes"))
    fleet = read_fleet(reader.need("fleet"), tuple(node.name for node in nodes), open_file)
    names = tuple(member.name for member in fleet)
    if not nodes and not all(member.match for member in fleet):
        raise reader.mark.error("a scenario needs 'nodes'")
    workload = reader.read("workload", lambda node: read_workload(node, names)) or ()
    subjects = Subjects(
        fleets={member.name: len(member.members) for member in fleet},
        steps=tuple(step.name for step in workload),
    )

    def checks(section: str) -> tuple[Check, ...]:
        node = reader.get(section)
        if node is None:
            return ()
        return read_checks(node, section=section, subjects=subjects, claims=claims)

    scenario = Scenario(
        name=read.name(metadata.need("name")),
        title=read.text(metadata.need("title")),
        source=source,
        nodes=nodes,
        kubevirt=reader.read("kubevirt", fragments.kubevirt) or {},
        kubevirt_version=reader.read("kubevirtVersion", lambda n: read.choice(n, COLUMNS, "KubeVirt column")),
        fleet=fleet,
        workload=workload,
        promises=checks("promises"),
        requires=checks("requires"),
        control=reader.read("control", _control),
        needs=reader.read("needs", lambda n: read.names(n, CAPABILITIES, "capability")) or (),
        budget=reader.read("budget", read.duration),
        observe=or_else(reader.read("observe", read.duration), Seconds(30.0)),
        seed=or_else(reader.read("seed", lambda n: read.whole(n, most=(1 << 63) - 1)), 1),
        stated=reader.read("stated", _stated),
    )
    if scenario.control is not None:
        _check_control(reader.need("control"), source, open_file)
    return scenario


def _check_control(node: Node, source: Source, open_file: OpenFile) -> None:
    """Interpret the control once, so that a mistake in it is an error where it stands in the file."""
    assert isinstance(node, Fields)
    root = _tree(source)
    assert isinstance(root, Fields)
    for path, default in DEFAULT_CONTROL.items():
        assign(root, path, from_plain(default, node.mark), node.mark)
    for path, value in node.fields.items():
        assign(root, path, value, node.marks[path])
    root.fields.pop("control", None)
    _interpret(root, source, open_file, None)


def _expect(reader: Reader, key: str, value: str) -> None:
    node = reader.need(key)
    written = node.text if isinstance(node, Scalar) else kind_of(node)
    if written != value:
        raise node.mark.error(f"{key} '{written}' is not a scenario's", suggestion=value)


def _nodes(node: Node | None) -> tuple[NodeSpec, ...]:
    result: list[NodeSpec] = []
    for item in read.items(node, "nodes") if node is not None else ():
        reader = Reader(item, "a node", NODE_KEYS)
        name = read.name(reader.need("name"))
        if any(name == other.name for other in result):
            raise reader.need("name").mark.error(f"two nodes are named '{name}'")
        result.append(
            NodeSpec(
                name=name,
                memory=reader.read("memory", read.memory),
                kubelet=reader.read("kubelet", fragments.kubelet) or {},
            )
        )
    if node is not None and not result:
        raise node.mark.error("nodes is empty")
    return tuple(result)


def _control(node: Node) -> Mapping[str, Any]:
    if not isinstance(node, Fields) or not node.fields:
        raise node.mark.error("control must be a mapping of paths to values, e.g. {nodes.target.memory: 2Gi}")
    return dict(plain(node))


def _stated(node: Node) -> Stated:
    reader = Reader(node, "stated", ("kubelet", "actions", "kubevirtColumn", "window"))
    actions = []
    for item in read.items(reader.need("actions"), "actions") if reader.has("actions") else ():
        if not isinstance(item, Fields):
            raise item.mark.error(f"an action must be a mapping, not {kind_of(item)}")
        actions.append(dict(plain(item)))
    window: tuple[Seconds, Seconds | None] = (Seconds(0.0), None)
    if (window_node := reader.get("window")) is not None:
        window = _window(window_node)
    return Stated(
        kubelet=reader.read("kubelet", fragments.kubelet) or {},
        actions=tuple(actions),
        kubevirt_column=reader.read("kubevirtColumn", lambda n: read.choice(n, COLUMNS, "KubeVirt column")),
        window=window,
    )


def _window(node: Node) -> tuple[Seconds, Seconds | None]:
    reader = Reader(node, "window", ("from", "to"))
    start = or_else(reader.read("from", read.duration), Seconds(0.0))
    end = reader.read("to", read.duration)
    if end is not None and end <= start:
        raise reader.need("to").mark.error("the window ends before it begins")
    return start, end
