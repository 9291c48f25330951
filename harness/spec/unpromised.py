"""Claims that no scenario promises, and why: `suites/unpromised.yaml`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from harness.spec import read
from harness.spec.files import read_text
from harness.spec.nodes import parse
from harness.spec.read import Reader


def load_unpromised(path: Path, claims: Collection[str]) -> Mapping[str, str]:
    """Claim → why no scenario promises it; {} where the file is not there. `claims`: the known ids. Raises SpecError."""
    if not path.is_file():
        return {}
    return read_unpromised(read_text(path, shown=str(path)), file=str(path), claims=claims)


def read_unpromised(text: str, *, file: str, claims: Collection[str]) -> Mapping[str, str]:
    """The same of a file's text. Raises SpecError."""
    reader = Reader(parse(text, file), "a list of unpromised claims", ("apiVersion", "kind", "claims"))
    read.choice(reader.need("apiVersion"), ("density/v1",), "apiVersion")
    read.choice(reader.need("kind"), ("Unpromised",), "kind")
    listed = Reader(reader.need("claims"), "claims", sorted(claims))
    return {claim: " ".join(read.text(reason).split()) for claim, reason in listed.node.fields.items()}
