"""Text from files, mirrors and file systems, made fit for one line of a message."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: object, limit: int = 200) -> str:
    r"""Return a text on one line, with what cannot be printed escaped, of limited length.

    Parameters
    ----------
    text : object
        Shown by `str`: a path, a reason, a name found in a file.
    limit : int
        The most characters to return, at least 20; the middle of a longer text becomes "...".

    Returns
    -------
    str
        Newlines, control characters, marks that change the direction of writing and surrogates
        (file names that are not UTF-8) appear as in a Python literal.

    Examples
    --------
    >>> print(printable("two\nlines \x1b[31m"))
    two\nlines \x1b[31m
    >>> printable("x" * 1000, 20)
    'xxxxxxxxxxxx...xxxxx'
    """
    text = _shortened(str(text), limit)  # first, so that a long text costs no time
    if not text.isprintable():
        escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        text = _shortened("".join(escaped), limit)
    return text


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = (limit - 3) // 3
    return f"{text[: limit - 3 - end]}...{text[-end:]}"
