"""``mmrefine decide OUT decisions.json``: apply the decisions of a reviewer to the results."""

from __future__ import annotations

import argparse
import sys

DESCRIPTION = """\
Apply the decisions made on the review page: accepted proposals are written to the results of the job, rejected ones are
replaced by the coarse masks. Nothing is refined again, and other masks are unchanged. Later runs of the job keep the
decisions as long as image, masks, weights and config do not change.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='mmrefine decide', description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', metavar='OUT', help='folder of the results of mmrefine refine')
    parser.add_argument('decisions', metavar='DECISIONS', help='the JSON file that the review page exports')
    args = parser.parse_args(argv)
    from mmrefine.files.names import printable
    from mmrefine.jobs import error_text
    from mmrefine.jobs.review import apply_decision_file, has_review, write_review
    from mmrefine.utils import counted

    try:
        report, count = apply_decision_file(args.out, args.decisions)
        if has_review(args.out):
            write_review(args.out)
    except (OSError, ValueError) as error:
        print(printable(f'error: {error_text(error)}'), file=sys.stderr)
        return 2
    accepted, kept = report.total['accepted'], report.total['kept']
    print(printable(f'{counted(count, "decision")} applied; {accepted} accepted and {kept} kept in {args.out}'))
    return 0
