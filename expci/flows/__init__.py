"""One file per verb: gather, think, act."""
