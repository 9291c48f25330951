"""`pytest suites/`: each scenario file runs once, each of its promises and requirements is a test.

Loaded by every pytest run in an environment where the harness is installed: it imports nothing of ours and does
nothing until a scenario file is collected.
"""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that items of scenarios carry."""
    config.addinivalue_line("markers", "scenario(path): a scenario of suites/, set by the plugin")
