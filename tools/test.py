"""`mmrefine test` as a script, for launchers that need one: evaluates a refiner."""

import sys

from mmrefine.cli.test import main

if __name__ == '__main__':
    sys.exit(main())
