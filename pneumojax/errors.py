"""Exceptions that are not bugs of the program: mistakes of the user, and signals.

Most functions may raise UserError; docstrings name it where a caller has to know.
"""


class UserError(Exception):
    """A mistake of the user. The message is one line: where, what was wrong and what to do."""


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end. The exit status is 128 plus its number, as in shells.

    It is a KeyboardInterrupt, so that event loops and `except Exception` do not catch it.
    """

    def __init__(self, asked_by: int, message: str):
        super().__init__(message)
        self.status = 128 + asked_by
