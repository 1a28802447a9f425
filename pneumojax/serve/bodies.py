"""Takes the bodies of requests: counted as they come, against the clock, within one budget."""

import asyncio
import contextlib

from starlette.types import Receive

MOST_HELD = 256 << 20  # bytes of all bodies that are in memory at one time
GRACE_SECONDS = 10.0  # for a body of any length, and more by its bytes:
SLOWEST = 256 << 10  # bytes a second
LINGER_SECONDS = 2.0


class Refusal(Exception):
    """A request that is answered by one line and an HTTP status."""

    def __init__(self, status: int, line: str):
        super().__init__(line)
        self.status = status


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class Budget:
    """Counts the bytes of all bodies in memory, and refuses the one that would be too much.

    Bytes count when they have come and not when they are announced, so that a client who announces
    much and sends little takes no room from others.
    """

    def __init__(self, most: int = MOST_HELD):
        self._most = most
        self._held = 0

    def take(self, count: int) -> None:
        """Raises Refusal where there is no room."""
        if self._held + count > self._most:
            raise Refusal(503, "too many films at once: try again in a few seconds")
        self._held += count

    def give_back(self, count: int) -> None:
        """Makes room for others."""
        self._held -= count


class Body:
    """The body of one request. A context manager, at whose end its bytes leave the budget."""

    def __init__(self, receive: Receive, budget: Budget):
        self._receive = receive
        self._budget = budget
        self._taken = 0
        self.complete = False

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    async def read(self, most: int, too_large: str) -> bytes:
        """All of it.

        Raises:
            Refusal: more than `most` bytes, too slow, or no room in memory.
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
        """Throws away what still comes, for a moment.

        A connection that is closed while its client still sends is reset, and the client may lose
        the answer.
        """
        self._give_back()  # now: what is refused must not take room from others meanwhile
        with contextlib.suppress(TimeoutError, ClientGone):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.complete:
                    await self._next()

    async def until_gone(self) -> None:
        """Returns when the client has gone; call it when the body is complete."""
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
