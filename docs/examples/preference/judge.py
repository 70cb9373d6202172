"""A stand-in for a judge. Put your own here: a person's script, or a model that is asked once.

It reads two outputs that it knows nothing of and prints A, B or tie. Like a judge it has a taste
(whoever says what comes next), is noisy, and likes what it reads first a little better.
"""

import os
import random
from pathlib import Path

texts = [Path(os.environ[name]).read_text() for name in ("EXPCI_OUTPUT_A", "EXPCI_OUTPUT_B")]
seed = os.environ.get("STAND_IN_SEED")
chance = random.Random(None if seed is None else f"{seed} {texts}")  # noqa: S311

a, b = (2 * ("Please" in text) + chance.gauss(0, 0.6) for text in texts)
a += 0.3
print("tie" if abs(a - b) < 0.2 else "A" if a > b else "B")
