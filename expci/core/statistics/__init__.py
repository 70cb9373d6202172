"""Estimates and evidence. Numbers in, numbers out; every formula names its source."""
