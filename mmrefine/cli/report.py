"""``mmrefine report OUT``: write the review page of a finished job."""

from __future__ import annotations

import argparse

from mmrefine.cli.job_command import run

DESCRIPTION = """\
Write OUT/review/index.html: every mask of a job before and after, with the gate's reason, to sort, filter, accept
or reject. Nothing is refined. The page needs no network; decisions stay in the browser until they are
exported, and `mmrefine decide OUT decisions.json` applies them.
"""
EPILOG = """\
examples:
  mmrefine report refined/

exit status: 0 the page is written; 2 it is not.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='mmrefine report',
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('out', metavar='OUT', help='output folder of mmrefine refine')
    args = parser.parse_args(argv)
    return run(lambda: report(args.out), stopped='stopped; run the same command again.')


def report(out: str) -> int:
    """Write the page; returns the exit status."""
    from mmrefine.files.names import printable
    from mmrefine.jobs.review import write_review

    print(printable(f'review the masks in a browser: {write_review(out)}'))
    return 0
