from __future__ import annotations

import asyncio
import time

import pytest

from harness.records.model import Action, Note, Record, Watch
from harness.run import health
from harness.run.stream import Deadline, Stream
from harness.run.tasks import background


class Sink:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record, /) -> int:
        self.records.append(record)
        return len(self.records)


async def test_records_are_written_before_anyone_hears_of_them() -> None:
    sink = Sink()
    stream = Stream(sink)
    heard: list[tuple[int, int, str]] = []

    def listen(line: int, record: Record) -> None:
        assert isinstance(record, Action)
        heard.append((line, len(sink.records), record.what))
        if record.what == "first":
            stream.action("second")  # said while the first is being told

    stream.listen(listen)
    stream.action("first", "x", a=1)
    assert heard == [(1, 1, "first"), (2, 2, "second")]
    assert isinstance(sink.records[0], Action)
    assert sink.records[0].args == {"a": 1}


async def test_t_counts_from_the_stated_start_and_at_is_the_wall() -> None:
    wall = 1_700_000_001.5
    sink = Sink()
    stream = Stream(sink, started=1_700_000_000.0, wall=lambda: wall)
    stream.note("x")
    assert sink.records[0].t == pytest.approx(1.5, abs=0.05)
    assert sink.records[0].at == "2023-11-14T22:13:21.500Z"


async def test_managed_fields_are_dropped_and_the_object_is_left_alone() -> None:
    sink = Sink()
    item = {"kind": "Pod", "metadata": {"name": "p", "managedFields": [1]}}
    Stream(sink).watch("ADDED", item)
    assert isinstance(sink.records[0], Watch)
    assert sink.records[0].object == {"kind": "Pod", "metadata": {"name": "p"}}
    assert "managedFields" in item["metadata"]


@pytest.mark.parametrize("answer", ["now", None])
async def test_what_happens_in_the_very_moment_of_the_deadline_has_happened(answer: str | None) -> None:
    """Both timers of one turn of the loop: the record is told first, then the deadline's timer fires."""
    stream = Stream(Sink())
    loop = asyncio.get_running_loop()
    said: list[str] = []

    def condition() -> str | None:
        if said and answer is None:
            raise TimeoutError("the condition's own")
        return said[0] if said else None

    def tell() -> None:
        said.append(answer or "")
        stream.action("x")

    waiting = asyncio.ensure_future(stream.until(condition, within=0.02))
    loop.call_later(0.01, tell)
    await asyncio.sleep(0)
    time.sleep(0.03)  # noqa: ASYNC251 - a busy loop is what makes them one turn
    if answer is None:
        with pytest.raises(TimeoutError, match="the condition's own"):
            await waiting
    else:
        assert await waiting == "now"


async def test_until_returns_what_the_condition_returns_when_a_record_makes_it_true() -> None:
    stream = Stream(Sink())
    seen: list[str] = []
    stream.listen(lambda _, record: seen.append(record.what) if isinstance(record, Note) else None)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(stream.until(lambda: "found" if "b" in seen else None, within=5))
        await asyncio.sleep(0)
        stream.note("a")
        await asyncio.sleep(0)
        assert not waiting.done()
        stream.note("b")
    assert waiting.result() == "found"
    assert await stream.until(lambda: "at once") == "at once"


async def test_until_gives_up_saying_what_did_not_come() -> None:
    stream = Stream(Sink())
    with pytest.raises(Deadline, match=r"the moon did not rise within 0\.01 s"):
        await stream.until(lambda: None, within=0.01, what="the moon did not rise")


async def test_a_failing_condition_fails_its_waiter_only() -> None:
    stream = Stream(Sink())
    armed = False

    def condition() -> bool:
        if armed:
            raise ValueError("mine")
        return False

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_caught(stream, condition))
        await asyncio.sleep(0)
        armed = True
        stream.note("x")
    assert str(waiting.result()) == "mine"


async def _caught(stream: Stream, condition: object) -> BaseException | None:
    try:
        await stream.until(condition, within=5)  # type: ignore[arg-type]
    except ValueError as error:
        return error
    return None


async def test_a_blocked_loop_and_a_stepped_clock_are_on_record() -> None:
    sink = Sink()
    offset = 0.0
    loop = asyncio.get_running_loop()
    stream = Stream(sink, wall=lambda: 1000.0 + loop.time() + offset)
    async with background() as tasks:
        tasks.start(health.guard(stream), "guard")
        await asyncio.sleep(0.15)
        import time  # noqa: PLC0415

        time.sleep(0.5)  # noqa: ASYNC251 - this is the lag
        offset = 30.0
        await asyncio.sleep(0.3)
    notes = [(r.what, r.data["seconds"]) for r in sink.records if isinstance(r, Note)]
    assert [what for what, _ in notes] == ["loop-lag", "clock-step"]
    assert 0.3 <= notes[0][1] <= 0.9
    assert notes[1][1] == pytest.approx(30.0, abs=0.1)


async def test_background_tasks_end_with_their_block_and_fail_it() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("forever")

    async with background() as tasks:
        tasks.start(forever(), "forever")
        await asyncio.sleep(0)
    assert ended == ["forever"]

    async def failing() -> None:
        raise ValueError("it broke")

    async def block() -> None:
        async with background() as tasks:
            tasks.start(forever(), "forever")
            tasks.start(failing(), "failing")
            await asyncio.Event().wait()

    with pytest.raises(ValueError, match="it broke"):
        await block()
    assert ended == ["forever", "forever"]
