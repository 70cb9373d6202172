"""expci: A/B experiments for anything that lives in a git repository."""

__version__ = "0.1.0"
