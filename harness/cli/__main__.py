"""`python -m harness.cli`: the command where its script is not on PATH."""

from harness.cli.main import main

main()
