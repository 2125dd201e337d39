"""`mmrefine test` as a file, for launchers that start files: measures a refiner."""

import sys

from mmrefine.cli.test import main

if __name__ == '__main__':
    sys.exit(main())
