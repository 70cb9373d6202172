# Reviews the newest commit (of a pull request's checkout: all that it changes) by the prompt in
# agents/review.md, lets a second prompt judge the review, and says what it took.
set -eu
git diff HEAD^1 HEAD > change.diff
claude -p "$(cat agents/review.md)" --output-format json < change.diff > review.json
claude -p "$(cat agents/judge.md)" --output-format json < review.json > judged.json
python3 ci/metrics.py review.json judged.json > metrics.txt
cat metrics.txt >> "${EXPCI_METRICS:-/dev/stdout}"
