"""One look at one experiment: from its dataset to the analysis document."""
