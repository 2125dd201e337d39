"""Resumable refinement of files: whole datasets and video clips."""

from mmrefine.files.atomic import OutputError
from mmrefine.jobs.clip_report import VideoReport, format_video_report
from mmrefine.jobs.clips import refine_video
from mmrefine.jobs.images import refine_dataset
from mmrefine.jobs.launch.processes import LostProcessError
from mmrefine.jobs.report import JobReport, format_report
from mmrefine.jobs.work import error_text

__all__ = [
    'JobReport',
    'LostProcessError',
    'OutputError',
    'VideoReport',
    'error_text',
    'format_report',
    'format_video_report',
    'refine_dataset',
    'refine_video',
]
