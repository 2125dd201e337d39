"""`mmrefine pick` as a file: which refiner suits given masks best."""

import sys

from mmrefine.cli.pick import main

if __name__ == '__main__':
    sys.exit(main())
