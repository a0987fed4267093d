"""`python -m camkit` is `camkit`."""

from camkit.cli.main import main

main()
