"""Exceptions that are not bugs of the program: mistakes of the user, and signals.

Most functions may raise UserError; docstrings name it where a caller has to know.
"""


class UserError(Exception):
    """A mistake of the user. The message is one line: where, what was wrong and what to do.

    `flag` names the flag of the command line that has to change, or is "". The command line shows
    it before the message. A program that imports PneumoJAX has no flags, so it shows the message
    alone.
    """

    def __init__(self, message: str, *, flag: str = ""):
        super().__init__(message)
        self.flag = flag


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end. The exit status is 128 plus its number, as in shells.

    It is a KeyboardInterrupt, so that event loops and `except Exception` do not catch it.
    """

    def __init__(self, asked_by: int, message: str):
        super().__init__(message)
        self.status = 128 + asked_by
