"""Diagnostics on stderr, by structlog: warnings, with -v information, with -vv everything."""

from __future__ import annotations

import logging
import sys

import structlog


def _to_stderr(*_: object) -> structlog.PrintLogger:
    """Print to what is standard error when something is said, not to what it was when this was set up."""
    return structlog.PrintLogger(sys.stderr)


def configure(verbose: int) -> None:
    """Set up structlog and the libraries' loggers. Findings and progress do not go through here."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S"),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(level, logging.INFO) if verbose < 2 else level, stream=sys.stderr)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
