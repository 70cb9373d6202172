"""The pass over everything, and who is notified."""
