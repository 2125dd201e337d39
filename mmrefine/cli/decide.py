"""``mmrefine decide OUT decisions.json``: apply the decisions of a review to the results."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmrefine.cli.job_command import run

DESCRIPTION = """\
Apply the decisions made on the review page: accepted proposals are written to the results of the job, rejected ones are
replaced by the coarse masks. Nothing is refined again, and other masks are unchanged. Later runs of the job keep the
decisions as long as image, masks, weights and config do not change.
"""
EPILOG = """\
examples:
  mmrefine decide refined/ ~/Downloads/decisions.json

exit status: 0 all decisions are applied; 2 none is.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='mmrefine decide',
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('out', metavar='OUT', help='output folder of mmrefine refine')
    parser.add_argument('decisions', metavar='DECISIONS', help='the JSON file that the review page exports')
    args = parser.parse_args(argv)
    return run(
        lambda: decide(args.out, args.decisions),
        hint=lambda: swapped(args.out, args.decisions),
        stopped='stopped; run the same command again.',
    )


def decide(out: str, decisions: str) -> int:
    """Apply the decisions, also on the page; returns the exit status."""
    from mmrefine.files.names import printable
    from mmrefine.jobs.review import apply_decision_file, has_review, write_review
    from mmrefine.utils import counted

    report, count = apply_decision_file(out, decisions)
    if has_review(out):
        write_review(out)
    accepted, kept = report.total['accepted'], report.total['kept']
    print(printable(f'{counted(count, "decision")} applied; {accepted} accepted and {kept} kept in {out}'))
    return 0


def swapped(out: str, decisions: str) -> str:
    """A sentence where OUT is a file and DECISIONS a folder; else ''."""
    if Path(out).is_file() and Path(decisions).is_dir():
        return ' OUT comes first and DECISIONS second: are they swapped?'
    return ''
