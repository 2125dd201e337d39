"""Ways in for people: refinement in Python, and jobs over whole data sets."""

from mmrefine.apis.files import OutputError
from mmrefine.apis.inferencer import RefineInferencer, refine
from mmrefine.apis.job import refine_dataset
from mmrefine.apis.processes import LostProcessError
from mmrefine.apis.report import JobReport, format_report
from mmrefine.models.model_zoo import BUNDLED_MODELS, build_refiner, find_checkpoint, load_weights

__all__ = [
    'BUNDLED_MODELS',
    'JobReport',
    'LostProcessError',
    'OutputError',
    'RefineInferencer',
    'build_refiner',
    'find_checkpoint',
    'format_report',
    'load_weights',
    'refine',
    'refine_dataset',
]
