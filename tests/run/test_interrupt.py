from __future__ import annotations

import asyncio
import os
import signal

import pytest

from harness.run.interrupt import Interrupt, Interrupted


async def test_the_first_request_ends_level_one_and_leaves_level_two() -> None:
    interrupt = Interrupt()
    cleaned: list[str] = []
    async with interrupt.scope(2):
        with pytest.raises(Interrupted, match="the run"):  # noqa: PT012 - the block is what is interrupted
            async with interrupt.scope(1, what="the run"):
                asyncio.get_running_loop().call_later(0.01, interrupt.request)
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0.01)
                    cleaned.append("in good order")
        await asyncio.sleep(0.01)
    assert cleaned == ["in good order"]


async def test_the_second_request_cuts_cleaning_up_short() -> None:
    interrupt = Interrupt()
    loop = asyncio.get_running_loop()
    with pytest.raises(Interrupted, match="in haste"):  # noqa: PT012 - as above
        async with interrupt.scope(2, what="in haste"):
            try:
                async with interrupt.scope(1):
                    loop.call_later(0.01, interrupt.request)
                    await asyncio.Event().wait()
            finally:
                loop.call_later(0.01, interrupt.request)
                await asyncio.Event().wait()


async def test_a_scope_entered_after_the_request_ends_at_once() -> None:
    interrupt = Interrupt()
    interrupt.request()
    with pytest.raises(Interrupted):
        async with interrupt.scope(1):
            await asyncio.Event().wait()


async def test_a_timeout_of_the_body_is_not_an_interrupt() -> None:
    with pytest.raises(TimeoutError):
        async with Interrupt().scope(1):
            raise TimeoutError


async def test_sigint_is_a_request() -> None:
    interrupt = Interrupt()
    with interrupt.signals():
        with pytest.raises(Interrupted):  # noqa: PT012 - as above
            async with interrupt.scope(1):
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
        assert interrupt.level == 1
