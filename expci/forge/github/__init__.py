"""GitHub, and Enterprise servers with the same API."""
