"""Visualization of masks."""

from mmrefine.visualization.overlay import OverlayVideo, draw_overlay
from mmrefine.visualization.side_by_side import draw_refinement
from mmrefine.visualization.visualizer import Visualizer

__all__ = ['OverlayVideo', 'Visualizer', 'draw_overlay', 'draw_refinement']
