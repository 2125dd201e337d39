"""Pictures of masks."""

from mmrefine.visualization.overlay import OverlayVideo, draw_overlay
from mmrefine.visualization.side_by_side import draw_refinement

__all__ = ['OverlayVideo', 'draw_overlay', 'draw_refinement']
