"""Video: frame-wise refinement in agreement over time, and SAM2Refiner on SAM 2's video predictor.

What needs sam2 is looked up when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmrefine.models.video.propagation import FlowPropagator, MaskPropagator
from mmrefine.models.video.video_refiner import FrameResult, FramewiseVideoRefiner, VideoRefiner

_NEED_SAM2 = {
    'SAM2Propagator': 'sam2_tracking',
    'SAM2RefinerVideoPredictor': 'sam2_predictor',
    'TrackingVideoRefiner': 'sam2_tracking',
    'build_video_predictor': 'build_predictor',
}

__all__ = [  # noqa: F822  (the rest is in _NEED_SAM2)
    'FlowPropagator',
    'FrameResult',
    'FramewiseVideoRefiner',
    'MaskPropagator',
    'SAM2Propagator',
    'SAM2RefinerVideoPredictor',
    'TrackingVideoRefiner',
    'VideoRefiner',
    'build_video_predictor',
]


def __getattr__(name: str) -> Any:
    if name in _NEED_SAM2:
        return getattr(import_module(f'{__name__}.{_NEED_SAM2[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
