"""The one door to git, and the remote that holds the refs."""
