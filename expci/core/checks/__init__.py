"""Trust checks: is what was recorded fit to be compared?"""
