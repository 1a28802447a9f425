"""`--mode=serve`: a local web page on which one drops a film and sees what a run makes of it."""

import contextlib
import importlib
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.serve.examples import examples
from pneumojax.serve.markup import about, reading_of
from pneumojax.serve.reading import make_reader
from pneumojax.training.trained import open_run

ADDRESS = "127.0.0.1"  # of this machine alone; films are not for a network


def serve(workdir: Path, port: int, *, any_network: bool = False) -> None:
    """Serves the page until Ctrl-C. What was uploaded is deleted when it returns.

    Args:
        workdir: the run folder, absolute.
        port: 0 takes any that is free.
        any_network: as in `open_run`.

    Raises:
        UserError: Gradio is not installed, no such run, or the port cannot be had.
    """
    with (
        tempfile.TemporaryDirectory(prefix="pneumojax-serve-") as uploads,
        _listening_on(port) as listening,
    ):
        _prepare_gradio(uploads)
        try:
            from pneumojax.serve import page, server
        except ModuleNotFoundError as error:
            if error.name != "gradio":
                raise
            raise UserError(
                "--mode=serve needs Gradio: pip install -r requirements-serve.txt"
            ) from error
        trained = open_run(workdir, any_network=any_network)
        read, network = make_reader(trained), about(trained, workdir)
        drawings = examples()
        print(f"network of {network.run}, trained on {network.trained_on}; compiling", flush=True)
        compiling, reading = (
            _seconds(lambda: reading_of(read(drawings[0].data), network)) for _ in range(2)
        )
        importlib.import_module("pneumojax.data.dicom")  # takes a while: not at the first film
        blocks = page.build(read, network, drawings, Path(uploads))
        listening.listen()
        print(f"ready: compiled in {compiling:.1f} s, a film takes {1000 * reading:.0f} ms")
        print(f"open http://{ADDRESS}:{listening.getsockname()[1]} on this machine")
        print("Ctrl-C ends it and deletes what was uploaded", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(blocks, listening, Path(uploads))
    print("\nended; what was uploaded is deleted")


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


def _prepare_gradio(uploads: str) -> None:
    """Gradio reads these when it is imported: no telemetry, no look for versions, its folder."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = uploads
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
