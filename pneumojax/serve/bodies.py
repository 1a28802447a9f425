"""Reads the bodies of requests against the clock and within a budget of memory."""

import asyncio
import contextlib

from starlette.types import Receive

MOST_HELD = 256 << 20  # bytes of all bodies in memory
GRACE_SECONDS = 10.0  # a body may take this long, and longer by its size:
SLOWEST = 256 << 10  # bytes a second
LINGER_SECONDS = 2.0  # how long the rest of a refused body is read


class Refusal(Exception):
    """A request that is answered with an HTTP status and one line."""

    def __init__(self, status: int, line: str):
        super().__init__(line)
        self.status = status


class ClientGone(Exception):
    """The client has closed the connection and will not read an answer."""


class Budget:
    """Counts the bytes of all bodies in memory, and refuses a body that exceeds the budget.

    Bytes count on arrival and not when they are announced, so that a client that announces much and
    sends little takes no memory from others.
    """

    def __init__(self, most: int = MOST_HELD):
        self._most = most
        self._held = 0

    def take(self, count: int) -> None:
        """Counts bytes that have arrived; raises Refusal if they exceed the budget."""
        if self._held + count > self._most:
            raise Refusal(503, "too many films at once: try again in a few seconds")
        self._held += count

    def give_back(self, count: int) -> None:
        """Stops counting bytes that are no longer held."""
        self._held -= count


class Body(contextlib.AbstractContextManager["Body"]):
    """The body of one request; a context manager that returns its bytes to the budget."""

    def __init__(self, receive: Receive, budget: Budget):
        self._receive = receive
        self._budget = budget
        self._taken = 0
        self.complete = False

    def __exit__(self, *exception: object) -> None:
        self._give_back()

    async def read(self, most: int, too_large: str) -> bytes:
        """Reads the whole body; `too_large` refuses one of more than `most` bytes.

        Raises:
            Refusal: the body is too long or too slow, or memory is full.
            ClientGone: the client went away before the end.
        """
        body = bytearray()
        began = asyncio.get_running_loop().time()
        while not self.complete:
            try:
                async with asyncio.timeout_at(began + GRACE_SECONDS + len(body) / SLOWEST):
                    chunk = await self._next()
            except TimeoutError:
                raise Refusal(408, "the request came too slowly") from None
            if len(body) + len(chunk) > most:
                raise Refusal(413, too_large)
            self._budget.take(len(chunk))
            self._taken += len(chunk)
            body += chunk
        return bytes(body)

    async def discard(self) -> None:
        """Reads and drops the rest of a refused body for up to `LINGER_SECONDS`.

        If the connection were closed while the client still sends, it would be reset and the client
        might lose the answer.
        """
        self._give_back()  # first, so that a refused body takes no memory from others
        with contextlib.suppress(TimeoutError, ClientGone):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.complete:
                    await self._next()

    async def until_gone(self) -> None:
        """Returns when the client has gone. Call it after the body is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _give_back(self) -> None:
        self._budget.give_back(self._taken)
        self._taken = 0

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.complete = not message.get("more_body", False)
        return message.get("body", b"")
