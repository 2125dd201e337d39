"""`mmrefine train` as a script, for launchers that need one: trains a refiner."""

import sys

from mmrefine.cli.train import main

if __name__ == '__main__':
    sys.exit(main())
