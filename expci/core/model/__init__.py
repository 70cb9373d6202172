"""The values that everything else speaks of: an experiment, its trials, events and results."""
