"""All bodies in memory share one budget."""

import asyncio

import pytest

from pneumojax.serve.bodies import Body, Budget, Refusal


def receiving(*chunks):
    """An ASGI `receive` that delivers a body in chunks."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1]["more_body"] = False
    waiting = iter(messages)

    async def receive():
        return next(waiting)

    return receive


def test_a_body_beyond_the_budget_is_refused_until_others_have_left_memory():
    budget = Budget(10)

    async def upload(*chunks, most=10):
        with Body(receiving(*chunks), budget) as body:
            return await body.read(most, "too large")

    async def scenario():
        with Body(receiving(b"123", b"456"), budget) as held:
            assert await held.read(10, "too large") == b"123456"
            with pytest.raises(Refusal, match="too many films") as refusal:
                await upload(b"1234", b"5")
            assert refusal.value.status == 503
            assert await upload(b"1234") == b"1234"  # the refused bytes were given back
        assert await upload(b"12345", b"67890") == b"1234567890"
        with pytest.raises(Refusal, match="too large") as refusal:
            await upload(b"123", b"456", most=5)
        assert refusal.value.status == 413

    asyncio.run(scenario())
