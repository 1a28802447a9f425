"""The ways in which a task of a child process fails."""


class Refused(Exception):
    """The task refused its file; the message is the reason."""


class WorkerLost(Exception):
    """A child process crashed, or took too long or too much memory; the message is the reason."""


class WorkerKilled(WorkerLost):
    """Something outside killed the child, as the system does when memory runs out."""


class WorkerTimeout(WorkerLost):
    """A call took too long by the clock, although within its limit of processor time."""
