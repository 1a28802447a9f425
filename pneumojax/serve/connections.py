"""Ends connections that are slow or idle; uvicorn itself waits for ever for a request to begin."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # from the connection to the end of the request's headers
REQUEST_SECONDS = 600.0  # from there to the answer; a body and its queue end much sooner
ANSWER_SECONDS = 20.0  # from the answer until all of it was taken
MOST_CONNECTIONS = 256  # well below the 1,024 open files that a process may commonly have


class TimedConnection(H11Protocol):
    """uvicorn's connection with one deadline, which moves when the request gets further.

    Every answer closes its connection, so there is one request for each. If there are too many
    connections, the oldest one that the server waits for is ended: somebody who opens hundreds
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
            oldest = min(slow, key=lambda each: each._opened)  # this one at least is slow
            self.connections.discard(oldest)
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Gives a request whose headers are complete more time."""
        had_headers = self.cycle is not None
        super().data_received(data)
        if self.cycle is not None and not had_headers and not self.cycle.response_complete:
            self._allow(REQUEST_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, unless an answer is already on its way."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """Gives the client time to take the answer."""
        super().on_response_complete()
        self._allow(ANSWER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the deadline, which would keep the connection in memory."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _allow(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _waits_for_client(self) -> bool:
        """Whether the next step is the client's and not ours."""
        return self.cycle is None or self.cycle.more_body or self.cycle.response_started
