"""Refusing what looks like a production cluster, unless it was named and meant.

The rule (documented in docs/existing-clusters.md): context name, cluster name, server host and namespace are cut
into words at everything that is no letter or digit; a word `prod`, `production`, `prd` or `live`, also with a number
behind it or glued to another word (`euprod`, `prod2`), looks like production, unless it says that it is not
(`non-prod`, `preprod`, `nonprod`). So do nodes labelled `env`, `environment`, `stage` or `tier` with such a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness.cluster.errors import ClusterError

_WORDS = re.compile(r"[a-z]+|\d+")
_EXACT = frozenset({"live", "prd"})
_NEGATIONS = frozenset({"non", "not", "no", "pre"})
_STAGE_LABELS = frozenset({"env", "environment", "stage", "tier"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a cluster is called, from the kubeconfig alone."""

    context: str
    cluster: str
    server: str
    namespace: str


def looks_like_production(name: str) -> bool:
    """Tell by one name."""
    words = _WORDS.findall(name.lower())
    for before, word in zip(["", *words], words, strict=False):
        if word in _EXACT and before not in _NEGATIONS:
            return True
        if _is_production(word) and before not in _NEGATIONS:
            return True
    return False


def _is_production(word: str) -> bool:
    if word.startswith(("product", "produce", "prodigy", "reprod")) and not word.startswith("production"):
        return False
    head, found, _ = word.partition("prod")
    return bool(found) and not head.endswith(("non", "not", "pre"))


def suspicions(identity: Identity) -> tuple[str, ...]:
    """Return what looks like production in a kubeconfig context, in words."""
    host = urlsplit(identity.server).hostname or ""
    named = {
        "context": identity.context,
        "cluster": identity.cluster,
        "host": host,
        "namespace": identity.namespace,
    }
    return tuple(f"{what} {name!r}" for what, name in named.items() if looks_like_production(name))


def suspicious_nodes(nodes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what nodes' labels say of production, in words, each once."""
    found: dict[str, None] = {}
    for node in nodes:
        for label, value in (node["metadata"].get("labels") or {}).items():
            if label.rpartition("/")[2] in _STAGE_LABELS and looks_like_production(str(value)):
                found[f"node label {label}={value}"] = None
    return tuple(found)


def refuse(found: tuple[str, ...], identity: Identity, *, meant: bool) -> None:
    """Raise ClusterError when something looks like production and was not meant.

    `meant`: the user named the context and said so (`--context NAME --i-mean-it`).
    """
    if found and not meant:
        raise ClusterError(
            f"{found[0]} looks like production, where nothing is squeezed by accident; "
            f"if it is meant: --context {identity.context} --i-mean-it"
        )
