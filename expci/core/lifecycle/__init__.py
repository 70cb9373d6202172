"""An experiment's life: the transition table, and the rule that finds its next event."""
