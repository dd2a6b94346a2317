"""Bodies that arrive at once have room in memory, and none waits for another for ever."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from pipeline.service.requests.bad_request import BadRequest
from pipeline.service.requests.reading import Room

PARTS, PART = 6, b"x" * 10


async def ask(room: Room, pause: float = 0.0, n_parts: int = PARTS) -> int:
    """Send a body of a few parts, the last of which never comes where `n_parts` is smaller, and return its size."""
    sent = iter(range(n_parts))

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        place = next(sent, None)
        if place is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": PART, "more_body": place != PARTS - 1}

    request = cast(Any, SimpleNamespace(headers={}, receive=receive))
    async with room.body(request, 100, 1.0) as body:
        await asyncio.sleep(0)
        return len(body)


def test_more_bodies_than_there_is_room_for_are_all_read() -> None:
    async def all_at_once() -> list[int]:
        room = Room(100)
        return await asyncio.gather(*(ask(room) for _ in range(20)))

    assert asyncio.run(all_at_once()) == [60] * 20


def test_who_stops_sending_gives_the_room_back() -> None:
    async def some_stop() -> list[Any]:
        room = Room(100)
        stopped = [ask(room, n_parts=4) for _ in range(10)]
        found = await asyncio.gather(*stopped, return_exceptions=True)
        return [*found, await ask(room)]

    *stopped, after = asyncio.run(some_stop())
    assert [error.status for error in stopped if isinstance(error, BadRequest)] == [408] * 10
    assert after == 60


def test_a_whole_body_waits_for_no_one() -> None:
    async def beside_slow_ones() -> int:
        room = Room(100)
        slow = [asyncio.create_task(ask(room, n_parts=1)) for _ in range(9)]
        await asyncio.sleep(0.05)
        size = await ask(room)
        for task in slow:
            task.cancel()
        return size

    assert asyncio.run(beside_slow_ones()) == 60
