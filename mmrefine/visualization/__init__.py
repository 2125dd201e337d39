"""Pictures of masks."""

from mmrefine.visualization.side_by_side import draw_refinement

__all__ = ['draw_refinement']
