"""`mmrefine pick` as a script: chooses a refiner for given masks."""

import sys

from mmrefine.cli.pick import main

if __name__ == '__main__':
    sys.exit(main())
