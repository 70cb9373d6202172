"""Where the published schemas stand, and the comment by which editors find them."""

from __future__ import annotations

from expci.core.model.limits import HOME


def schema_address(name: str) -> str:
    """Return the address of `experiment` or `expci`, which is also the schema's own `$id`.

    >>> schema_address("expci").rpartition("/")[2]
    'expci.schema.json'
    """
    return f"https://raw.githubusercontent.com/{HOME}/main/docs/schema/{name}.schema.json"


def modeline(name: str) -> str:
    """Return a first line that has yaml-language-server check the file against the schema.

    >>> modeline("experiment").startswith("# yaml-language-server: $schema=https://")
    True
    """
    return f"# yaml-language-server: $schema={schema_address(name)}"
