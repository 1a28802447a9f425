"""`--mode=serve`: a local web page on which one drops a film and sees what a run makes of it."""

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from pneumojax.data import phantom
from pneumojax.errors import UserError
from pneumojax.serve.markup import about
from pneumojax.serve.reading import make_reader
from pneumojax.training.trained import open_run

ADDRESS = "127.0.0.1"  # of this machine alone; films are not for a network
_DRAWN = (("none", "healthy"), ("bacteria", "one dense lobe"), ("virus", "haze on both sides"))
_PATIENT = 7  # whose drawings show well what their captions say


def serve(workdir: Path, port: int) -> None:
    """Serves the page until Ctrl-C. What was uploaded is deleted when it returns.

    Args:
        workdir: the run folder, absolute.
        port: 0 takes any that is free.

    Raises:
        UserError: Gradio is not installed, no such run, or the port cannot be had.
    """
    with (
        tempfile.TemporaryDirectory(prefix="pneumojax-serve-") as folder,
        _listening_on(port) as listening,
    ):
        examples, uploads = Path(folder, "examples"), Path(folder, "uploads")
        examples.mkdir()
        uploads.mkdir()
        _prepare_gradio(uploads)
        try:
            from pneumojax.serve import page, server
        except ModuleNotFoundError as error:
            if error.name != "gradio":
                raise
            raise UserError(
                "--mode=serve needs Gradio: pip install -r requirements-serve.txt"
            ) from error
        trained = open_run(workdir)
        read, network = make_reader(trained), about(trained, workdir)
        drawn = [page.Example(draw(kind, examples), caption) for kind, caption in _DRAWN]
        print(f"network of {network.run}, trained on {network.trained_on}; compiling", flush=True)
        seconds = [_seconds(lambda: read(drawn[0].path.read_bytes())) for _ in range(2)]
        import pneumojax.data.dicom  # noqa: F401  takes a while, which the first film should not

        blocks = page.build(read, network, drawn, uploads)
        # As Ctrl-C, so that what was uploaded is deleted then too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        listening.listen()
        print(f"ready: compiled in {seconds[0]:.1f} s, a film takes {1000 * seconds[1]:.0f} ms")
        print(f"open http://{ADDRESS}:{listening.getsockname()[1]} on this machine")
        print("Ctrl-C ends it and deletes what was uploaded", flush=True)
        try:
            server.run(blocks, listening)
        except KeyboardInterrupt:
            print("\nended")


def draw(pathogen: str, folder: Path) -> Path:
    """Draws a film of a kind, see `phantom.PATHOGENS`, as a PNG in a folder."""
    path = folder / f"{pathogen}.png"
    Image.fromarray(phantom.draw_film(phantom.SEED, _PATIENT, 1, pathogen)).save(path)
    return path


def _listening_on(port: int) -> socket.socket:
    """A socket that is bound, so that a taken port is found before anything is compiled."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((ADDRESS, port))
    except OSError as error:
        taken.close()
        raise UserError(f"--port: cannot listen on {port}: {error.strerror}") from error
    return taken


def _prepare_gradio(uploads: Path) -> None:
    """Gradio reads these when it is imported: no telemetry, no look for versions, its folder."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
