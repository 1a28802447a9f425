"""Takes the README's pictures of a report and of the local page, both on drawn films.

Command:   python -m tools.screenshots [--run=<run folder>]
Without --run it trains `configs/quick.py` for 7 epochs, because after 12 the network makes no error
on the drawn films and the report has little to show. It needs Playwright and Chromium.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tools.docs.places import IMAGES, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page, ViewportSize

SCREEN: "ViewportSize" = {"width": 1280, "height": 1160}
WIDTH = 960  # pixels of a stored picture
COLOURS = 96  # enough for flat pages, at a third of the bytes


def main() -> None:
    """Writes report.png and page.png into docs/images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run that has been evaluated")
    run = parser.parse_args().run
    with tempfile.TemporaryDirectory() as folder:
        run = run or trained(Path(folder) / "quick")
        with browser_page() as page:
            page.goto(f"file://{run.resolve()}/evaluation/val/report.html")
            store(page, "report.png")
            with served(run) as address:
                page.goto(address)
                page.locator("#drawings button").nth(1).click()
                page.locator("#result .call").wait_for()
                store(page, "page.png")


def trained(folder: Path) -> Path:
    """Trains and evaluates a small network in a folder, and returns the folder."""
    command = ("train", "--config=quick", "--config.epochs=7", f"--workdir={folder}")
    subprocess.run([sys.executable, "main.py", *command], cwd=ROOT, check=True)
    return folder


@contextmanager
def browser_page() -> Iterator["Page"]:
    """A light page of Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_page(viewport=SCREEN, color_scheme="light")
        browser.close()


@contextmanager
def served(run: Path) -> Iterator[str]:
    """Runs the local page with a run, and gives its address."""
    process = subprocess.Popen(
        [sys.executable, "-u", "main.py", "serve", f"--workdir={run.resolve()}", "--port=0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        lines = iter(process.stdout.readline, "")
        yield next(found[0] for line in lines if (found := re.search(r"http://\S+:\d+", line)))
    finally:
        process.terminate()
        process.communicate()


def store(page: "Page", name: str) -> None:
    """Stores what the page shows, smaller and with few colours."""
    end = page.evaluate("document.body.getBoundingClientRect().bottom")
    height = min(end, SCREEN["height"])
    shown: FloatRect = {"x": 0, "y": 0, "width": SCREEN["width"], "height": height}
    image = Image.open(io.BytesIO(page.screenshot(clip=shown))).convert("RGB")
    image = image.resize(
        (WIDTH, round(WIDTH * image.height / image.width)), Image.Resampling.LANCZOS
    )
    image.quantize(COLOURS).save(IMAGES / name, optimize=True)
    print(f"{name}: {(IMAGES / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
