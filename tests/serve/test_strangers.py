"""What anybody who reaches the page may send to it, and that nobody gets another's answer."""

import http.client
import json
import re
import shutil
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pneumojax.serve.page import MAX_UPLOAD
from tests.serve.test_serve import films_in, serving

BOUNDARY = "a-boundary"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="film"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def posted(url, body, headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def uploaded(address, data):
    status, answer = posted(f"{address}/gradio_api/upload", HEAD + data + TAIL, FORM)
    assert status == 200, answer
    return json.loads(answer)[0]


def asked(address, path, who="somebody", function=0, **more):
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [file], "fn_index": function, "session_hash": who} | more
    headers = {"Content-Type": "application/json"}
    return posted(f"{address}/gradio_api/run/predict", json.dumps(body).encode(), headers)


@pytest.mark.slow
def test_strangers_are_answered_in_a_line_and_reach_no_file(workdir, tmp_path, make_dicom):
    pytest.importorskip("gradio")
    temporary = tmp_path / "temporary"
    grey = np.random.default_rng([0]).integers(0, 256, (64, 64), dtype=np.uint8)
    with serving(workdir, temporary) as (address, process):
        host, port = re.search(r"//(.*):(\d+)", address).groups()
        # Files that are no films.
        for data, told in (
            (b"hello", "not a picture"),
            (b"", "empty file"),
            (b"%PDF-1.7", "a PDF file"),
            (b"PK\x03\x04", "a ZIP file: unpack it first"),
            (make_dicom(grey, PixelData=None), "DICOM without pixels"),
            (make_dicom(grey, Rows=30_000, Columns=30_000), "too large"),
        ):
            status, answer = asked(address, uploaded(address, data))
            assert status == 200 and "Not read: " in answer and told in answer, answer
            assert "Traceback" not in answer

        # Files of the machine, another's upload as a download, an address, and no path at all.
        secret = tmp_path / "secret.dcm"
        secret.write_bytes(make_dicom(grey))
        theirs = uploaded(address, make_dicom(grey))
        link = Path(theirs).parent / "link"
        link.symlink_to(secret)
        for path in (str(secret), "/etc/passwd", "../../x", "http://127.0.0.1:1/x", 3, "\0", link):
            status, answer = asked(address, str(link) if path is link else path)
            assert (status, answer) == (403, "only what was uploaded can be read"), path
        for path in (theirs, str(secret), "/etc/passwd"):
            assert posted(f"{address}/gradio_api/file={path}", None, {})[0] == 404
        assert secret.exists()
        link.unlink()
        assert asked(address, theirs)[0] == 200

        # Requests that are none.
        for body in (b"", b"{", b"[" * 5000, b'{"data": []}', b'{"data": 3, "fn_index": 0}'):
            headers = {"Content-Type": "application/json"}
            status, answer = posted(f"{address}/gradio_api/run/predict", body, headers)
            assert status >= 400 and "Traceback" not in answer
        for index in (-1, 99, "x", None, {}):
            status, answer = asked(
                address, theirs, function=1, data=[], event_data={"index": index}
            )
            assert status in (200, 403) and ("no such drawing" in answer or status == 403)

        # Too large: refused by its length before a byte of it is sent, and by count without one.
        connection = http.client.HTTPConnection(host, int(port))
        connection.putrequest("POST", "/gradio_api/upload")
        for name, value in (FORM | {"Content-Length": str(MAX_UPLOAD + (1 << 20))}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        assert response.status == 413 and b"at most 64 MB" in response.read()
        connection.close()
        headers = {"Content-Type": "application/json"}
        assert posted(f"{address}/gradio_api/run/predict", bytes(2 << 20), headers)[0] == 413
        chunks = (HEAD, *[bytes(1 << 20)] * ((MAX_UPLOAD >> 20) + 4), TAIL)
        connection = http.client.HTTPConnection(host, int(port))
        try:
            connection.request(
                "POST", "/gradio_api/upload", iter(chunks), FORM, encode_chunked=True
            )
            assert connection.getresponse().status == 413
        except (BrokenPipeError, ConnectionResetError):  # it closed while we were still sending
            pass
        connection.close()
        assert not films_in(temporary)

        # Loopback alone.
        others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}
        for other in others - {host} - {a for a in others if a.startswith("127.") or ":" in a}:
            with pytest.raises(OSError):
                socket.create_connection((other, int(port)), 1)

        # Eight at once, each with films of its own: the answer to a film is always the same.
        rng = np.random.default_rng([1])
        films = [make_dicom(rng.integers(0, 256, (64, 64), dtype=np.uint8)) for _ in range(8)]

        def user(number):
            said = [
                asked(address, uploaded(address, films[number]), f"user {number}") for _ in range(4)
            ]
            assert all(status == 200 for status, _ in said), said
            return {re.search(r"(?s)Calibrated probability.*?data:image", a)[0] for _, a in said}

        alone = [user(number) for number in range(8)]
        with ThreadPoolExecutor(8) as users:
            together = list(users.map(user, range(8)))
        assert together == alone and all(len(answers) == 1 for answers in together)
        assert len({answer for answers in alone for answer in answers}) > 4
    shutil.rmtree(temporary)
