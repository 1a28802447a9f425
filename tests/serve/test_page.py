"""The application, called without a server, notes films that were seen in training."""

import asyncio
import hashlib
import json
from urllib.parse import quote

import pytest
from PIL import Image

from pneumojax.serve import markup
from pneumojax.serve.page import Page
from pneumojax.serve.reading import Reading

NETWORK = markup.About("a-run", "some films", False, 0.25, "youden", "65 films", True)
DATA = b"a film"


async def read(_):
    return Reading(0.5, True, [], Image.new("L", (20, 20)), None)


def answer(page, *headers):
    """Status and body of the answer to one film."""
    sent = []

    async def receive():
        if not sent and not asked:
            asked.append(True)
            return {"type": "http.request", "body": DATA, "more_body": False}
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    asked = []
    scope = {"type": "http", "method": "POST", "path": "/read"}
    scope["headers"] = [(b"host", b"localhost:1"), *headers]
    asyncio.run(page(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


@pytest.mark.parametrize("name", ["person7_virus_1.jpeg", "ü <b> %41.png", "", "a\nb"])
def test_the_name_in_the_header_and_the_digest_decide_whether_a_film_was_seen(name):
    asked = []

    def seen(*what):
        asked.append(what)
        return "the network was trained on this film"

    page = Page(read, seen, NETWORK, [])
    header = (b"x-film-name", quote(name, safe="").encode())
    status, text = answer(page, header)
    assert asked == [(name, hashlib.sha256(DATA).hexdigest())]
    assert json.loads(text)["warnings"] == ["the network was trained on this film"]
    status, text = answer(page, header, (b"accept", b"text/html"))
    assert status == 200 and "Not a new film: the network was trained on this film" in text
    assert not name or name not in text


@pytest.mark.parametrize("header", [b"%", b"%ff%fe", b"\xff\xfe", b"%00" * 1000, b"%0"])
def test_a_name_that_is_no_text_is_no_error(header):
    page = Page(read, lambda name, digest: "", NETWORK, [])
    assert answer(page, (b"x-film-name", header))[0] == 200
