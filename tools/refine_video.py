"""`mmrefine video` as a file, for launchers that start files: refines the masks of clips."""

import sys

from mmrefine.cli.video import main

if __name__ == '__main__':
    sys.exit(main())
