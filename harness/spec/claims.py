"""The claims registry: `suites/claims.yaml` as `Claim`s, literals parsed like those of scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final, Literal, cast

from harness.resources import claims_file
from harness.spec import read
from harness.spec.checks import expand_columns, read_expectation
from harness.spec.expectations import KINDS, Expectation
from harness.spec.files import read_text
from harness.spec.model import Claim, Today
from harness.spec.nodes import Fields, Items, Node, Scalar, kind_of, parse
from harness.spec.read import Reader
from harness.spec.subjects import Subjects

API_VERSION: Final = "density/v1"
DecidedBy = Literal["kubelet", "kubevirt", "kernel", "qemu", "kubernetes", "nobody"]
DECIDED_BY: Final = ("kubelet", "kubevirt", "kernel", "qemu", "kubernetes")
EVIDENCE: Final[Mapping[str, tuple[str, ...]]] = {
    "kubelet": ("real",),
    "kubevirt": ("real",),
    "kubernetes": ("real",),
    "kernel": ("kernel", "real"),
    "qemu": ("kernel", "real"),
    "nobody": (),
}
"""Who decides a claim → the evidence that settles it."""
VERDICTS: Final = ("differs", "refuted")
_KEYS: Final = (
    "id",
    "quote",
    "given",
    "decided-by",
    "promise",
    "today",
    "untestable",
    "note",
    "corrected",
)
_SUBJECT: Final = ("of", "fleets")
_ANY: Final = Subjects(fleets={"any": 1_000_000}, nodes=("any",))
"""Stands for the subject that a scenario's check names."""
_NAMED: Final = (*_SUBJECT, "fleet", "from", "node", "during")
"""What only a scenario can name."""


def load_claims(path: Path | None = None) -> Mapping[str, Claim]:
    """Claims by id, in the order of the page. `path` None: the registry that ships. Raises SpecError."""
    path = claims_file() if path is None else path
    return read_claims(read_text(path, shown=str(path)), file=str(path))


def read_claims(text: str, *, file: str) -> Mapping[str, Claim]:
    """Claims of a registry's text. Raises SpecError."""
    reader = Reader(parse(text, file), "a claims registry", ("apiVersion", "kind", "page", "claims"))
    read.choice(reader.need("apiVersion"), (API_VERSION,), "apiVersion")
    read.choice(reader.need("kind"), ("Claims",), "kind")
    claims: dict[str, Claim] = {}
    for item in read.items(reader.need("claims"), "claims"):
        claim = _claim(item)
        if claim.id in claims:
            raise item.mark.error(f"two claims are named '{claim.id}'")
        claims[claim.id] = claim
    return claims


def evidence_needed(claim: Claim) -> tuple[str, ...]:
    """Which evidence settles the claim; empty where nothing can."""
    return () if claim.untestable is not None else EVIDENCE[claim.decided_by]


def _claim(node: Node) -> Claim:
    reader = Reader(node, "a claim", _KEYS)
    untestable = reader.read("untestable", read.text)
    if (untestable is None) == (reader.get("promise") is None):
        raise reader.mark.error("a claim needs exactly one of 'promise' and 'untestable'")
    words = ""
    expectations: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    decided: DecidedBy = "nobody"
    if untestable is None:
        words, expectations = _promise(reader.need("promise"))
        decided = cast("DecidedBy", read.choice(reader.need("decided-by"), DECIDED_BY, "decider"))
    elif reader.has("today") or reader.has("decided-by") or reader.has("given"):
        raise reader.mark.error("an untestable claim has no 'today', 'decided-by' or 'given'")
    return Claim(
        id=read.text(reader.need("id")),
        quote=" ".join(read.text(reader.need("quote")).split()),
        promise=words,
        promise_kind=expectations[0][0] if expectations else None,
        promise_args=expectations[0][1] if expectations else {},
        today=reader.read("today", _today) or (),
        decided_by=decided,
        given=reader.read("given", read.text) or "",
        untestable=untestable,
        also=expectations[1:],
        note=reader.read("note", read.text) or "",
        corrected=reader.read("corrected", read.text) or "",
    )


def _promise(node: Node) -> tuple[str, tuple[tuple[str, Mapping[str, Any]], ...]]:
    reader = Reader(node, "promise", ("says", "also", *KINDS))
    found = [_literal(reader)]
    found.extend(
        _literal(Reader(item, "an item of also", tuple(KINDS)))
        for item in (read.items(reader.need("also"), "also") if reader.has("also") else ())
    )
    return read.text(reader.need("says")), tuple(found)


def _today(node: Node) -> tuple[Today, ...]:
    result = []
    for item in read.items(node, "today"):
        reader = Reader(item, "an item of today", ("columns", "verdict", "why", *KINDS))
        kind, arguments = _literal(reader)
        columns = reader.get("columns")
        result.append(
            Today(
                kind=kind,
                args=arguments,
                verdict=cast(
                    "Literal['differs', 'refuted']",
                    read.choice(reader.need("verdict"), VERDICTS, "verdict"),
                ),
                columns=("*",) if columns is None else _columns(columns),
                why=read.text(reader.need("why")),
            )
        )
    return tuple(result)


def _columns(node: Node) -> tuple[str, ...]:
    items = node.items if isinstance(node, Items) else [node]
    return tuple(column for item in items for column in expand_columns(item))


def _literal(reader: Reader) -> tuple[str, Mapping[str, Any]]:
    kinds = [key for key in reader.node.fields if key in KINDS]
    if len(kinds) != 1:
        raise reader.mark.error(f"{reader.what} needs exactly one expectation, not {len(kinds)}")
    kind, node = kinds[0], reader.need(kinds[0])
    if not isinstance(node, Fields):
        raise node.mark.error(f"{kind} must be a mapping, not {kind_of(node)}")
    for subject in _NAMED:
        # A successor's `node` is a place (same, other), not a name.
        if subject in node.fields and (kind, subject) != ("successor", "node"):
            raise node.marks[subject].error(f"a claim does not say '{subject}': the scenario's check does")
    names = {field.name for field in fields(KINDS[kind])}
    key, value = ("of", "any") if "of" in names else ("from", "any")
    bound = Fields(
        node.mark, {key: Scalar(node.mark, value, value), **node.fields}, {key: node.mark, **node.marks}
    )
    return kind, arguments_of(read_expectation(kind, bound, _ANY))


def arguments_of(expectation: Expectation) -> Mapping[str, Any]:
    """The fields of an expectation but its subject, leaving out what is left open (the scenario's check keeps its own)."""
    return {
        field.name: value
        for field in fields(expectation)
        if field.name not in _SUBJECT
        and ((value := getattr(expectation, field.name)) != field.default or field.default is MISSING)
    }
