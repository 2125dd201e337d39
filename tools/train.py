"""`mmrefine train` as a file, for launchers that start files: trains a refiner."""

import sys

from mmrefine.cli.train import main

if __name__ == '__main__':
    sys.exit(main())
