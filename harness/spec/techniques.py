"""Techniques as named presets: reading `suites/techniques.yaml`, combining (`ksm+swap`), applying to a scenario's tree.

A technique changes the tree before it is interpreted: what it says stands there as if it had been written, so that
nothing behind the loader knows of techniques but their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from harness.rules.quantities import Quantity
from harness.spec import fragments, read
from harness.spec.errors import closest
from harness.spec.host import TUNED_BY, read_host
from harness.spec.manifests import check_path
from harness.spec.nodes import Fields, Items, Mark, Node, Scalar, copied, flow, parse, plain
from harness.spec.paths import assign, split
from harness.spec.read import Reader
from harness.spec.subjects import share

API_VERSION: Final = "density/v1"
KEYS: Final = ("name", "title", "set", "request", "kubelet", "kubevirt", "host", "needs", "excludes")
BASELINE: Final = "baseline"
JOIN: Final = "+"
REQUEST: Final = "spec.domain.resources.requests.memory"
_GUEST: Final = ("domain", "memory", "guest")
_MIB: Final = 1 << 20
_VM: Final = "VirtualMachine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Technique:
    """One preset, or several combined. `set`: path into a VMI → value; `request`: share of the guest's memory."""

    name: str
    title: str
    set: Mapping[str, Node]
    request: float | None
    kubelet: Fields | None
    kubevirt: Fields | None
    host: Fields | None
    needs: tuple[str, ...]
    excludes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Techniques:
    """The presets by name, in the file's order, and what all have in common."""

    base: Mapping[str, Node]
    known: Mapping[str, Technique]

    def named(self, node: Node) -> tuple[Technique, ...]:
        """The techniques of `ksm+swap`, in the file's order. Raises SpecError at the node."""
        written = [part.strip() for part in read.text(node).split(JOIN)]
        for index, name in enumerate(written):
            if name not in self.known:
                raise node.mark.error(
                    f"unknown technique '{name}'; one of {', '.join(self.known)}, or several joined by '{JOIN}'",
                    suggestion=closest(name, self.known),
                )
            if name in written[:index]:
                raise node.mark.error(f"technique '{name}' is named twice")
        if BASELINE in written and len(written) > 1:
            raise node.mark.error(f"'{BASELINE}' is what the others are compared with; it can't be combined")
        found = tuple(self.known[name] for name in self.known if name in written)
        for one in found:
            for other in one.excludes:
                if other in written:
                    raise node.mark.error(f"'{one.name}' can't be combined with '{other}'")
        return found


@lru_cache(maxsize=8)
def read_techniques(text: str, *, file: str) -> Techniques:
    """The presets of a techniques file. Raises SpecError. What it returns is shared: nodes are copied where they are used."""
    reader = Reader(parse(text, file), "a techniques file", ("apiVersion", "kind", "base", "techniques"))
    read.choice(reader.need("apiVersion"), (API_VERSION,), "apiVersion")
    read.choice(reader.need("kind"), ("Techniques",), "kind")
    known: dict[str, Technique] = {}
    for item in read.items(reader.need("techniques"), "techniques"):
        one = _technique(item)
        if one.name in known:
            raise item.mark.error(f"two techniques are named '{one.name}'")
        known[one.name] = one
    base = Reader(reader.need("base"), "base", ("set",))
    return Techniques(base=_set(base.get("set")), known=known)


def _technique(node: Node) -> Technique:
    reader = Reader(node, "a technique", KEYS)
    for key, check in (("kubelet", fragments.kubelet), ("kubevirt", fragments.kubevirt), ("host", read_host)):
        reader.read(key, check)
    return Technique(
        name=read.name(reader.need("name")),
        title=read.text(reader.need("title")),
        set=_set(reader.get("set")),
        request=reader.read("request", share),
        kubelet=_fields(reader.get("kubelet")),
        kubevirt=_fields(reader.get("kubevirt")),
        host=_fields(reader.get("host")),
        needs=_texts(reader.get("needs")),
        excludes=_texts(reader.get("excludes")),
    )


def _fields(node: Node | None) -> Fields | None:
    return node if isinstance(node, Fields) else None


def _texts(node: Node | None) -> tuple[str, ...]:
    return () if node is None else tuple(read.text(item) for item in read.items(node, "a list of names"))


def _set(node: Node | None) -> Mapping[str, Node]:
    if node is None:
        return {}
    fields = Reader(node, "set", tuple(node.fields) if isinstance(node, Fields) else ()).node
    for path, mark in fields.marks.items():
        check_path(path, mark, kind="VirtualMachineInstance")
    return dict(fields.fields)


# -- applying ------------------------------------------------------------------------------------------------------


def apply_to_tree(root: Fields, found: tuple[Technique, ...], at: Mark) -> None:
    """Write what techniques say of nodes, KubeVirt, the machine and needs into a scenario's tree. Raises SpecError at `at`."""
    for one in found:
        if one.kubevirt is not None:
            _merge(root, "kubevirt", one.kubevirt, one.name, at)
        if one.host is not None:
            _lay_under(root, "host", one.host, at)
        if one.kubelet is not None:
            nodes = root.fields.get("nodes")
            for node in nodes.items if isinstance(nodes, Items) else ():
                if isinstance(node, Fields):
                    _merge(node, "kubelet", one.kubelet, one.name, at)
    needs = tuple(dict.fromkeys(need for one in found for need in one.needs))
    if needs:
        present = root.fields.get("needs")
        old = present.items if isinstance(present, Items) else [] if present is None else [present]
        texts = {item.text for item in old if isinstance(item, Scalar)}
        root.fields["needs"] = Items(at, [*old, *(Scalar(at, n, n) for n in needs if n not in texts)])
        root.marks["needs"] = at


def apply_to_manifest(
    manifest: Fields,
    found: tuple[Technique, ...],
    base: Mapping[str, Node],
    own: Mapping[str, Node],
    at: Mark,
) -> None:
    """Apply base, the fleet's own `set`, and techniques to a manifest in place. Raises SpecError."""
    kind = read.text(manifest.fields["kind"])
    for path, value in base.items():
        _put(manifest, path, value, kind=kind, mark=at)
    for path, value in own.items():
        assign(manifest, path, value, value.mark)
    theirs = {split(path): (path, value) for path, value in own.items()}
    for one in found:
        changes = dict(one.set)
        if one.request is not None and (request := _request(manifest, one.request, kind, at)) is not None:
            changes[REQUEST] = request
        for path, value in changes.items():
            other = theirs.get(_steps(path, kind))
            if other is not None and plain(other[1]) != plain(value):
                raise other[1].mark.error(
                    f"technique '{one.name}' sets {path} to {flow(value)}, 'set' here to {flow(other[1])}"
                )
            _put(manifest, path, value, kind=kind, mark=at)


def _steps(path: str, kind: str) -> tuple[str, ...]:
    return (*(("spec", "template") if kind == _VM else ()), *split(path))


def _put(manifest: Fields, path: str, value: Node, *, kind: str, mark: Mark) -> None:
    """Set a VMI's path in a VMI or in a VM's template. Removing what is not there makes nothing."""
    steps = _steps(path, kind)
    node: Node | None = manifest
    if isinstance(value, Scalar) and value.value is None:
        for step in steps[:-1]:
            node = node.fields.get(step) if isinstance(node, Fields) else None
        if isinstance(node, Fields):
            node.fields.pop(steps[-1], None)
            node.marks.pop(steps[-1], None)
        return
    assign(manifest, f"spec.template.{path}" if kind == _VM else path, copied(value), mark)


def _request(manifest: Fields, of_guest: float, kind: str, at: Mark) -> Scalar | None:
    """The request that is this share of the guest's memory; None where the manifest gives the guest no memory."""
    node: Node | None = manifest
    for step in _steps("spec", kind) + _GUEST:
        node = node.fields.get(step) if isinstance(node, Fields) else None
    if not isinstance(node, Scalar) or node.value is None:
        raise at.error("a share of the guest's memory needs spec.domain.memory.guest in the manifest")
    try:
        guest = Quantity.parse(node.text).value()
    except ValueError:
        return None  # told where the manifest is checked
    text = f"{int(guest * of_guest) // _MIB}Mi"
    return Scalar(at, text, text)


def _merge(into: Fields, key: str, more: Fields, name: str, at: Mark) -> None:
    """Merge a technique's fragment into what is written; a value that is written otherwise is an error there."""
    present = into.fields.get(key)
    if present is None or (isinstance(present, Scalar) and present.value is None):
        into.fields[key], into.marks[key] = copied(more), at
        return
    if not isinstance(present, Fields):
        return  # told where the section is read
    for inner, value in more.fields.items():
        old = present.fields.get(inner)
        if isinstance(old, Fields) and isinstance(value, Fields):
            _merge(present, inner, value, name, at)
        elif old is None:
            present.fields[inner], present.marks[inner] = copied(value), at
        elif plain(old) != plain(value):
            raise present.marks[inner].error(
                f"technique '{name}' sets {inner} to {flow(value)}, the scenario to {flow(old)}"
            )


def _lay_under(into: Fields, key: str, more: Fields, at: Mark) -> None:
    """Fill in what is not written: the scenario's own values stand above the technique's."""
    present = into.fields.get(key)
    if not isinstance(present, Fields):
        if present is None:
            into.fields[key], into.marks[key] = copied(more), at
        return
    if any(who in present.fields for who in TUNED_BY):
        return  # who tunes KSM sets himself what a technique would
    for inner, value in more.fields.items():
        if isinstance(value, Fields):
            _lay_under(present, inner, value, at)
        elif inner not in present.fields:
            present.fields[inner], present.marks[inner] = copied(value), at
