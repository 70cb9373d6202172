"""Real jobs that take part through a slot: an arm is put in place and taken away."""
