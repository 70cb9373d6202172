"""News for a chat: one POST of Slack-compatible JSON. The address is a secret."""

from __future__ import annotations

from dataclasses import dataclass, field

import requests

from expci.errors import ForgeError

TIMEOUT = 10.0  # seconds; nobody's pass waits for a chat


@dataclass(frozen=True)
class Webhook:
    """`url` is never shown: whoever has it may post."""

    url: str = field(repr=False)

    def post(self, text: str) -> None:
        """Send it once. `ForgeError`, without the address, when it was not taken."""
        try:
            answer = requests.post(
                self.url, json={"text": text}, timeout=TIMEOUT, allow_redirects=False
            )
        except requests.RequestException as error:
            raise ForgeError(
                f"no answer from the webhook ({type(error).__name__}): is EXPCI_WEBHOOK right?"
            ) from None
        if not 200 <= answer.status_code < 300:
            raise ForgeError(f"the webhook answered {answer.status_code}: is EXPCI_WEBHOOK right?")
