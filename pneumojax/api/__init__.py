"""The Python interface: load a network, predict films, explain, evaluate and train.

`pneumojax` itself offers the names that a program uses; see docs/api.md.
"""
