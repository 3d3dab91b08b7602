"""`python -m littlebaby` is the command `littlebaby`."""
from .cli import main

main()
