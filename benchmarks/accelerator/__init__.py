"""Correctness and speed of training on one accelerator: `python -m benchmarks.accelerator`."""
