"""Numbers, phrases, tables and charts as text."""
