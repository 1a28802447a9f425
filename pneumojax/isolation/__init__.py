"""Runs decoders of strangers' files in child processes, so that a crash costs one file.

Decoders are C code and have had faults that write past the end of their memory. A child process
has limits on memory, time and files; where it ends, the caller gets one line and the next file gets
a new child.
"""

from pneumojax.isolation.child import Limits, Refused, WorkerKilled, WorkerLost
from pneumojax.isolation.pool import Workers

__all__ = ["Limits", "Refused", "WorkerKilled", "WorkerLost", "Workers"]
