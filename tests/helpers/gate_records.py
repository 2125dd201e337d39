"""Rows of per-mask files from which a gate is fitted."""

from __future__ import annotations

import numpy as np


def records(count: int = 400, seed: int = 0, kinds: tuple[str, ...] = ('real', 'simulated')) -> list[dict]:
    """Proposals that help the more, the higher the expected gain is; the other features say nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        expected = rng.normal(0.03, 0.04)
        gain = expected + rng.normal(0, 0.015)
        made.append(
            {
                'img_path': f'{index // 2}.jpg',
                'kind': kinds[index % len(kinds)],
                'coarse_iou': 0.5,
                'refined_iou': 0.5 + gain,
                'accepted': True,
                'score': rng.uniform(0.5, 1),
                'expected_gain': expected,
                'agreement': rng.uniform(0.5, 1),
                'area_ratio': rng.uniform(0.5, 2),
                'relative_size': rng.uniform(0, 1),
            }
        )
    return made
