"""``python -m mmrefine``."""

import sys

from mmrefine.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
