"""What people read: comments, portfolio, analysis, pull request bodies."""
