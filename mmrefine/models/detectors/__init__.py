"""Components for MMDetection's models; import this module in a config, ``custom_imports = dict(imports=[...])``.

Unlike the rest of the package they are subclasses of MMDetection's, so they are imported when asked for and not before.
"""

from mmrefine.compat import setup
from mmrefine.utils import require

setup()
require('mmdet', 'pip install "mmrefine[mmdet]"', 'mmrefine.models.detectors')

from mmrefine.models.detectors.mask_teacher import MaskTeacher  # noqa: E402
from mmrefine.models.detectors.weighted_mask_head import WeightedFCNMaskHead  # noqa: E402

__all__ = ['MaskTeacher', 'WeightedFCNMaskHead']
