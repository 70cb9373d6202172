"""What the pass does for one experiment: gather, think, act, report."""
