from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest
import structlog

from harness.cli.logging import configure


@pytest.fixture
def unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("unconfigured")
def test_it_goes_to_standard_error_as_that_is_when_something_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    log = structlog.get_logger()
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    configure(0)
    monkeypatch.setattr(sys, "stderr", second)
    first.close()
    log.warning("a proxy is slow")
    log.info("not told without -v")
    assert "a proxy is slow" in second.getvalue()
    assert "not told" not in second.getvalue()
