"""Compute J, F and J&F of video object segmentation, for the file layouts of DAVIS and LVOS.

  python tools/analysis_tools/evaluate_video.py RESULTS DAVIS/Annotations/480p --clips DAVIS/ImageSets/2017/val.txt
  python tools/analysis_tools/evaluate_video.py RESULTS LVOS/valid/Annotations --lvos LVOS/valid/valid_meta.json \\
      --unseen unseen_videos.txt

RESULTS and annotations contain <clip>/<frame>.png, label maps with or without palette. DAVIS ignores the first and the
last frame; LVOS evaluates every fifth frame of each object, and v2 averages seen and unseen categories.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mmrefine.evaluation.video import summarize_davis, summarize_lvos
from mmrefine.files.atomic import whole_file
from mmrefine.jobs.video_scores import evaluate_davis, evaluate_lvos


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', metavar='RESULTS')
    parser.add_argument('annotations', metavar='ANNOTATIONS')
    parser.add_argument('--clips', metavar='FILE', type=Path, help='names of the clips, one per line; default: all')
    parser.add_argument('--lvos', metavar='META', help="LVOS's JSON file of the set, instead of DAVIS's rules")
    parser.add_argument('--unseen', metavar='FILE', type=Path, help='LVOS v2: names of the unseen clips, one per line')
    parser.add_argument('--json', metavar='FILE', type=Path, help='also write the numbers to this file')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        if args.lvos:
            objects = evaluate_lvos(args.results, args.annotations, args.lvos)
            scores = summarize_lvos(objects, set(_names(args.unseen)))
        else:
            objects = evaluate_davis(args.results, args.annotations, _names(args.clips))
            scores = summarize_davis(objects)
        rows = [{'clip': o.clip, 'object': o.object_id, 'J': o.j.mean(), 'F': o.f.mean()} for o in objects]
        if args.json:
            with whole_file(args.json) as file:
                json.dump({'scores': scores, 'objects': rows}, file, indent=1)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    for row in rows:
        print(f'{row["clip"]} object {row["object"]}: J {100 * row["J"]:.1f} F {100 * row["F"]:.1f}')
    print(', '.join(f'{name} {100 * value:.1f}' for name, value in scores.items()))
    return 0


def _names(path: Path | None) -> list[str]:
    return (
        [] if path is None else [line.strip() for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
    )


if __name__ == '__main__':
    sys.exit(main())
