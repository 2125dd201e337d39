"""Refinement of video clips, frame by frame, with masks propagated between frames for temporal consistency."""

from mmrefine.models.video.propagation import FlowPropagator, MaskPropagator
from mmrefine.models.video.video_refiner import FrameResult, FramewiseVideoRefiner, VideoRefiner

__all__ = ['FlowPropagator', 'FrameResult', 'FramewiseVideoRefiner', 'MaskPropagator', 'VideoRefiner']
