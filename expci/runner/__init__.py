"""The trial path: put an arm in place, run, measure, record.

Standard library and git only, so that a CI step runs it from its own checkout with
nothing to install (`python3 -m expci.runner`).
"""
