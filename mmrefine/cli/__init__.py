"""Command line interface: ``mmrefine COMMAND``, one file with ``main(argv)`` per command."""
