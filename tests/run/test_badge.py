"""The qualifiers of a run: the cluster's, and the technique by name."""

from types import SimpleNamespace
from typing import Any

import pytest

from harness.run.badge import qualifiers


@pytest.mark.parametrize(
    ("technique", "expected"),
    [
        ("ksm+swap", {"kernel": "6.1", "technique": "ksm+swap"}),
        ("baseline", {"kernel": "6.1", "technique": "baseline"}),
        ("", {"kernel": "6.1"}),
    ],
)
def test_a_named_technique_is_among_the_qualifiers(technique: str, expected: dict[str, str]) -> None:
    cluster: Any = SimpleNamespace(qualifiers={"kernel": "6.1"})
    scenario: Any = SimpleNamespace(technique=technique)
    assert qualifiers(scenario, cluster) == expected
