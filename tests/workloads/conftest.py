from __future__ import annotations

from pathlib import Path

import pytest

from workloads.image import CompilerError
from workloads.image.agent import GUEST, SANITIZED, compile_agent
from workloads.image.cache import default_directory


def _compiled(flags: tuple[str, ...]) -> Path:
    try:
        return compile_agent(default_directory(), flags=flags)
    except CompilerError as error:
        if "apt-get install" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="session")
def agent() -> Path:
    """The agent exactly as a guest runs it."""
    return _compiled(GUEST)


@pytest.fixture(scope="session")
def sanitized_agent() -> Path:
    """The agent with address and undefined-behaviour sanitizers."""
    return _compiled(SANITIZED)
