"""How many inputs a property test takes."""

from __future__ import annotations

import os

from hypothesis import settings

# The gate takes the same inputs for the same code; `make seeds` takes new ones, and more.
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "gate")


def examples(count: int) -> settings:
    """`count` inputs under `make seeds`, a fifth in the gate."""
    return settings(max_examples=count if PROFILE == "nightly" else max(count // 5, 10))
