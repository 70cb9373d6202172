"""The steps of the GitHub Actions."""
