"""Texts from outside that records and reports may hold."""

from __future__ import annotations


def writable_text(text: str) -> str:
    r"""Return the text with each byte that is not UTF-8 spelled out, so that any file can hold it.

    Arguments and variables of a process may be any bytes; Python keeps one that is no text as
    half a character, which nothing can be written with.

    >>> writable_text("caf\udce9"), writable_text("café")
    ('caf\\udce9', 'café')
    """
    return text.encode(errors="backslashreplace").decode()
