"""`python -m syncd` is the command `syncd`."""

from syncd.client.cli import main

main()
