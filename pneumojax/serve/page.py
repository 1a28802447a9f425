"""The page as an ASGI application: its fixed files, and one route that reads a film.

It needs `requirements-serve.txt`. A film is the body of a POST request, so there is no form to
parse, no path to resolve and nothing to write to a disk.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from pneumojax.decoding.film_error import FilmError
from pneumojax.serve import markup
from pneumojax.serve.bodies import Body, Budget, ClientGone, Refusal
from pneumojax.serve.markup import Example
from pneumojax.serve.reading import Reading

MAX_UPLOAD = 64 << 20  # bytes; twice a radiograph of 4,000 x 4,000 pixels in 16 bits
MAX_BODY = 1 << 10  # bytes of the body of any other request
MAX_HEAD = 16 << 10  # bytes of a request's headers
READ = "/read"
NAME_HEADER = "x-film-name"  # percent-encoded UTF-8; optional
HOSTS = ("127.0.0.1", "localhost")

# The policy makes the browser refuse requests to other hosts, and scripts and styles other than the
# page's own two files, whatever the page contains.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}

ReadFilm = Callable[[bytes], Awaitable[Reading]]
Seen = Callable[[str, str], str]


class Page:
    """Answers the requests of a browser, or of curl, on this machine.

    Args:
        read: reads the bytes of a film; raises FilmError or Refusal.
        seen: `(name, sha256)` -> the note that the network was trained on the film; else "".
    """

    def __init__(
        self, read: ReadFilm, seen: Seen, network: markup.About, drawings: Sequence[Example]
    ):
        self._read, self._seen, self._network = read, seen, network
        self._budget = Budget()
        whole = markup.page(network, drawings, MAX_UPLOAD)
        self._fixed = {
            "/": (whole.encode(), "text/html"),
            "/page.css": (markup.fixed("page.css").encode(), "text/css"),
            "/page.js": (markup.fixed("page.js").encode(), "text/javascript"),
        }
        for place, drawing in enumerate(drawings):
            self._fixed[f"/drawings/{place}"] = (drawing.data, "image/png")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request and closes its connection."""
        with Body(receive, self._budget) as body:
            try:
                response = await self._answer(scope, body)
            except Refusal as refusal:
                response = PlainTextResponse(f"{refusal}\n", refusal.status)
            except ClientGone:
                return
            response.headers.update(HEADERS)
            if response.status_code == 405:
                response.headers["Allow"] = "POST" if scope["path"] == READ else "GET"
            await _send(response, body, send)

    async def _answer(self, scope: Scope, body: Body) -> Response:
        headers, path = Headers(scope=scope), scope["path"]
        _check_sender(headers)
        if path != READ and path not in self._fixed:
            raise Refusal(404, "there is nothing here: the page is at /")
        method = "POST" if path == READ else "GET"
        if scope["method"] != method:
            raise Refusal(405, f"only {method} is answered here")
        most = MAX_UPLOAD if path == READ else MAX_BODY
        size = f"{most >> 20} MB" if path == READ else f"{most:,} bytes"
        too_large = f"too large: at most {size} are accepted"
        if int(headers.get("content-length", "0")) > most:  # h11 accepts only digits
            raise Refusal(413, too_large)
        data = await body.read(most, too_large)
        if path != READ:
            content, kind = self._fixed[path]
            return Response(content, media_type=kind)
        return await self._reading(data, headers, body)

    async def _reading(self, data: bytes, headers: Headers, body: Body) -> Response:
        try:
            reading = await _while_there(self._read(data), body)
        except FilmError as error:
            raise Refusal(422, f"Not read: {error}") from error
        name = unquote(headers.get(NAME_HEADER, ""), errors="replace")
        seen = self._seen(name, hashlib.sha256(data).hexdigest())
        if "text/html" in headers.get("accept", ""):
            return HTMLResponse(markup.reading_of(reading, self._network, seen))
        return JSONResponse(markup.values_of(reading, self._network, seen))


def _check_sender(headers: Headers) -> None:
    """Refuses long headers, other host names that lead here, and requests from other sites."""
    if sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEAD:
        raise Refusal(431, "too large headers")
    host = headers.get("host", "")
    if host.partition(":")[0] not in HOSTS:
        raise Refusal(400, f"this page answers as {' or '.join(HOSTS)} only")
    if any(origin != f"http://{host}" for origin in headers.getlist("origin")):
        raise Refusal(403, "only this page itself may send here")


async def _while_there(reading: Awaitable[Reading], body: Body) -> Reading:
    """Waits for a reading, and cancels it if the client goes away, so that others wait less."""
    task: asyncio.Future[Reading] = asyncio.ensure_future(reading)
    gone = asyncio.ensure_future(body.until_gone())
    waited: set[asyncio.Future[Any]] = {task, gone}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _send(response: Response, body: Body, send: Send) -> None:
    start = {"type": "http.response.start", "status": response.status_code}
    await send(start | {"headers": response.raw_headers})
    whole = {"type": "http.response.body", "body": response.body}
    if not body.complete:
        await send(whole | {"more_body": True})
        await body.discard()
        whole["body"] = b""
    await send(whole)
