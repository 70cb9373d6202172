"""`python -m expci` is the `expci` command."""

from expci.cli import main

if __name__ == "__main__":
    main()
