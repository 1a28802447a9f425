"""The exceptions that are no fault of the program: a mistake of its user, a signal."""


class UserError(Exception):
    """One line for the user: what was wrong, where, and what to do. Shown without a traceback."""


class Stopped(KeyboardInterrupt):
    """A signal asked for the end; exit statuses are 128 and its number, as shells count them.

    A KeyboardInterrupt, which event loops and whatever is ready for any Exception let through.
    """

    def __init__(self, asked_by: int, message: str):
        super().__init__(message)
        self.status = 128 + asked_by
