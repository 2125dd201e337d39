"""The command line: ``mmrefine COMMAND``, each command in a file of its own with ``main(argv)``."""
