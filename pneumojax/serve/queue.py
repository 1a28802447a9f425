"""Queues films for the child processes that decode them, and then for the network."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from pneumojax.errors import UserError
from pneumojax.isolation.films import Decoded
from pneumojax.serve.bodies import Refusal
from pneumojax.serve.reading import Reading

MOST_WAITING = 128  # films
WAIT_SECONDS = 60.0  # in either queue

Decode = Callable[[bytes], Decoded]
Assess = Callable[[Decoded], Reading]


class FilmQueue(contextlib.AbstractContextManager["FilmQueue"]):
    """Reads films first come, first served, one at a time, while others are decoded.

    Two films at once in the network would each take twice as long.
    """

    def __init__(self, decode: Decode, assess: Assess):
        decoders = os.cpu_count() or 1
        self._decode, self._assess = decode, assess
        self._decoding = asyncio.Semaphore(decoders)
        self._computing = asyncio.Semaphore(1)
        self._threads = ThreadPoolExecutor(decoders + 1)
        self._waiting = 0

    def __exit__(self, *exception: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def read(self, data: bytes) -> Reading:
        """Reads one film.

        Raises:
            FilmError: the bytes are not a readable film; the message is the reason.
            Refusal: too many films wait, this one has waited too long, or no process can decode it.
        """
        if self._waiting >= MOST_WAITING:
            raise Refusal(503, "too many films wait: try again in a few seconds")
        self._waiting += 1
        loop = asyncio.get_running_loop()
        try:
            async with _turn(self._decoding):
                decoded = await loop.run_in_executor(self._threads, self._decode, data)
            async with _turn(self._computing):
                return await loop.run_in_executor(self._threads, self._assess, decoded)
        except UserError as error:  # its message names files of this machine
            raise Refusal(503, "no process could be started to decode it: try again") from error
        finally:
            self._waiting -= 1


@contextlib.asynccontextmanager
async def _turn(semaphore: asyncio.Semaphore) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await semaphore.acquire()
    except TimeoutError:
        raise Refusal(503, "the films before this one take too long: try again later") from None
    try:
        yield
    finally:
        semaphore.release()
