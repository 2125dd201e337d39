"""Ways in for people: refinement in Python, and jobs over whole data sets."""

from mmrefine.apis.inferencer import RefineInferencer, refine
from mmrefine.apis.job import refine_dataset
from mmrefine.apis.processes import LostProcessError
from mmrefine.apis.report import JobReport, format_report
from mmrefine.apis.video import VideoReport, format_video_report, refine_video
from mmrefine.files.atomic import OutputError
from mmrefine.models.model_zoo import BUNDLED_MODELS, build_refiner, find_checkpoint, load_weights

__all__ = [
    'BUNDLED_MODELS',
    'JobReport',
    'LostProcessError',
    'OutputError',
    'RefineInferencer',
    'VideoReport',
    'build_refiner',
    'find_checkpoint',
    'format_report',
    'format_video_report',
    'load_weights',
    'refine',
    'refine_dataset',
    'refine_video',
]
