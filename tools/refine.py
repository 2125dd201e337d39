"""`mmrefine refine` as a script, for launchers that need one: refines the masks of a dataset."""

import sys

from mmrefine.cli.refine import main

if __name__ == '__main__':
    sys.exit(main())
