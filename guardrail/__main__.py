"""`python -m guardrail`: the command, where no script is installed."""

from guardrail.cli.main import main

main()
