"""Runs the page on a socket of the loopback address until a signal ends it."""

import socket

import uvicorn

from pneumojax.serve.connections import TimedConnection
from pneumojax.serve.page import MAX_HEAD, Page

SECONDS_TO_END = 1  # for answers that have been started


def run(page: Page, listening: socket.socket) -> None:
    """Serves the page until Ctrl-C, which is raised again after all connections have ended."""
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
    uvicorn.Server(config).run(sockets=[listening])
