"""`python -m service` is `cuebox`."""

from service.cli import main

main()
