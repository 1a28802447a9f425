"""The fuzzer of everything that reads files from outside; see `fuzzer.py`."""
