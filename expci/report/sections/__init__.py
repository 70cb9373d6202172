"""The parts of reports as values."""
