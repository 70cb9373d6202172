"""Trials for the sake of the experiment: both arms of each pair, run here."""
