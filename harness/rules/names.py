"""Names as Kubernetes allows them, and what it says of others.

Source: k8s.io/apimachinery/pkg/util/validation/validation.go `IsDNS1123Label`, `IsDNS1123Subdomain`, `IsValidPortName`
(v0.34).
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_LENGTH: Final = 63
_SUBDOMAIN_LENGTH: Final = 253
_PORT_NAME_LENGTH: Final = 15


def label_errors(name: str) -> list[str]:
    """What is wrong with an RFC 1123 label; empty: nothing."""
    text = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
    )
    return _errors(name, pattern=_LABEL, longest=_LABEL_LENGTH, text=text)


def subdomain_errors(name: str) -> list[str]:
    """What is wrong with an RFC 1123 subdomain; empty: nothing."""
    text = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
    )
    return _errors(name, pattern=_SUBDOMAIN, longest=_SUBDOMAIN_LENGTH, text=text)


def is_port_name(name: str) -> bool:
    """A name of a port: 1 to 15 of [a-z0-9-], a letter among them, no hyphen at either end or twice in a row."""
    return (
        len(name) <= _PORT_NAME_LENGTH
        and re.fullmatch("[-a-z0-9]+", name, re.ASCII) is not None
        and re.search("[a-z]", name) is not None
        and "--" not in name
        and not name.startswith("-")
        and not name.endswith("-")
    )


def _errors(name: str, *, pattern: str, longest: int, text: str) -> list[str]:
    out = []
    if len(name) > longest:
        out.append(f"must be no more than {longest} characters")
    if not re.fullmatch(pattern, name, re.ASCII):
        out.append(text)
    return out
