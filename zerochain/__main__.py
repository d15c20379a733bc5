"""`python -m zerochain`: the command line of the interpreter at hand."""

from zerochain.cli import main

main()
