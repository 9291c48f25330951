from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig import guard


@pytest.mark.parametrize(
    "name",
    [
        "prod",
        "PROD-eu",
        "eu.prod.example.com",
        "prod2",
        "euprod",
        "my_production",
        "live",
        "shop-live-1",
        "prd",
        "coreprod",
    ],
)
def test_what_looks_like_production(name: str) -> None:
    assert guard.looks_like_production(name)


@pytest.mark.parametrize(
    "name",
    [
        "kind-density",
        "dev",
        "product-catalog-dev",
        "reproduce-bug",
        "delivery",
        "olive",
        "non-prod",
        "nonprod",
        "pre-prod",
        "preprod2",
        "alive",
        "",
    ],
)
def test_what_does_not(name: str) -> None:
    assert not guard.looks_like_production(name)


def identity(**changes: str) -> guard.Identity:
    return guard.Identity(
        **{"context": "c", "cluster": "k", "server": "https://10.0.0.1:6443", "namespace": "", **changes}
    )


def test_each_name_is_looked_at() -> None:
    assert guard.suspicions(identity()) == ()
    assert guard.suspicions(identity(context="live")) == ("context 'live'",)
    assert guard.suspicions(identity(cluster="prod")) == ("cluster 'prod'",)
    assert guard.suspicions(identity(namespace="shop-prod")) == ("namespace 'shop-prod'",)
    assert guard.suspicions(identity(server="https://api.prod.example.com/k8s/dev")) == (
        "host 'api.prod.example.com'",
    )


def test_node_labels_speak_too() -> None:
    nodes: list[dict[str, Any]] = [
        {"metadata": {"labels": {"example.com/environment": "production", "app": "prod"}}},
        {"metadata": {}},
    ]
    assert guard.suspicious_nodes(nodes) == ("node label example.com/environment=production",)


def test_it_must_be_named_and_meant() -> None:
    who = identity(context="live")
    guard.refuse(("context 'live'",), who, meant=True)
    guard.refuse((), who, meant=False)
    with pytest.raises(
        ClusterError, match=r"^context 'live' looks like production.*--context live --i-mean-it$"
    ):
        guard.refuse(("context 'live'",), who, meant=False)
