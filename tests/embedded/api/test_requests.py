from __future__ import annotations

import pytest

from harness.embedded.api.errors import NotAcceptable, NotFound
from harness.embedded.api.requests import parse_accept, parse_target


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pods", (None, "", "", ())),
        ("namespaces/d/pods", ("d", "", "", ())),
        ("namespaces/d/pods/p", ("d", "p", "", ())),
        ("namespaces/d/pods/p/log", ("d", "p", "log", ())),
        ("namespaces", (None, "", "", ())),
        ("namespaces/d", (None, "d", "", ())),
        ("namespaces/d/status", (None, "d", "status", ())),
        ("nodes/n/proxy/stats/summary", (None, "n", "proxy", ("stats", "summary"))),
    ],
)
def test_paths(path: str, expected: tuple[str | None, str, str, tuple[str, ...]]) -> None:
    target = parse_target("", "v1", path.split("/"))
    assert (target.namespace, target.name, target.subresource, target.rest) == expected


@pytest.mark.parametrize(
    "path", ["pods/p", "namespaces/d/nodes", "nodes/n/log", "namespaces/d/pods/p/exec", "x"]
)
def test_paths_that_are_not_served(path: str) -> None:
    with pytest.raises(NotFound):
        parse_target("", "v1", path.split("/"))


@pytest.mark.parametrize(
    ("header", "table", "aggregated"),
    [
        ("", "", False),
        ("application/json, */*", "", False),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "v1", False),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", "v1beta1", False),
        ("application/json,application/json;as=Table;v=v1;g=meta.k8s.io", "", False),
        ("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json", "", True),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
            "",
            False,
        ),
    ],
)
def test_accept(header: str, table: str, aggregated: bool) -> None:
    accept = parse_accept(header)
    assert (accept.table, accept.aggregated) == (table, aggregated)


@pytest.mark.parametrize(
    "header", ["text/html", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"]
)
def test_what_is_not_made_here(header: str) -> None:
    with pytest.raises(NotAcceptable):
        parse_accept(header)
