"""The trial path: put an arm in place, run, measure, record.

Standard library and git only: the actions run it from their own checkout, and any other job
with nothing installed runs `python3 -m expci.runner` (docs/ci.md).
"""
