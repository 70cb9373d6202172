"""The values that everything else is about: an experiment, its trials, events and results."""
