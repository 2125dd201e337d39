"""Manifest of a job's results, so that these are not taken for inputs."""

from __future__ import annotations

import json
from pathlib import Path

JOB_FOLDER = '.job'  # what a job keeps for itself
MANIFEST = 'manifest.jsonl'  # in it: names of the results, one per line, relative to the folder they are in


def is_job_folder(folder: Path) -> bool:
    """Whether a job has its results in this folder."""
    return (folder / JOB_FOLDER / MANIFEST).exists()


def read_manifest(folder: Path) -> set[str]:
    """Names of the results of the job that has them in this folder; none where there is no job.

    A damaged manifest is read as far as it makes sense.
    """
    try:
        lines = (folder / JOB_FOLDER / MANIFEST).read_bytes().splitlines()
    except OSError:
        return set()
    return {name for name in map(_name_in, lines) if name}


def _name_in(line: bytes) -> str | None:
    try:
        name = json.loads(line)
    except ValueError:
        return None
    return name if isinstance(name, str) else None
