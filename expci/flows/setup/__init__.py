"""`init`, `doctor`, `demo`."""
