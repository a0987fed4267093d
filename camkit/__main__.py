"""`python -m camkit` is `camkit`."""

from camkit import signals


def main() -> None:
    signals.listen()
    from camkit.cli.main import main as command

    command()


if __name__ == "__main__":
    main()
