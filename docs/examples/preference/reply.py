"""A stand-in for an agent that writes a reply, so that the example runs anywhere and costs nothing.

    python3 reply.py CASE > "$EXPCI_OUTPUT"

Like an agent it does not always do what its prompt says. STAND_IN_SEED makes a run repeatable.
"""

import json
import os
import random
import sys
from pathlib import Path

letter = json.loads(Path(sys.argv[1]).read_text())
prompt = Path("agents/reply.md").read_text()
seed = os.environ.get("STAND_IN_SEED")
chance = random.Random(None if seed is None else f"{seed} {letter['id']} {prompt}")  # noqa: S311

print(f"Thank you for your letter. You wrote: {letter['text']}")
print(
    chance.choice(["We are sorry for the trouble.", "We are glad to help.", "We looked into it."])
)
if "next step" in prompt and chance.random() < 0.9:
    print("Please answer this letter, and we do the rest.")
