"""Manifest of the files that a job has written, so that they are not taken for inputs."""

from __future__ import annotations

import json
import os
from pathlib import Path

JOB_FOLDER = '.job'  # internal files of a job
MANIFEST = 'manifest.jsonl'  # in that folder: names of the results, one per line, relative to the output folder


def is_job_folder(folder: Path) -> bool:
    """Whether the folder contains the results of a job; False if it cannot be read."""
    return os.path.exists(folder / JOB_FOLDER / MANIFEST)


def read_manifest(folder: Path) -> set[str]:
    """Names of the results of the job in this folder; empty if there is no job.

    Invalid lines of a damaged manifest are skipped.
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
