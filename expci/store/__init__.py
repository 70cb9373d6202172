"""Git as the database: refs, the inbox, the ledger, the published document."""
