"""What trials have arrived, by push or as artifacts, and putting them into the ledger."""
