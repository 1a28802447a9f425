"""The server starts and ends properly, and its page works in a real browser."""

import os
import re
import shutil
import signal
import socket
import sys

import numpy as np
import pytest

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError
from pneumojax.serve import serve
from pneumojax.serve.markup import examples
from tests.serve.conftest import children_of, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_without_the_web_server_one_line_says_what_to_install(workdir, monkeypatch):
    for name in ("page", "connections"):
        monkeypatch.delitem(sys.modules, f"pneumojax.serve.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    needed = r"^serve needs Starlette and uvicorn: `pip install -r requirements-serve\.txt` in a"
    with pytest.raises(UserError, match=needed):
        serve.serve(workdir, 0)


def test_a_taken_port_is_named(workdir):
    with socket.create_server((serve.ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on {port}: "):
            serve.serve(workdir, port)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_its_children_and_all_it_held(workdir, tmp_path, end):
    temporary = tmp_path / "temporary"
    with serving(workdir, temporary) as server:
        children = children_of(server.process.pid)
        assert children
        upload = socket.create_connection((server.host, server.port))
        upload.sendall(
            b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nhalf"
        )
        os.kill(server.process.pid, end)
        out, _ = server.process.communicate(timeout=20)
        upload.close()
    assert server.process.returncode == 0 and "ended" in out and "Traceback" not in out
    assert not [child for child in children if os.path.exists(f"/proc/{child}")]
    assert not list(temporary.iterdir())


@pytest.mark.slow
def test_a_film_dropped_in_a_browser_is_answered_and_not_kept(workdir, tmp_path, make_dicom):
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    temporary, (drawing, *_) = tmp_path / "temporary", examples()
    film, dicom = tmp_path / "film.png", tmp_path / "Secret Name <b>ü"
    film.write_bytes(drawing.data)
    grey = np.random.default_rng([0]).integers(0, 4096, (64, 64), dtype=np.uint16)
    dicom.write_bytes(make_dicom(grey, BitsStored=12))
    bad = {
        "text.jpeg": (b"hello", "not a picture"),
        "empty.png": (b"", "empty"),
        "short.png": (drawing.data[:2000], "truncated"),
        "no_pixels.dcm": (make_dicom(grey, PixelData=None), "without pixels"),
        "large.png": (bytes(65 << 20), "too large"),
    }
    with serving(workdir, temporary) as server, playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        foreign, wrong = [], []
        page.on(
            "request",
            lambda r: r.url.startswith((server.address, "data:")) or foreign.append(r.url),
        )
        # Chromium reports the status of a refusal as an error.
        page.on(
            "console",
            lambda m: m.type == "error" and "status of 422" not in m.text and wrong.append(m.text),
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(server.address)

        def drop(path, expected):
            page.set_input_files("#film input[type=file]", path)
            page.locator("#result", has_text=re.compile(expected)).wait_for(timeout=20_000)

        drop(film, "Called")
        assert page.locator("#result img").count() >= 1
        assert page.locator("#result", has_text=DISCLAIMER).count() == 1
        # The script sets positions on the scale, since the policy forbids style attributes.
        mark = page.locator(".mark").bounding_box()
        bar = page.locator(".bar").bounding_box()
        at = float(page.locator(".mark").get_attribute("data-at")) / 100
        middle = mark["x"] + mark["width"] / 2
        assert middle == pytest.approx(bar["x"] + at * bar["width"], abs=1.5)
        for name, (data, reason) in bad.items():
            (tmp_path / name).write_bytes(data)
            drop(tmp_path / name, reason)
            assert page.locator("#result .call").count() == 0
        drop(dicom, "Called")
        assert "Secret" not in page.content() and "ID-77" not in page.content()
        page.locator("#drawings button").nth(1).click()
        page.wait_for_function(  # drawings are larger than the films before
            "width => document.querySelector('#result img')?.naturalWidth > width", arg=100
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
        assert not foreign and not wrong
        assert not list(temporary.iterdir())
        server.process.send_signal(signal.SIGINT)
        out, _ = server.process.communicate(timeout=20)
    assert server.process.returncode == 0 and "Traceback" not in out and "Secret" not in out
    assert not list(temporary.iterdir())
