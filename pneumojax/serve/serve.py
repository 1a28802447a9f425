"""`--mode=serve`: a local web page that reads a film dropped on it with the network of a run."""

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.inference.predictor import Predictor
from pneumojax.isolation.films import Decoded, FilmDecoder
from pneumojax.run.film_list import CANNOT_TELL, SeenFilms
from pneumojax.serve.markup import about, examples, reading_of
from pneumojax.serve.reading import LARGEST_SIDE, make_reader

ADDRESS = "127.0.0.1"  # only this machine can connect; films must not leave it
_PACKAGES = ("h11", "starlette", "uvicorn")


def serve(workdir: Path, port: int, *, any_network: bool = False) -> None:
    """Serves the page until Ctrl-C. A film is kept in memory only, while it is read.

    Args:
        workdir: the run folder, absolute.
        port: 0 picks a free one.
        any_network: as in `Predictor.open`.

    Raises:
        UserError: a package is not installed, there is no such run, or the port is taken.
    """
    with _listening_on(port) as listening:
        try:
            from pneumojax.serve.connections import run
            from pneumojax.serve.page import Page
            from pneumojax.serve.queue import FilmQueue
        except ModuleNotFoundError as error:
            if error.name not in _PACKAGES:
                raise
            raise UserError(
                "serve needs Starlette and uvicorn: `pip install -r requirements-serve.txt` in a "
                "checkout, or else `pip install 'pneumojax[serve]'`"
            ) from error
        predictor = Predictor.open([workdir], any_network=any_network)
        trained = predictor.first
        assess, network = make_reader(predictor), about(trained, workdir)
        seen, drawings = SeenFilms.of_runs([workdir]), examples()
        print(f"network of {network.run}, trained on {network.trained_on}; compiling", flush=True)
        if not seen.known:
            print(CANNOT_TELL)
        with FilmDecoder() as decoder:

            def decode(data: bytes) -> Decoded:
                return decoder.decode(data, trained.preprocessing, preview_side=LARGEST_SIDE)

            compiling, reading = (
                _seconds(lambda: reading_of(assess(decode(drawings[0].data)), network, ""))
                for _ in range(2)
            )

            def announce() -> None:
                print(f"ready: compiled in {compiling:.1f} s, a film takes {1000 * reading:.0f} ms")
                print(f"open http://{ADDRESS}:{listening.getsockname()[1]} on this machine")
                print("Ctrl-C ends it; no film is kept", flush=True)

            with contextlib.suppress(KeyboardInterrupt), FilmQueue(decode, assess) as queue:
                page = Page(queue.read, seen.note, network, drawings)
                run(page, listening, announce)
    print("\nended; no film was kept")


def _listening_on(port: int) -> socket.socket:
    """Binds a socket, so that a taken port is reported before the network is compiled."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((ADDRESS, port))
    except OSError as error:
        taken.close()
        raise UserError(f"cannot listen on {port}: {error.strerror}", flag="port") from error
    return taken


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
