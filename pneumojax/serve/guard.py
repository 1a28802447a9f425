"""What may be asked of the page: Gradio checks no paths itself where it is mounted in an app.

Without this any program that reaches the page could have it open any file of its user, or fetch an
address, by naming one where an upload should be.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

MAX_REQUEST = 1 << 20  # bytes of a request that is no upload; the page's own have a few hundred
_AROUND = 1 << 16  # bytes of an upload's request that are not the film
_UPLOAD = "/upload"
_FILES = ("/file=", "/file/", "/stream/", "/proxy=")  # the page's pictures are inside of it

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class OnlyUploads:
    """Refuses large requests, paths that lead out of the folder of uploads, and all downloads.

    Args:
        app: what is asked where nothing is wrong.
        uploads: the folder that Gradio puts films into.
        largest: bytes of one film.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], uploads: Path, largest: int):
        self._app = app
        self._uploads = uploads.resolve()
        self._largest = largest

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal, receive = await self._refusal(scope, receive)
        if refusal is not None:
            await refusal(dict(scope), receive, send)
            return
        await self._app(scope, receive, send)

    async def _refusal(
        self, scope: Message, receive: Receive
    ) -> tuple[PlainTextResponse | None, Receive]:
        if any(part in scope["path"] for part in _FILES):
            return PlainTextResponse("no file can be had from here", 404), receive
        if scope["method"] != "POST":
            return None, receive
        if scope["path"].endswith(_UPLOAD):
            length = Headers(raw=scope["headers"]).get("content-length", "0")
            # Without a length Gradio counts, and deletes what it has by then.
            if not length.isdecimal() or int(length) > self._largest + _AROUND:
                most = f"a film of at most {self._largest >> 20} MB"
                return PlainTextResponse(f"too large: {most}", 413), receive
            return None, receive
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_REQUEST:
                return PlainTextResponse("too large a request", 413), receive
        if not self._stays_inside(body):
            return PlainTextResponse("only what was uploaded can be read", 403), receive
        return None, _once(body, receive)

    def _stays_inside(self, body: bytes) -> bool:
        try:
            paths = list(_paths_in(json.loads(body or b"null")))
            return all(Path(p).resolve().is_relative_to(self._uploads) for p in paths)
        except (ValueError, TypeError, OSError, RecursionError):  # no JSON, or no path
            return False


def _once(body: bytes, receive: Receive) -> Receive:
    """The body again, then whatever else comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _paths_in(value: Any) -> Iterator[Any]:
    """Whatever stands under the name "path", at any depth."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        for inner in value.values():
            yield from _paths_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths_in(inner)
