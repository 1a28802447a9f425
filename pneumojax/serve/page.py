"""The Gradio page: a place to drop a film, drawings to click, and what the network makes of them.

Needs `requirements-serve.txt`. Gradio puts each upload into a folder; here it is read, deleted, and
answered with HTML that holds its pictures, so that nothing of a film stays on a disk.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import gradio as gr

from pneumojax.data.decoding import FilmError
from pneumojax.data.formats import KINDS, read_bytes
from pneumojax.serve import markup
from pneumojax.serve.reading import Read

MAX_UPLOAD = 64 << 20  # bytes; twice a radiograph of 4,000 x 4,000 pixels in 16 bits
FORGOTTEN_AFTER = 60  # seconds, for uploads that broke off and that nobody asks about


class Example(NamedTuple):
    """A film to click on."""

    path: Path
    caption: str


def build(
    read: Read, network: markup.About, examples: Sequence[Example], uploads: Path
) -> gr.Blocks:
    """The page. Gradio must have been told that `uploads` is its folder before it was imported."""

    def answer(data: bytes) -> str:
        try:
            return markup.reading_of(read(data), network)
        except FilmError as error:
            return markup.refusal_of(str(error))

    def uploaded(name: str | None) -> tuple[None, str]:
        """Empties the field as well, for the next film."""
        if name is None:
            return None, markup.nothing_yet()
        try:
            return None, answer(read_bytes(Path(name)))
        except FilmError as error:
            return None, markup.refusal_of(str(error))
        finally:
            forget(Path(name), uploads)

    def clicked(event: gr.SelectData) -> str:
        return answer(examples[event.index].path.read_bytes())

    gr.set_static_paths([example.path for example in examples])  # else they are copied to uploads
    kinds = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    with gr.Blocks(title="PneumoJAX", analytics_enabled=False, delete_cache=(60, 60)) as page:
        gr.HTML(markup.introduction(network))
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                film = gr.File(
                    label=f"A film: {kinds}, at most {MAX_UPLOAD >> 20} MB",
                    elem_id="film",
                    height=180,
                )
                drawings = gr.Gallery(
                    [(str(example.path), example.caption) for example in examples],
                    label="Or click a drawing",
                    elem_id="drawings",
                    columns=len(examples),
                    rows=1,
                    height="auto",
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                )
            with gr.Column(scale=3, min_width=300):
                result = gr.HTML(markup.nothing_yet(), elem_id="result")
        private = {"api_visibility": "private", "show_progress": "minimal"}
        film.upload(uploaded, film, [film, result], **private)
        drawings.select(clicked, None, result, **private)
    return page


def forget(film: Path, uploads: Path) -> None:
    """Deletes an upload, and whatever else lies there for longer than any upload takes."""
    film.unlink(missing_ok=True)
    oldest = time.time() - FORGOTTEN_AFTER
    for path in uploads.rglob("*"):
        # Gradio may be about to rename a younger one.
        if path.is_file() and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
