"""The page on the loopback address: who may ask for it, and how it ends."""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

from pneumojax.serve.guard import Message, OnlyUploads, Receive, Send
from pneumojax.serve.markup import style
from pneumojax.serve.page import MAX_UPLOAD

# The browser itself refuses to ask any other host for anything, whatever the page holds.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'none'; form-action 'self'"
)
_SECONDS_TO_END = 1  # open pages hold a connection for ever


def run(page: gr.Blocks, listening: socket.socket, uploads: Path) -> None:
    """Serves the page on a socket until Ctrl-C, which is raised again when all has ended."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=listening.getsockname()[0],
        server_port=listening.getsockname()[1],
        max_file_size=MAX_UPLOAD,
        show_error=False,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        css=style(),
        theme=_theme(),
    )
    app.add_middleware(OnlyUploads, uploads=uploads, largest=MAX_UPLOAD)
    app.add_middleware(OwnPagesOnly)
    # A foreign name that resolves to this machine would make its pages ours in a browser's eyes.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    config = uvicorn.Config(
        app, log_level="error", access_log=False, timeout_graceful_shutdown=_SECONDS_TO_END
    )
    uvicorn.Server(config).run(sockets=[listening])


def _theme() -> gr.themes.Base:
    """The browser's own fonts, and grey text that can be read on white."""
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return theme.set(body_text_color_subdued="*neutral_600", block_label_text_color="*neutral_600")


class OwnPagesOnly:
    """Refuses what pages of other sites send here, and gives ours the policy above."""

    def __init__(self, app: Callable[..., Awaitable[None]]):
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(raw=scope["headers"])
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            refusal = PlainTextResponse("only this page itself may send here", 403)
            await refusal(dict(scope), receive, send)
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = MutableHeaders(scope=message)
                more["Content-Security-Policy"] = POLICY
                more["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self._app(scope, receive, with_policy)
