"""The ledger: plans, events and trials at one commit, and the one way to write the next."""
