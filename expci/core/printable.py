"""Texts from outside that records and reports may hold."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return the text with each byte that is not UTF-8 spelled out, so that any file can hold it.

    Arguments and variables of a process may be any bytes; Python keeps one that is no text as
    half a character, which nothing can be written with.

    >>> printable("caf\udce9"), printable("café")
    ('caf\\udce9', 'café')
    """
    return text.encode(errors="backslashreplace").decode()
