"""Making records: of a job that took part, of work measured elsewhere."""
