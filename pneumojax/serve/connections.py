"""Runs the page, and ends slow and idle connections, for which uvicorn would wait forever."""

import asyncio
import socket
from collections.abc import Callable

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pneumojax.serve.page import MAX_HEAD, Page

HEAD_SECONDS = 10.0  # from the connection to the end of the request's headers
REQUEST_SECONDS = 600.0  # from there to the answer; limits on body and queue end it much sooner
ANSWER_SECONDS = 20.0  # until the client has received the whole answer
MOST_CONNECTIONS = 256  # well below 1,024, a common limit on a process's open files
SECONDS_TO_END = 1  # for answers that have been started, after a signal


def run(page: Page, listening: socket.socket, announce: Callable[[], None]) -> None:
    """Serves the page until Ctrl-C, which is raised again after all connections have ended.

    `announce` is called once connections are answered and signals end the server in good order.
    """
    config = uvicorn.Config(
        page,
        loop="asyncio",  # the default depends on the packages that are installed
        http=TimedConnection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_level="critical",
        access_log=False,  # paths and headers may name patients
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_graceful_shutdown=SECONDS_TO_END,
    )
    _Server(config, announce).run(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it has started.

    uvicorn handles signals only from then on. Whoever reads the address may send one at once, and
    an exception raised while asyncio builds its loop would print a traceback.
    """

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


class TimedConnection(H11Protocol):
    """uvicorn's connection with a deadline, which is extended at each stage of the request.

    Every answer closes its connection, so a connection has one request. If there are too many
    connections, the oldest one whose client is slow is ended, so that a client that opens hundreds
    cannot keep others out.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Gives the client time to send its headers."""
        super().connection_made(transport)
        self._opened = self.loop.time()
        self._allow(HEAD_SECONDS)
        if len(self.connections) > MOST_CONNECTIONS:
            ours = [each for each in self.connections if isinstance(each, TimedConnection)]
            slow = [each for each in ours if each._waits_for_client()]
            # `slow` is never empty, since this connection has not sent anything yet.
            oldest = min(slow, key=lambda each: each._opened)
            self.connections.discard(oldest)
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Extends the deadline once the headers are complete."""
        had_headers = self.cycle is not None
        super().data_received(data)
        if self.cycle is not None and not had_headers and not self.cycle.response_complete:
            self._allow(REQUEST_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answers data that are not HTTP, unless an answer has been started."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """Gives the client time to receive the answer."""
        super().on_response_complete()
        self._allow(ANSWER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the deadline, which would keep the connection in memory."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _allow(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _waits_for_client(self) -> bool:
        """Whether the server waits for the client, and not the client for the server."""
        return self.cycle is None or self.cycle.more_body or self.cycle.response_started
