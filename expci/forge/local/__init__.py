"""The forge without a server: pull requests as records in the ledger."""
