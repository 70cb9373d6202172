"""expci: A/B experiments for anything that lives in a git repository."""

try:
    import fcntl  # noqa: F401
except ImportError:
    raise SystemExit(
        "error: expci runs on Linux and macOS. On Windows run it in WSL "
        "(https://learn.microsoft.com/windows/wsl/install), or in a CI job on one of them"
    ) from None

__version__ = "0.1.0"
