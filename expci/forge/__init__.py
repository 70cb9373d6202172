"""Where pull requests and comments live."""
