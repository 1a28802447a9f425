"""Runs decoders of untrusted files in child processes, so that a crash costs one file.

Decoders are C code and have had faults that write past the end of their memory. A child process
has limits on memory, time and files. When it ends, the caller gets one line about the file, and the
next file gets a new child.
"""

from pneumojax.isolation.child import Refused, WorkerKilled, WorkerLost, WorkerTimeout
from pneumojax.isolation.pool import Workers
from pneumojax.isolation.protocol import Limits

__all__ = ["Limits", "Refused", "WorkerKilled", "WorkerLost", "WorkerTimeout", "Workers"]
