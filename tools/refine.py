"""`mmrefine refine` as a file, for launchers that start files: refines the masks of a dataset."""

import sys

from mmrefine.cli.refine import main

if __name__ == '__main__':
    sys.exit(main())
