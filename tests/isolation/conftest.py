"""Decoders that crash or sleep where a test asks for it."""

import os
from pathlib import Path

import pytest

from pneumojax.isolation import child

MARK = b"CRASH"  # appended to a picture, which decoders ignore
SLEEP = b"SLEEP"
CRASHING = f"""
import os
import time
from pneumojax.isolation import films

def crashing(decode):
    def run(data, *arguments):
        if data.endswith({MARK!r}):
            os.abort()
        if data.endswith({SLEEP!r}):
            time.sleep(60)
        return decode(data, *arguments)
    return run

films.decode_any = crashing(films.decode_any)
films.decode_training_film = crashing(films.decode_training_film)
"""


@pytest.fixture
def crashing_decoders(tmp_path_factory, monkeypatch):
    """Makes decoders abort on a file that ends with `MARK`, and sleep on one with `SLEEP`."""
    folder = tmp_path_factory.mktemp("crashing")
    (folder / "sitecustomize.py").write_text(CRASHING)
    root = Path(__file__).parents[2]
    monkeypatch.setattr(child, "_ROOT", f"{folder}{os.pathsep}{root}")
    return MARK
