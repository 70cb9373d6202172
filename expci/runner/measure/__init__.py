"""Running a command and measuring it."""
