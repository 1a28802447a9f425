"""Puts load on the page of --mode=serve, both ordinary and hostile, and counts the answers.

Command:   python -m benchmarks.serve_load --write=records/reliability/serve_load.json
The ordinary command serves the reference network. Each scenario sends synthetic films or slow or
oversized requests over real sockets, or kills the processes that decode. An answer is wrong if it
differs from the answer to the same film alone. After each scenario one more film must be answered.
"""

import argparse
import http.client
import io
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from benchmarks.hardware import hardware
from pneumojax.data import phantom, phantom_films
from pneumojax.files import write_json

ROOT = Path(__file__).resolve().parents[1]

USERS = 50
HOST = "127.0.0.1"
HEAD = b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n"


class Answer(NamedTuple):
    """Status (0 if the connection ended without one), text, and seconds until the answer."""

    status: int
    text: str
    seconds: float


def drawn(patient: int) -> bytes:
    """Draws a different film for each patient, as a PNG."""
    stream = io.BytesIO()
    pathogen = ("none", "bacteria", "virus")[patient % 3]
    film = phantom.draw_film(phantom_films.SEED, patient, 1, pathogen)
    Image.fromarray(film).save(stream, "PNG")
    return stream.getvalue()


def post(port: int, body: bytes | Iterator[bytes]) -> Answer:
    """Uploads a body. An iterator is sent in chunks, without a length."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection(HOST, port, timeout=120)
    chunked = not isinstance(body, bytes)
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    try:
        connection.request("POST", "/read", body, headers, encode_chunked=chunked)
        response = connection.getresponse()
        status, text = response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        status, text = 0, ""
    finally:
        connection.close()
    return Answer(status, text, time.perf_counter() - began)


def together(jobs: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Runs all jobs at the same time."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(lambda job: job(), jobs))


def children_of(process: int) -> list[int]:
    """Returns the process numbers of the children of all threads."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for path in tasks for child in path.read_text().split()]


def peak_megabytes(process: int) -> int:
    """Returns the peak of resident memory of the server's own process so far."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) // 1024  # type: ignore[index]


def slow_clients(port: int) -> list[Answer]:
    """Sends headers or a body at a byte a second, until the server ends each connection."""

    def trickle(begin: bytes) -> Answer:
        began = time.perf_counter()
        answer = b""
        with socket.create_connection((HOST, port)) as connection:
            connection.sendall(begin)
            connection.settimeout(1)
            while time.perf_counter() - began < 60:
                try:
                    connection.send(b"x")
                    part = connection.recv(4096)
                except TimeoutError:
                    continue
                except OSError:
                    break
                if not part:
                    break
                answer += part
        status = int(answer[9:12]) if answer else 0
        return Answer(status, "", time.perf_counter() - began)

    return together([partial(trickle, begin) for begin in (HEAD[:20], HEAD) * 25])


def under_kills(process: int, jobs: Sequence[Callable[[], Answer]]) -> tuple[list[Answer], int]:
    """Runs jobs while decoders are killed; returns the answers and the number of kills."""
    done, killed = threading.Event(), 0

    def kill() -> None:
        nonlocal killed
        while not done.wait(0.3) and killed < 10:
            for child in children_of(process)[:1]:
                os.kill(child, signal.SIGKILL)
                killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    answers = together(jobs)
    done.set()
    killer.join()
    return answers, killed


def summed(answers: Sequence[Answer], alone: Sequence[Answer | None]) -> dict[str, Any]:
    """Counts the answers of a scenario; `alone` has the right ones, None for a bad request."""
    pairs = list(zip(answers, alone, strict=True))
    wrong = [got for got, right in pairs if got.status == 200 and (not right or got[1] != right[1])]
    seconds = sorted(answer.seconds for answer in answers)
    return {
        "requests": len(answers),
        "answered": sum(answer.status == 200 for answer in answers),
        "refused": sum(answer.status >= 400 for answer in answers),
        "ended": sum(answer.status == 0 for answer in answers),
        "wrong": len(wrong),
        "seconds_median": round(statistics.median(seconds), 2),
        "seconds_p95": round(seconds[int(0.95 * (len(seconds) - 1))], 2),
    }


def scenarios(process: int, port: int) -> dict[str, dict[str, Any]]:
    """Runs all scenarios one after another."""
    films = [drawn(patient) for patient in range(USERS)]
    alone = [post(port, film) for film in films]
    none: list[Answer | None] = [None] * USERS
    found: dict[str, dict[str, Any]] = {}

    def add(name: str, answers: list[Answer], right: Sequence[Answer | None], **more: Any) -> None:
        again = post(port, films[0])
        found[name] = summed(answers, right) | more
        found[name]["peak_megabytes"] = peak_megabytes(process)
        found[name]["answers_afterwards"] = again.text == alone[0].text
        print(name, found[name], flush=True)

    add("one after another", alone, alone)
    same = [lambda: post(port, films[0])] * USERS
    add("the same film at once", together(same), [alone[0]] * USERS)
    different = [lambda film=film: post(port, film) for film in films]
    add("different films at once", together(different), alone)
    answers, killed = under_kills(process, different * 2)
    add("decoders killed meanwhile", answers, alone * 2, killed=killed)
    large = bytes(60 << 20)
    add("bodies of 60 MB at once", together([lambda: post(port, large)] * USERS), none)
    endless = [lambda: post(port, (bytes(1 << 20) for _ in range(500)))] * 4
    add("chunked bodies of 500 MB at once", together(endless), [None] * 4)
    add("a byte a second", slow_clients(port), none)
    return found


def main() -> None:
    """Starts the server, runs all scenarios and stores the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    command = [sys.executable, "main.py", "--mode=serve", "--port=0"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        port = 0
        for line in server.stdout:
            if match := re.search(r"http://[^:]+:(\d+)", line):
                port = int(match[1])
            if "Ctrl-C" in line:
                break
        if not port:
            raise SystemExit("the server did not start")
        before = peak_megabytes(server.pid)
        found = scenarios(server.pid, port)
        server.send_signal(signal.SIGINT)
        status = server.wait(30)
    finally:
        server.kill()
        server.wait()
    figures = {
        "command": "python -m benchmarks.serve_load --write=records/reliability/serve_load.json",
        "hardware": hardware(),
        "peak_megabytes_at_start": before,
        "exit_status": status,
        "scenarios": found,
    }
    if options.write:
        write_json(options.write.resolve(), figures)


if __name__ == "__main__":
    main()
