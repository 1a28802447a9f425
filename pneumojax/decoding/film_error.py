"""The reasons for which a file is not read as a film."""


class FilmError(Exception):
    """A file that is not a readable film. The message is the short reason for a list of files."""


class UnreadFile(FilmError):
    """A file that the file system does not deliver, so that its contents are unknown."""


class UnfinishedDecoding(FilmError):
    """The machine ended the decoding, so that it is unknown whether the file is a film."""
