"""From an exception to an exit code and one line: never an empty one."""

from __future__ import annotations

import pytest

from harness.cli.errors import explain
from harness.cluster.errors import ClusterError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "TimeoutError"),
        (ClusterError(""), "ClusterError"),
        (ExceptionGroup("", [ClusterError("no\nnode")]), "no node"),
        (ValueError(""), "internal error: ValueError:  (--debug shows where)"),
    ],
)
def test_an_error_without_words_is_told_by_its_name(error: BaseException, said: str) -> None:
    assert explain(error) == (3, said)
