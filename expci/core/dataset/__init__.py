"""Trials as columns: which count, as what, and each unit's mean after every trial."""
