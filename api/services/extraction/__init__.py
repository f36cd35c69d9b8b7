"""Text out of HTML and PDF files, in a child process of its own, because such files come from anywhere."""


class UnreadableFile(Exception):
    """The file gives no text; the message says why and what to do about it, for the person who sent it."""
