"""What is kept on this machine: the spool, the pilot, the latest trials."""
