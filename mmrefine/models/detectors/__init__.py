"""Components for MMDetection's models.

They are subclasses of MMDetection's classes and therefore not imported with the rest of the package: a config needs
``custom_imports = dict(imports=['mmrefine.models.detectors'])``.
"""

from mmrefine.compat import setup
from mmrefine.utils import require

setup()
require('mmdet', 'pip install "mmrefine[mmdet]"', 'mmrefine.models.detectors')

from mmrefine.models.detectors.mask_teacher import MaskTeacher  # noqa: E402
from mmrefine.models.detectors.weighted_mask_head import WeightedFCNMaskHead  # noqa: E402

__all__ = ['MaskTeacher', 'WeightedFCNMaskHead']
