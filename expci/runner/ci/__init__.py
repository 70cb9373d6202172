"""What a CI job says of itself, and how results are handed back to it."""
