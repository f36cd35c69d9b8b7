"""``python -m api`` and the installed command ``embedd``."""

from api.cli.root import root


def main() -> None:
    """Run the command line; click ends the process with the command's exit code."""
    root.main(prog_name="embedd")


if __name__ == "__main__":
    main()
