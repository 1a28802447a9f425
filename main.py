"""Trains, evaluates and uses PneumoJAX networks: `python main.py --help` lists what it can do.

Research and education only, not a medical device.
"""

import sys

from pneumojax import runtime
from pneumojax.cli.program import main
from pneumojax.data.tensorflow_import import quiet

if __name__ == "__main__":
    runtime.tune_malloc()
    quiet()
    main(sys.argv[1:])
