"""Starts PneumoJAX's worker as main.py starts: malloc is tuned before JAX is imported."""

from benchmarks.peers.serving import serve
from pneumojax import runtime

if __name__ == "__main__":
    runtime.tune_malloc()
    from benchmarks.peers.jax_contests import CONTESTS

    serve(CONTESTS)
