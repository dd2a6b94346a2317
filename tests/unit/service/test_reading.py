"""Request bodies share a memory budget, without deadlocks."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from pipeline.service.requests.bad_request import BadRequest
from pipeline.service.requests.reading import MemoryBudget

PARTS, PART = 6, b"x" * 10


async def read(budget: MemoryBudget, n_parts: int = PARTS) -> int:
    """Send a body and return its size; with fewer parts than `PARTS`, the client stops sending in the middle."""
    parts = iter(range(n_parts))

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        number = next(parts, None)
        if number is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": PART, "more_body": number != PARTS - 1}

    request = cast(Any, SimpleNamespace(headers={}, receive=receive))
    async with budget.body(request, 100, 1.0) as body:
        await asyncio.sleep(0)
        return len(body)


def test_bodies_that_exceed_the_budget_together_are_all_read() -> None:
    async def read_at_once() -> list[int]:
        budget = MemoryBudget(100)
        return await asyncio.gather(*(read(budget) for _ in range(20)))

    assert asyncio.run(read_at_once()) == [60] * 20


def test_clients_that_stop_sending_release_their_memory() -> None:
    async def read_stalled() -> list[Any]:
        budget = MemoryBudget(100)
        stalled = [read(budget, n_parts=4) for _ in range(10)]
        errors = await asyncio.gather(*stalled, return_exceptions=True)
        return [*errors, await read(budget)]

    *errors, size = asyncio.run(read_stalled())
    assert [error.status for error in errors if isinstance(error, BadRequest)] == [408] * 10
    assert size == 60


def test_a_complete_body_does_not_wait_for_slow_ones() -> None:
    async def read_beside_slow_ones() -> int:
        budget = MemoryBudget(100)
        slow = [asyncio.create_task(read(budget, n_parts=1)) for _ in range(9)]
        await asyncio.sleep(0.05)
        size = await read(budget)
        for task in slow:
            task.cancel()
        return size

    assert asyncio.run(read_beside_slow_ones()) == 60
