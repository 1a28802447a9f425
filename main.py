"""Trains, evaluates and uses PneumoJAX networks: `python main.py --help` lists what it can do.

Research and education only, not a medical device.
"""

from pneumojax.cli import command

if __name__ == "__main__":
    command()
