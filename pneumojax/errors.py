"""The one exception that stands for a user's mistake rather than a fault of the program."""


class UserError(Exception):
    """One line for the user: what was wrong, where, and what to do. Shown without a traceback."""
