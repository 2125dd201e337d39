"""`mmrefine video` as a script, for launchers that need one: refines the masks of video clips."""

import sys

from mmrefine.cli.video import main

if __name__ == '__main__':
    sys.exit(main())
