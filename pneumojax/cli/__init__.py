"""The command line: verbs, their flags and help, and what each one runs."""

import sys

from pneumojax import runtime
from pneumojax.data.tensorflow_import import quiet


def command() -> None:
    """Runs the command line of this process: the command `pneumojax`, which is main.py too."""
    runtime.tune_malloc()  # may start the process again, so slow imports come after it
    from pneumojax.cli.program import main

    quiet()
    main(sys.argv[1:])
