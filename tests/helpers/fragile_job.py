"""A job of the documentation in processes, one of which is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmrefine.jobs import refine_dataset
from tests.helpers.scenes import Scenes, files_of

CONFIG = """
custom_imports = dict(imports=['tests.helpers.fragile_refiner'])
model = dict(type='FragileRefiner', marker='{marker}', lives=2, rank=1)
"""
HANG_S = 3600  # ends a test that hangs; the processes import PyTorch, which takes minutes on a very busy machine
COUNT = 24


def documented(repo_root: Path, word: str) -> str:
    """The command of docs/scaling.md that has this word."""
    lines = (repo_root / 'docs/scaling.md').read_text(encoding='utf-8').split('```')[1].splitlines()
    return next(line for line in lines if word in line)


class FragileJob:
    """A dataset, a config of a fragile refiner, and what one process makes of it undisturbed; an image is broken."""

    def __init__(self, scenes: Scenes, repo_root: Path, config: str = CONFIG):
        self.scenes, self.repo_root = scenes, repo_root
        self.marker, self.config = scenes.folder / 'marker', scenes.folder / 'fragile.py'
        self.config.write_text(config.format(marker=self.marker))
        (scenes.folder / 'photos/scene_5.png').write_bytes(b'broken')
        self.marker.touch()
        out = scenes.folder / 'unbroken'
        refine_dataset('photos/', 'coco.json', out, model='fragile.py', device='cpu', progress=False)
        self.expected = self.written('unbroken')
        self.marker.unlink()

    def start(self, command: str, **environment: str) -> subprocess.Popen:
        """A command in a process of its own, with the fragile refiner."""
        paths = {
            'PYTHONPATH': str(self.repo_root),
            'PATH': os.pathsep.join((str(self.scenes.folder), str(Path(sys.executable).parent), os.environ['PATH'])),
        }
        command = command.replace(' tools/', f' {self.repo_root}/tools/').replace('mmrefine ', 'python -m mmrefine ', 1)
        return subprocess.Popen(
            ['bash', '-c', f'{command} --config fragile.py --device cpu'],
            cwd=self.scenes.folder,
            env={**os.environ, **paths, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, word: str, **environment: str) -> tuple[str, str]:
        """A documented command to its end: what it printed."""
        process = self.start(documented(self.repo_root, word), **environment)
        stdout, stderr = process.communicate(timeout=HANG_S)
        if 'current node timed out during startup' in stderr:
            pytest.skip('Ray gives its own processes half a minute to start, which this machine is too busy for')
        assert process.returncode == 1, stderr  # an image was skipped
        told = stdout.count(f'total: {COUNT - 1} images'), stderr.count('skipped scene_5.png')
        assert told == (1, 1), stderr
        return stdout, stderr

    def written(self, out: str = 'refined') -> dict[str, bytes]:
        """Results of the job."""
        return files_of(self.scenes.folder / out)
