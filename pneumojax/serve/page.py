"""The Gradio page: a place to drop a film, drawings to click, and what the network makes of them.

Needs `requirements-serve.txt`. Gradio puts each upload into a folder; here it is read, deleted, and
answered with HTML that holds its pictures, so that nothing of a film stays on a disk.
"""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from pneumojax.data.decoding import FilmError, read_bytes
from pneumojax.serve import markup
from pneumojax.serve.examples import Example
from pneumojax.serve.reading import Read
from pneumojax.serve.uploads import forget

MAX_UPLOAD = 64 << 20  # bytes; twice a radiograph of 4,000 x 4,000 pixels in 16 bits
_CLICKED = """element.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) trigger("click", {index: Number(button.value)});
});"""


def build(
    read: Read, network: markup.About, drawings: Sequence[Example], uploads: Path
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

    def clicked(event: gr.EventData) -> str:
        at = event.index
        if not isinstance(at, int) or not 0 <= at < len(drawings):
            return markup.refusal_of("there is no such drawing")
        return answer(drawings[at].data)

    with gr.Blocks(title="PneumoJAX", analytics_enabled=False, delete_cache=(60, 60)) as page:
        gr.HTML(markup.introduction(network))
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                size = f"A film of at most {MAX_UPLOAD >> 20} MB"
                film = gr.File(label=size, elem_id="film", height=170)
                examples = gr.HTML(
                    markup.drawings_of(drawings), elem_id="drawings", js_on_load=_CLICKED
                )
            with gr.Column(scale=3, min_width=300):
                result = gr.HTML(markup.nothing_yet(), elem_id="result")
        film.upload(uploaded, film, [film, result], api_visibility="private", queue=False)
        examples.click(clicked, None, result, api_visibility="private", queue=False)
    return page
