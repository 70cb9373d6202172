"""A stand-in for an agent, so that the example runs anywhere and costs nothing.

    python3 agent.py CASE

Like an agent it is noisy: what it costs follows the length of its prompt and the task, how
often it is right depends on whether it is told to check its answer, and now and then it fails.
STAND_IN_SEED makes a run repeatable. Put your own agent here: read the task from CASE, let the
agent work, compare with the answer, write what it took to the file that $EXPCI_METRICS names.
"""

import os
import random
import sys
from pathlib import Path

case = Path(sys.argv[1])
prompt = Path("agents/answer.md").read_text()
task, wanted = (case / "task.txt").read_text(), (case / "answer.txt").read_text().strip()

seed = os.environ.get("STAND_IN_SEED")
chance = random.Random(None if seed is None else f"{seed} {case.name} {prompt}")  # noqa: S311

words = len(prompt.split()) + 4 * len(task.split())
cost = 0.0004 * words * chance.lognormvariate(0, 0.15)
is_right = chance.random() < (0.97 if "check your answer" in prompt.lower() else 0.6)
answer = wanted if is_right else "I do not know"

print(answer)
with Path(os.environ["EXPCI_METRICS"]).open("a") as metrics:
    metrics.write(f"cost_usd={cost:.6f}\nscore={int(answer == wanted)}\n")
sys.exit(1 if chance.random() < 0.01 else 0)
