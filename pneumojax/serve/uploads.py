"""The folder into which Gradio puts what is uploaded, kept empty of films."""

import contextlib
import time
from pathlib import Path

FORGOTTEN_AFTER = 60  # seconds, for uploads that broke off and that nobody asks about


def forget(film: Path, folder: Path) -> None:
    """Deletes an upload, and whatever else lies in the folder for longer than any upload takes."""
    film.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another page may be uploading the same film
        film.parent.rmdir()  # its name is a hash of the film
    oldest = time.time() - FORGOTTEN_AFTER
    for path in folder.rglob("*"):
        # Gradio may be about to rename a younger one.
        if path.is_file() and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
