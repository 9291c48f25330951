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
from typing import Any, Final, Literal, cast

from harness.resources import techniques_file
from harness.spec import fragments, read
from harness.spec.checks import COLUMNS, read_checks
from harness.spec.daemons import read_daemons
from harness.spec.expectations import Check
from harness.spec.files import read_text
from harness.spec.fleet import Applied, OpenFile, read_fleet
from harness.spec.host import read_host
from harness.spec.matrix import MOST_NAME, MOST_REPEATS, TECHNIQUE, choose, read_matrix, slug_of, take_cluster
from harness.spec.model import HostSettings, NodeSpec, Scenario, Source, Stated
from harness.spec.nodes import Fields, Mark, Node, Scalar, from_plain, kind_of, parse, parse_value, plain
from harness.spec.paths import assign, split_override
from harness.spec.read import Reader, or_else
from harness.spec.subjects import Subjects
from harness.spec.techniques import JOIN, apply_to_tree, read_techniques
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
    "tier",
    "technique",
    "matrix",
    "repeats",
    "host",
    "daemons",
    "kubevirtConfigMap",
)
NODE_KEYS: Final = ("name", "memory", "kubelet")
TIERS: Final = ("quick", "full")
CAPABILITIES: Final = ("cgroup-write", "cgroup-v2", "kvm", "ksm", "swap", "oom-adj-negative", "kmsg")
"""Names `density doctor` prints."""
NODE_MEMORY: Final = "node-memory"
"""Another of them, that every scenario needs: nodes of the size it asks for."""
SETTINGS: Final = ("kubelet-settings", "kubevirt-settings")
"""Others, of clusters that are not ours: they are lacking where a scenario asks for what is not so already."""
DEFAULT_CONTROL: Final[Mapping[str, Any]] = {"promises": [], "requires": [{"survives": {"fleet": "all"}}]}
"""A control that does not say otherwise must leave every guest alive."""
_UNESCAPED: Final = re.compile(r"(?<!\\)=")
"""An equals sign in a path, before which `path=value` would be split."""
_SHAPE: Final = re.compile(r"(matrix|repeats)\b")
"""Overrides that say which scenarios there are; all others change one of them."""
_MOST_SEED: Final = (1 << 63) - 1 - MOST_REPEATS


def load_scenario(
    path: Path | str,
    *,
    overrides: Iterable[str] = (),
    claims: Collection[str] | None = None,
    cluster: str = "",
    matrix: Mapping[str, str] | None = None,
    repeat: int = 0,
) -> Scenario:
    """Load one scenario with `--set path=value` overrides applied. `claims`: known claim ids (None: not checked).

    `cluster`: whose `per-cluster` values are taken ('': those of `local`). `matrix`: label of each axis, needed for a file
    with a matrix. `repeat`: which of its repeats, from 1 (0: the scenario by itself).
    Raises SpecError, always with the place. Nothing is started or written.
    """
    source, files = _source(path, overrides, cluster)
    chosen = replace(source, matrix=dict(matrix or {}), repeat=repeat)
    return _load_from_disk(chosen, Path(path).parent, files, claims)


def load_scenarios(
    path: Path | str,
    *,
    overrides: Iterable[str] = (),
    claims: Collection[str] | None = None,
    cluster: str = "",
    repeats: int | None = None,
) -> tuple[Scenario, ...]:
    """Load every scenario a file makes: each combination of its `matrix`, each of its `repeats`.

    Repeats go round by round, so that what drifts while they run reaches all combinations alike. `repeats`: in place of
    the file's. Names are stable: `<name>-<label>-…-r<repeat>`. Raises SpecError.
    """
    source, files = _source(path, overrides, cluster)
    root = _parsed(source)
    found = read_matrix(root) if isinstance(root, Fields) else None
    times = repeats if repeats is not None else _repeats(root)
    rounds = range(1, times + 1) if times > 1 else (0,)
    combinations = list(found.combinations()) if found is not None else [dict[str, str]()]
    return tuple(
        _load_from_disk(replace(source, matrix=labels, repeat=turn), Path(path).parent, files, claims)
        for turn in rounds
        for labels in combinations
    )


def _source(path: Path | str, overrides: Iterable[str], cluster: str) -> tuple[Source, dict[str, str]]:
    shown = str(path)
    text = read_text(Path(path), shown=shown)
    return Source(path=shown, text=text, overrides=tuple(overrides), cluster=cluster), {}


def _load_from_disk(
    source: Source, base: Path, files: dict[str, str], claims: Collection[str] | None
) -> Scenario:
    used: dict[str, str] = {}

    def open_file(name: str, mark: Mark) -> str:
        if name not in files:
            files[name] = read_text(base / name, shown=name, mark=mark)
        used[name] = files[name]
        return files[name]

    scenario = _load(source, open_file, claims)
    return replace(scenario, source=replace(scenario.source, files=used))


def load_from_source(source: Source, *, claims: Collection[str] | None = None) -> Scenario:
    """Load a scenario again from the text and files a run kept, without touching the disk. Raises SpecError."""

    def open_file(name: str, mark: Mark) -> str:
        if name not in source.files:
            raise mark.error(f"the run does not hold '{name}'")
        return source.files[name]

    return _load(source, open_file, claims)


def source_from_run(kept: Mapping[str, Any]) -> Source:
    """The Source in `run.json`'s `scenario`: `path`, `text`, `files`, `set`, and where used `matrix`, `repeat`, `cluster`, `techniques`."""
    return Source(
        path=str(kept.get("path", "scenario.yaml")),
        text=str(kept["text"]),
        files=dict(kept.get("files", {})),
        overrides=tuple(kept.get("set", ())),
        matrix=dict(kept.get("matrix", {})),
        repeat=int(kept.get("repeat", 0)),
        cluster=str(kept.get("cluster", "")),
        techniques=kept.get("techniques"),
    )


def source_for_run(source: Source) -> dict[str, Any]:
    """What `run.json` keeps of a Source; the inverse of `source_from_run`."""
    return {
        "path": source.path,
        "text": source.text,
        "files": dict(source.files),
        "set": list(source.overrides),
        **({"matrix": dict(source.matrix)} if source.matrix else {}),
        **({"repeat": source.repeat} if source.repeat else {}),
        **({"cluster": source.cluster} if source.cluster else {}),
        **({"techniques": source.techniques} if source.techniques is not None else {}),
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
    root, source = _tree(source)
    return _interpret(root, source, open_file, claims)


def _parsed(source: Source) -> Node:
    """The file as a tree, with the overrides that change which scenarios there are."""
    root = parse(source.text, source.path)
    if isinstance(root, Fields):
        name_steps(root.fields.get("workload"))
        _override(root, (text for text in source.overrides if _SHAPE.match(text)))
    return root


def _tree(source: Source) -> tuple[Node, Source]:
    """The tree of one scenario, a combination chosen, overrides and the cluster's values in place; axes in the file's order."""
    root = _parsed(source)
    if not isinstance(root, Fields):
        return root, source
    matrix = read_matrix(root)
    if matrix is not None:
        if not source.matrix:
            count = len(list(matrix.combinations()))
            raise matrix.mark.error(f"this file makes {count} scenarios; which one is meant is not said")
        choose(root, matrix, source.matrix)
        source = replace(source, matrix={axis: source.matrix[axis] for axis in matrix.axes})
    elif source.matrix:
        raise root.mark.error("the file has no matrix to choose from")
    _override(root, (text for text in source.overrides if not _SHAPE.match(text)))
    take_cluster(root, source.cluster)
    return root, source


def _override(root: Fields, overrides: Iterable[str]) -> None:
    for override in overrides:
        path, written, mark = split_override(override)
        assign(root, path, parse_value(written, mark), replace(mark, column=1))


def _repeats(root: Node) -> int:
    node = root.fields.get("repeats") if isinstance(root, Fields) else None
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return 1
    return read.whole(node, least=1, most=MOST_REPEATS)


def _techniques(source: Source, root: Node) -> tuple[Source, Applied | None]:
    """The techniques a scenario names, laid over its tree; the source then holds the presets' text."""
    node = root.fields.get(TECHNIQUE) if isinstance(root, Fields) else None
    if not isinstance(root, Fields) or node is None or (isinstance(node, Scalar) and node.value is None):
        return source, None
    file = techniques_file()
    text = source.techniques if source.techniques is not None else read_text(file, shown=str(file))
    known = read_techniques(text, file=file.name)
    found = known.named(node)
    apply_to_tree(root, found, node.mark)
    return replace(source, techniques=text), Applied(found=found, base=known.base, mark=node.mark)


def _named(base: str, title: str, source: Source) -> tuple[str, str]:
    """Name and title of one of a file's scenarios."""
    parts = [slug_of(label) for label in source.matrix.values()]
    shown = [f"{axis} {label}" for axis, label in source.matrix.items()]
    if source.repeat:
        parts.append(f"r{source.repeat}")
        shown.append(f"repeat {source.repeat}")
    return "-".join([base, *parts]), f"{title} ({', '.join(shown)})" if shown else title


def _interpret(root: Node, source: Source, open_file: OpenFile, claims: Collection[str] | None) -> Scenario:
    source, applied = _techniques(source, root)
    reader = Reader(root, "a scenario", KEYS)
    _expect(reader, "apiVersion", API_VERSION)
    _expect(reader, "kind", "Scenario")
    metadata = Reader(reader.need("metadata"), "metadata", ("name", "title"))
    nodes = _nodes(reader.get("nodes"))
    fleet = read_fleet(reader.need("fleet"), tuple(node.name for node in nodes), open_file, applied)
    names = tuple(member.name for member in fleet)
    if not nodes and not all(member.match for member in fleet):
        raise reader.mark.error("a scenario needs 'nodes'")
    daemons = reader.read("daemons", lambda node: read_daemons(node, nodes, fleet)) or ()
    workload = (
        reader.read("workload", lambda node: read_workload(node, names, tuple(d.name for d in daemons))) or ()
    )
    subjects = Subjects.of(nodes, fleet, workload)
    _repeats(root)
    plain_name, plain_title = read.name(metadata.need("name")), read.text(metadata.need("title"))
    name, title = _named(plain_name, plain_title, source)
    if len(name) > MOST_NAME:
        raise metadata.need("name").mark.error(f"'{name}' has more than {MOST_NAME} characters")

    def checks(section: str) -> tuple[Check, ...]:
        node = reader.get(section)
        if node is None:
            return ()
        return read_checks(node, section=section, subjects=subjects, claims=claims)

    scenario = Scenario(
        name=name,
        title=title,
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
        # Repeats differ in what is drawn by lot, or they would repeat nothing but the machine's own noise.
        seed=or_else(reader.read("seed", lambda n: read.whole(n, most=_MOST_SEED)), 1)
        + max(0, source.repeat - 1),
        stated=reader.read("stated", _stated),
        tier=cast(
            "Literal['quick', 'full']",
            reader.read("tier", lambda n: read.choice(n, TIERS, "tier")) or TIERS[0],
        ),
        technique=JOIN.join(one.name for one in applied.found) if applied is not None else "",
        host=reader.read("host", lambda n: read_host(n, open_file, nodes, workload)) or HostSettings(),
        daemons=daemons,
        config_map=reader.read("kubevirtConfigMap", fragments.config_map) or {},
    )
    if scenario.control is not None:
        _check_control(reader.need("control"), source, open_file)
    return scenario


def _check_control(node: Node, source: Source, open_file: OpenFile) -> None:
    """Interpret the control once, so that a mistake in it is an error where it stands in the file."""
    assert isinstance(node, Fields)
    root, _ = _tree(source)
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
