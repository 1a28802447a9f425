"""The reasons for which a file is not read as a film."""


class FilmError(Exception):
    """A file that is not a readable film; the message is the short reason for the list."""


class UnreadFile(FilmError):
    """A file that the file system does not give, so that its contents are unknown."""
