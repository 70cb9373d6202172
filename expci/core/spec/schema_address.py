"""Where the published schemas stand, and the comment by which editors find them."""

from __future__ import annotations

from expci.core.model.limits import HOME


def schema_address(name: str) -> str:
    """The address of `experiment` or `expci`, which is also the schema's own `$id`."""
    return f"https://raw.githubusercontent.com/{HOME}/main/docs/schema/{name}.schema.json"


def modeline(name: str) -> str:
    """A first line that has yaml-language-server check the file against the schema."""
    return f"# yaml-language-server: $schema={schema_address(name)}"
