"""The `expci` command, also as `python -m expci`."""

import gc
import sys

from expci.store.local.resting_pass import answer_at_rest


def main() -> None:
    """Answer at once where the last pass left nothing to do; else import the command line."""
    answer = answer_at_rest(sys.argv[1:])
    # Searches for cycles take a tenth of a short verb, which makes hardly any.
    gc.set_threshold(200_000)
    if answer is None or not _print(answer):
        _run_command_line()


def _run_command_line() -> None:
    from expci.cli import main as command_line
    from expci.runner.quick_exit import leave

    try:
        command_line()
    except SystemExit as end:
        if isinstance(end.code, int):
            leave(end.code)
        raise


def _print(text: str) -> bool:
    """Whether the text could be printed; if not, the command line says why it cannot."""
    try:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, AttributeError):  # nobody takes it, or there is nowhere to print
        return False
    return True


if __name__ == "__main__":
    main()
