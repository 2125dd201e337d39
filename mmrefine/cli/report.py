"""``mmrefine report OUT``: the review page of a finished job."""

from __future__ import annotations

import argparse
import sys

DESCRIPTION = """\
Write OUT/review/index.html: every mask of a job before and after, with the gate's reason, to sort, filter, accept
or reject. Nothing is refined. The page needs no network; decisions stay in the browser until they are
exported, and `mmrefine decide OUT decisions.json` applies them.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='mmrefine report', description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', metavar='OUT', help='folder of the results of mmrefine refine')
    args = parser.parse_args(argv)
    from mmrefine.files.names import printable
    from mmrefine.jobs import error_text
    from mmrefine.jobs.review import write_review

    try:
        page = write_review(args.out)
    except (OSError, ValueError) as error:
        print(printable(f'error: {error_text(error)}'), file=sys.stderr)
        return 2
    print(printable(f'review the masks in a browser: {page}'))
    return 0
