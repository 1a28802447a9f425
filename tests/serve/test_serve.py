"""The real server in a process of its own, and its page in a real browser."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError
from pneumojax.serve import serve
from pneumojax.serve.examples import examples

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def serving(workdir, temporary):
    """Address and process of a server that keeps what it must in a folder of the test."""
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "main.py", "--mode=serve", f"--workdir={workdir}", "--port=0"],
        cwd=ROOT,
        env=dict(os.environ, TMPDIR=str(temporary), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield re.search(r"http://\S+", said)[0], process
    finally:
        process.kill()
        process.communicate()


def films_in(folder):
    """Files with anything in them."""
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


def status_of(request):
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def test_without_gradio_one_line_says_what_to_install(workdir, monkeypatch):
    monkeypatch.setattr(serve, "_prepare_gradio", lambda uploads: None)
    monkeypatch.setitem(sys.modules, "gradio", None)  # as if it were not there
    with pytest.raises(UserError, match=r"needs Gradio: pip install -r requirements-serve\.txt"):
        serve.serve(workdir, 0)


def test_a_taken_port_is_named(workdir):
    with socket.create_server((serve.ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port: cannot listen on {port}: "):
            serve.serve(workdir, port)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_server_answers_this_page_alone_and_ends_cleanly(workdir, tmp_path, end):
    pytest.importorskip("gradio")
    temporary = tmp_path / "temporary"
    with serving(workdir, temporary) as (address, process):
        assert address.startswith(f"http://{serve.ADDRESS}:")
        status, headers = status_of(address)
        assert status == 200 and "default-src 'self'" in headers["Content-Security-Policy"]
        request = urllib.request.Request
        assert status_of(request(address, headers={"Host": "evil.example"}))[0] == 400
        evil = {"Origin": "http://evil.example"}
        assert status_of(request(f"{address}/gradio_api/upload", b"", evil))[0] == 403
        for path in (
            "/gradio_api/info",
            "/docs",
            "/openapi.json",
            "/monitoring",
            "/gradio_api/runs",
        ):
            status, _ = status_of(address + path)
            text = ""
            if status == 200:
                text = urllib.request.urlopen(address + path).read().decode()
            assert "uploaded" not in text and "clicked" not in text, path
        process.send_signal(end)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and "deleted" in out and "Traceback" not in out
    assert not list(temporary.iterdir())


@pytest.mark.slow
def test_a_film_dropped_in_a_browser_is_answered_and_not_kept(workdir, tmp_path, make_dicom):
    pytest.importorskip("gradio")
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    temporary, (drawing, *_) = tmp_path / "temporary", examples()
    film, dicom = tmp_path / "film.png", tmp_path / "Secret Name"
    film.write_bytes(drawing.data)
    grey = np.random.default_rng([0]).integers(0, 4096, (64, 64), dtype=np.uint16)
    dicom.write_bytes(make_dicom(grey, BitsStored=12))
    bad = {
        "text.jpeg": (b"hello", "not a picture"),
        "empty.png": (b"", "empty|Not read"),
        "short.png": (drawing.data[:2000], "truncated"),
        "no_pixels.dcm": (make_dicom(grey, PixelData=None), "without pixels"),
    }
    with serving(workdir, temporary) as (address, process), playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        foreign, wrong = [], []
        page.on(
            "request",
            lambda r: r.url.startswith((address, "data:", "blob:")) or foreign.append(r.url),
        )
        page.on("console", lambda m: m.type == "error" and wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)

        def drop(path, expected):
            page.set_input_files("#film input[type=file]", path)
            page.locator("#result", has_text=re.compile(expected)).wait_for(timeout=20_000)

        drop(film, "Called")
        assert page.locator("#result img").count() >= 1
        assert page.locator("#result", has_text=DISCLAIMER).count() == 1
        for name, (data, reason) in bad.items():
            (tmp_path / name).write_bytes(data)
            drop(tmp_path / name, reason)
            assert page.locator("#result .call").count() == 0
        drop(dicom, "Called")
        assert "Secret" not in page.content() and "ID-77" not in page.content()
        page.locator("#drawings button").nth(1).click()
        page.wait_for_function(  # a drawing is larger than the films before it
            "width => document.querySelector('#result img').naturalWidth > width", arg=100
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
        assert not foreign and not wrong
        deadline = time.monotonic() + 10
        while films_in(temporary) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not films_in(temporary)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in out
    assert not list(temporary.iterdir())
