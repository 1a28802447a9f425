"""The page answers any request with one line, and no request harms another client."""

import http.client
import json
import os
import re
import signal
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from pneumojax.serve.connections import ANSWER_SECONDS, HEAD_SECONDS, MOST_CONNECTIONS
from pneumojax.serve.page import MAX_UPLOAD
from tests.serve.conftest import children_of

pytestmark = pytest.mark.slow

CHUNKED = {"Transfer-Encoding": "chunked"}
MB = 1 << 20


def ask(server, method, path, body=None, headers=(), chunked=False):
    """Sends one request; returns status, text and headers of the answer."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers), encode_chunked=chunked)
        response = connection.getresponse()
        return (
            response.status,
            response.read().decode(errors="replace"),
            dict(response.getheaders()),
        )
    finally:
        connection.close()


def read(server, film, **headers):
    return ask(server, "POST", "/read", film, headers)[:2]


def send(server, data):
    """Sends bytes; returns everything that the server sends until it closes the connection."""
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        answer = b""
        try:
            connection.sendall(data)
            while part := connection.recv(1 << 16):
                answer += part
        except ConnectionError:
            pass
        return answer


def films(make_dicom, count, seed=1):
    rng = np.random.default_rng([seed])
    return [make_dicom(rng.integers(0, 256, (64, 64), dtype=np.uint8)) for _ in range(count)]


def most_memory(server):
    """The peak resident memory of the server and its children, bytes."""
    processes = [server.process.pid, *children_of(server.process.pid)]
    texts = [Path(f"/proc/{process}/status").read_text() for process in processes]
    return sum(int(re.search(r"VmHWM:\s+(\d+)", text)[1]) for text in texts) << 10


def alike(answers, expected):
    """Whether statuses and probabilities are the expected ones."""
    return [(status, json.loads(text)["probability"]) for status, text in answers] == expected


def test_one_request_of_curl_is_answered_in_json_and_a_page_in_html(server, make_dicom):
    (film,) = films(make_dicom, 1)
    status, text = read(server, film, Accept="*/*")
    values = json.loads(text)
    assert status == 200 and 0 < values["probability"] < 1
    assert values["disclaimer"] and values["call"] in ("NORMAL", "PNEUMONIA")
    status, text = read(server, film, Accept="text/html")
    assert status == 200 and "data:image/jpeg" in text and f"{values['probability']:.3f}" in text


def test_files_that_are_no_films_are_refused_in_one_line(server, make_dicom):
    grey = np.zeros((64, 64), np.uint8)
    for data, told in (
        (b"hello", "not a picture"),
        (b"", "empty file"),
        (b"%PDF-1.7", "a PDF file"),
        (b"PK\x03\x04", "a ZIP file: unpack it first"),
        (make_dicom(grey, PixelData=None), "DICOM without pixels"),
        (make_dicom(grey, Rows=30_000, Columns=30_000), "too large"),
    ):
        status, answer = read(server, data)
        assert status == 422 and answer.startswith("Not read: ") and told in answer, answer
        assert answer.count("\n") == 1


def test_only_the_routes_of_the_page_are_there(server):
    for path in (
        *("/openapi.json", "/docs", "/redoc", "/monitoring", "/gradio_api/upload", "/file=/etc"),
        *("/drawings/3", "/drawings/-1", "/drawings/x", "/drawings/", "/read/", "//", "/.."),
        *("/page.css/../../serve.py", "/%2e%2e/%2e%2e/etc/passwd", "/\0".replace("\0", "%00"), "*"),
        "http://127.0.0.1/etc",
    ):
        for method in ("GET", "POST", "OPTIONS"):
            assert ask(server, method, path)[0] == 404, path
    for path, allowed in (("/", "GET"), ("/page.js", "GET"), ("/drawings/0", "GET")):
        for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "POST", "TRACE", "X"):
            status, _, headers = ask(server, method, path)
            assert (status, headers["allow"]) == (405, allowed)
        assert ask(server, "GET", path)[0] == 200
    for method in ("GET", "HEAD", "OPTIONS", "PUT"):
        assert ask(server, method, "/read")[0] == 405


def test_other_sites_and_other_names_of_this_machine_are_refused(server, make_dicom):
    (film,) = films(make_dicom, 1)
    own = f"{server.host}:{server.port}"
    for host in (
        "evil.example",
        f"evil.example:{server.port}",
        "127.0.0.1.evil.example",
        "",
        "::1",
    ):
        assert ask(server, "GET", "/", headers={"Host": host})[0] == 400, host
    for origin in (
        "http://evil.example",
        "null",
        f"https://{own}",
        "http://127.0.0.1",
        f"http://{own}.x",
    ):
        assert read(server, film, Origin=origin)[0] == 403, origin
    assert read(server, film, Origin=f"http://{own}")[0] == 200
    assert read(server, film, Host="localhost:1", Origin="http://localhost:1")[0] == 200


def test_every_answer_tells_the_browser_what_it_may_not_do(server):
    for method, path in (("GET", "/"), ("GET", "/x"), ("POST", "/read"), ("PUT", "/")):
        headers = {name.lower(): value for name, value in ask(server, method, path)[2].items()}
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "*" not in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store" and headers["connection"] == "close"
        assert "server" not in headers


def test_a_body_is_refused_by_its_length_before_it_is_sent(server):
    for path, method, length in (("/read", "POST", MAX_UPLOAD + 1), ("/", "GET", 2000)):
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        answer = send(server, head.encode())
        assert answer.startswith(b"HTTP/1.1 413") and answer.count(b"too large: at most") == 1
    assert ask(server, "POST", "/read", bytes(MAX_UPLOAD))[0] == 422


def test_bodies_without_a_length_are_counted_and_leave_no_memory_behind(server):
    before = most_memory(server)
    for method, path, megabytes in (
        ("POST", "/read", 250),  # the client sends the whole body before it reads the answer
        ("GET", "/", 1),
        ("POST", "/", 1),
        ("POST", "/nothing", 1),
    ):
        chunks = (bytes(MB) for _ in range(megabytes))
        try:
            status, text, _ = ask(server, method, path, chunks, CHUNKED, chunked=True)
        except ConnectionError:  # the server closed the connection during the upload
            status, text = 413, "too large"
        assert status in (404, 405, 413) and text.count("\n") <= 1
    # A film may be held twice: as it arrived, and as bytes.
    assert most_memory(server) - before < 3 * MAX_UPLOAD
    assert ask(server, "GET", "/")[0] == 200


def test_fifty_large_uploads_at_once_share_one_budget(server):
    before = most_memory(server)

    def upload(_):
        try:
            return read(server, bytes(60 * MB))
        except ConnectionError:
            return 503, "too many\n"

    with ThreadPoolExecutor(50) as users:
        answers = list(users.map(upload, range(50)))
    assert {status for status, _ in answers} <= {422, 503}
    assert all(text.count("\n") == 1 for _, text in answers)
    assert any(status == 422 for status, _ in answers)  # some uploads were accepted
    assert most_memory(server) - before < 900 * MB  # 3,000 MB were sent
    assert ask(server, "GET", "/")[0] == 200


def test_requests_that_are_not_http_end_their_connection_alone(server):
    host = b"Host: localhost\r\n"
    for data in (
        b"\r\n\r\n\0\0\0",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + host + host + b"\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"X: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 40_000,
        b"GET /\xff HTTP/1.1\r\n" + host + b"\r\n",
        b"POST /read HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
        b"POST /read HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /read HTTP/1.1\r\n" + host + b"Content-Length: 99999999999999999999999\r\n\r\n",
        b"POST /read HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip\r\n\r\n",
        b"POST /read HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\n"
        + host
        + b"Transfer-Encoding: chunked\r\n\r\nfff\r\nzz"
        + b"z" * 5000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ):
        answer = send(server, data)
        assert answer == b"" or re.match(rb"HTTP/1.1 4\d\d ", answer), data[:60]
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    assert send(server, upgrade).startswith(b"HTTP/1.1 200")
    assert send(server, b"CONNECT evil:80 HTTP/1.1\r\nHost: localhost\r\n\r\n")[9:10] == b"4"


def test_one_connection_is_answered_once(server):
    one = b"GET /page.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert send(server, 5 * one).count(b"HTTP/1.1 200") == 1


def test_parallel_uploads_of_one_film_are_all_answered_alike(server, make_dicom):
    users = 50
    (film,) = films(make_dicom, 1)
    alone = read(server, film)
    with ThreadPoolExecutor(users) as pool:
        assert set(pool.map(lambda _: read(server, film), range(users))) == {alone}


def test_parallel_uploads_of_different_films_get_their_own_answers(server, make_dicom):
    users = 50
    several = films(make_dicom, users)
    alone = [read(server, film) for film in several]
    assert len(set(alone)) > users // 2
    with ThreadPoolExecutor(users) as pool:
        assert list(pool.map(lambda film: read(server, film), several)) == alone


def test_the_page_comes_at_once_while_films_are_read(server, make_dicom):
    several, seconds = films(make_dicom, 40), []
    with ThreadPoolExecutor(40) as pool:
        pending = [pool.submit(read, server, film) for film in several]
        while not all(each.done() for each in pending):
            began = time.perf_counter()
            assert ask(server, "GET", "/")[0] == 200
            seconds.append(time.perf_counter() - began)
    # The median, since other work on the machine may delay single answers.
    assert statistics.median(seconds) < 0.1


def test_a_lossless_jpeg_never_ends_the_server(server, make_dicom):
    pixels = np.full((224, 224), 0x41, np.uint8)
    colour = np.zeros((224, 224, 3), np.uint8)
    for data in (imagecodecs.ljpeg_encode(pixels), imagecodecs.jpeg8_encode(colour, lossless=True)):
        status, text = read(server, data)
        assert status in (200, 422) and text.count("\n") <= 1
        assert read(server, films(make_dicom, 1)[0])[0] == 200


def test_killed_decoders_cost_no_more_than_the_films_they_held(server, make_dicom):
    several = films(make_dicom, 30)
    alone = dict(zip(several, (read(server, film) for film in several), strict=True))
    killed, done = 0, threading.Event()

    def kill():
        nonlocal killed
        while killed < 5 and not done.wait(0.1):
            for child in children_of(server.process.pid)[:1]:
                os.kill(child, signal.SIGKILL)
                killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda film: (film, read(server, film)), several * 4))
    done.set()
    killer.join()
    lost = [text for film, (status, text) in answers if (status, text) != alone[film]]
    assert killed and len(lost) <= killed
    # The pool reports a child that is killed before its first film as one that cannot be started.
    known = "Not read: the process that decoded it was killed", "no process could be started"
    assert all(text.startswith(known) for text in lost), lost
    assert read(server, several[0]) == alone[several[0]]


def test_idle_connections_keep_nobody_out(server, make_dicom):
    (film,) = films(make_dicom, 1)
    idle = [socket.create_connection((server.host, server.port)) for _ in range(800)]
    try:
        assert read(server, film)[0] == 200 and ask(server, "GET", "/")[0] == 200
        descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        assert descriptors < MOST_CONNECTIONS + 100
    finally:
        for connection in idle:
            connection.close()


def test_slow_clients_are_ended_and_keep_nobody_out(server, make_dicom):
    (film,) = films(make_dicom, 1)
    head = b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n"
    kinds = {"nothing": b"", "half a head": head[:30], "half a body": head + b"x"}
    slow = [(name, socket.create_connection((server.host, server.port))) for name in kinds]
    began = time.monotonic()
    for name, connection in slow:
        connection.sendall(kinds[name])
        connection.settimeout(0)
    ended = {}
    while len(ended) < len(slow) and time.monotonic() - began < 3 * HEAD_SECONDS:
        for name, connection in slow:
            if name in ended:
                continue
            try:
                if name != "nothing":
                    connection.send(b"x")  # one byte a second
                if not connection.recv(4096) or name == "half a body":
                    ended[name] = time.monotonic() - began
            except BlockingIOError:
                continue
            except ConnectionError:
                ended[name] = time.monotonic() - began
        assert read(server, film)[0] == 200
        time.sleep(1)
    for _, connection in slow:
        connection.close()
    assert set(ended) == set(kinds) and max(ended.values()) < 2 * HEAD_SECONDS


def test_answers_that_nobody_takes_are_thrown_away(server, make_dicom):
    folder = f"/proc/{server.process.pid}/fd"
    before, began = len(os.listdir(folder)), time.monotonic()
    unread = []
    for _ in range(50):
        unread.append(socket.socket())
        unread[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        unread[-1].connect((server.host, server.port))
        unread[-1].sendall(b"GET /drawings/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(1)
    while len(os.listdir(folder)) > before + 2 and time.monotonic() - began < 2 * ANSWER_SECONDS:
        time.sleep(0.5)
    held = len(os.listdir(folder)) - before
    for connection in unread:
        connection.close()
    # Bytes in the kernel's buffers no longer belong to the process.
    assert held <= 2
    assert read(server, films(make_dicom, 1)[0])[0] == 200


def test_only_the_loopback_address_is_listened_on(server):
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}
    for other in others - {a for a in others if a.startswith("127.") or ":" in a}:
        with pytest.raises(OSError):
            socket.create_connection((other, server.port), 1)
