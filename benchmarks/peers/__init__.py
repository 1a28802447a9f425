"""Contestants of `benchmarks/against_peers.py`, each a program of its own."""
