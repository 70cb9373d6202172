"""What a plan needs and how often it errs, by simulating it."""
