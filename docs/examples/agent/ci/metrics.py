"""What a review took, cost and was worth, as lines name=value.

python3 ci/metrics.py review.json judged.json > metrics.txt
"""

import json
import sys
from pathlib import Path

TOKENS = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
)


def result(file):
    """`claude -p --output-format json` leaves an object, an action's `execution_file` a list
    of turns that ends with it."""
    data = json.loads(Path(file).read_text())
    return data if isinstance(data, dict) else data[-1]


review, judged = map(result, sys.argv[1:])
print(f"review_s={review['duration_ms'] / 1000}")
print(f"tokens={sum(review['usage'].get(name, 0) for name in TOKENS)}")
print(f"cost_usd={review['total_cost_usd']}")
try:
    print(f"score={float(judged['result'])}")
except ValueError:  # no number is better than an invented one
    print("the judge gave no number", file=sys.stderr)
