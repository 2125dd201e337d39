"""A job in several processes ends with the same bytes as in one, also if a process was killed, and never hangs."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.distributed

from mmrefine.jobs import LostProcessError
from mmrefine.jobs.engine import Job
from mmrefine.jobs.formats import open_masks
from mmrefine.jobs.image_work import ImageWork
from mmrefine.jobs.launch import processes as processes_module
from mmrefine.jobs.launch.join import join_processes
from mmrefine.jobs.launch.processes import ProcessGroupMonitor
from mmrefine.jobs.work import Progress
from tests.helpers.fragile_job import COUNT, HANG_S, FragileJob
from tests.helpers.scenes import Scenes

# One of two processes, as the tool runs it. Its clock stands still until it has done its share and the other one is
# gone, which touches the marker: what it does depends on these events, and not on how busy the machine is.
IMPATIENT = """
import runpy, time
from pathlib import Path
from types import SimpleNamespace
from mmrefine.jobs.launch import processes

now = 0

def sleep(seconds):
    global now
    time.sleep(seconds)
    now += 1000 if Path('marker').exists() else 0

processes.time = SimpleNamespace(monotonic=lambda: now, sleep=sleep)
processes._TIMEOUT_S = 500
processes._HEARTBEAT_S = 0.1
runpy.run_path(processes.__file__.replace('mmrefine/jobs/launch/processes.py', 'tools/refine.py'), run_name='__main__')
"""
SRUN = """#!/bin/bash
echo "$@" > srun.txt
while [ "$1" != python ]; do shift; done
SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=1 SLURM_NODELIST=a exec "$@"
"""


@pytest.fixture
def job(make_scenes: Callable[[int], Scenes], repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> FragileJob:
    scenes = make_scenes(COUNT)
    monkeypatch.chdir(scenes.folder)
    return FragileJob(scenes, repo_root)


def test_two_processes_give_what_one_gives(job: FragileJob) -> None:
    job.marker.touch()
    _, stderr = job.run('dist_refine.sh')
    assert f'images {COUNT}/{COUNT} ' in stderr
    assert job.written() == job.expected


def test_a_killed_process_is_noticed_and_one_process_goes_on(job: FragileJob, free_port: Callable[[], str]) -> None:
    group = {'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': free_port()}
    command = f'exec python -c "{IMPATIENT}" photos/ coco.json --out refined/ --launcher pytorch'
    first, second = (job.start(command, RANK=rank, LOCAL_RANK=rank, **group) for rank in ('0', '1'))
    _, stderr = first.communicate(timeout=HANG_S)
    second.communicate(timeout=HANG_S)
    assert second.returncode == -9 and first.returncode == 2, stderr
    last_line = stderr.strip().splitlines()[-1]
    assert last_line.startswith('error: process 1 of 2 has not reported for ')
    assert last_line.endswith('run the same command again, with any number of processes.')
    assert not (job.scenes.folder / 'refined/summary.json').exists()
    assert 2 <= len(list((job.scenes.folder / 'refined/.job/parts').rglob('*.json'))) < COUNT - 1
    _, stderr = job.run('mmrefine refine photos/ coco.json --out refined/')
    assert f'/{COUNT} ' not in stderr  # only what was left is work
    assert job.written() == job.expected


def test_slurm_starts_the_tool(job: FragileJob, free_port: Callable[[], str]) -> None:
    """As far as a stand-in for ``srun`` shows, which says what Slurm says to the first of its tasks."""
    job.marker.touch()
    (job.scenes.folder / 'srun').write_text(SRUN)
    (job.scenes.folder / 'srun').chmod(0o755)
    job.run('slurm_refine.sh', MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
    arguments = (job.scenes.folder / 'srun.txt').read_text()
    assert '-p gpu --job-name=refine --gres=gpu:1 --ntasks=1 --ntasks-per-node=1' in arguments
    assert job.written() == job.expected


# ---- who does what ----


def test_shards_are_stable_complete_and_even(make_scenes: Callable[[int], Scenes]) -> None:
    scenes = make_scenes(40)
    source = open_masks(scenes.folder / 'masks', scenes.folder / 'photos')
    job = Job(ImageWork(source, {}, '', batch_masks=1), scenes.folder / 'out')
    with job:
        shards = job.shards(job.start(), 4)
    assert sorted(group.start for shard in shards for group in shard) == list(range(40))
    # Binomial with 40 draws of 1/4: 10 +- 2.7.
    assert all(2 <= len(shard) <= 18 for shard in shards)
    # SHA-256 of the names, so the same on every machine, in every process and release.
    names = [source.tasks[group.start].image for group in shards[0]]
    assert names[:3] == ['scene_10.png', 'scene_12.png', 'scene_13.png']


# ---- the monitor ----

MakeMonitor = Callable[[int], ProcessGroupMonitor]


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeMonitor:
    """Makes the monitor with this rank of a group of two."""

    def make(rank: int) -> ProcessGroupMonitor:
        monkeypatch.setattr(processes_module, 'get_dist_info', lambda: (rank, 2))
        return ProcessGroupMonitor(tmp_path)

    monkeypatch.setattr(processes_module, '_HEARTBEAT_S', 0.02)
    return make


def test_the_first_gathers_what_all_did(monitor: MakeMonitor) -> None:
    failure = {'task': 3, 'image': 'a', 'error': 'b'}
    first, second = monitor(0), monitor(1)
    with first:
        with second:
            second.add(Progress(2, 5, [failure]))
            first.add(Progress(1, 1, []))
        assert first.wait(lambda images, masks: None) == [failure]
        assert first.done() == (3, 6)


def test_the_error_of_another_process_is_raised(monitor: MakeMonitor) -> None:
    first, second = monitor(0), monitor(1)
    with pytest.raises(OSError), second:
        raise OSError('the disk is full')
    with pytest.raises(
        LostProcessError, match=r'process 1 of 2 has failed \(the disk is full\); finished work is kept'
    ):
        first.wait(lambda images, masks: None)


def test_a_long_task_is_no_timeout(
    monitor: Callable[[int], ProcessGroupMonitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats alone, for far longer than the timeout, by a clock that goes on only when one has arrived."""
    first, second = monitor(0), monitor(1)
    clock = itertools.count(step=0.4 * processes_module._TIMEOUT_S)
    now = [next(clock)]
    monkeypatch.setattr(processes_module, 'time', SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep))
    heartbeats = []

    def show(images: int, masks: int) -> None:
        first._last_read = -1.0  # look again at once
        heartbeats.append(first._others[1].heartbeats)
        if len(set(heartbeats)) == 10:
            if second._own.end is None:
                second.add(Progress(1, 1, []))
                second.__exit__(None, None, None)
        elif len(heartbeats) < 2 or heartbeats[-1] > heartbeats[-2]:
            now[0] = next(clock)

    with first:
        second.__enter__()
        first.wait(show)
    assert now[0] > 3 * processes_module._TIMEOUT_S and first.done() == (1, 1)


def test_a_process_without_heartbeats_is_reported(
    monitor: Callable[[int], ProcessGroupMonitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = monitor(0)
    now = [0.0]
    monkeypatch.setattr(processes_module, 'time', SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep))

    def show(images: int, masks: int) -> None:
        now[0] += 0.4 * processes_module._TIMEOUT_S

    with first, pytest.raises(LostProcessError, match='process 1 of 2 has not reported for 144 s'):
        first.wait(show)


# ---- launchers ----


@pytest.fixture
def left_group() -> Iterator[None]:
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(torch.cuda.is_available(), reason='with GPUs, mmengine joins')
@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_launchers_without_gpus(
    launcher: str,
    free_port: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left_group: None,
) -> None:
    variables = {
        'pytorch': ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'),
        'slurm': ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS'),
        'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE'),
    }[launcher]
    for name, value in zip(variables, '001', strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('MASTER_PORT', free_port())
    if launcher == 'slurm':  # asks Slurm for the first of the machines
        monkeypatch.delenv('MASTER_ADDR', raising=False)
        monkeypatch.setenv('SLURM_NODELIST', 'node[1-2]')
        (tmp_path / 'scontrol').write_text('#!/bin/sh\ntest "$3" = "node[1-2]" && echo localhost && echo node2\n')
        (tmp_path / 'scontrol').chmod(0o755)
        monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    else:
        monkeypatch.setenv('MASTER_ADDR', 'localhost')
    at_exit = []
    monkeypatch.setattr('atexit.register', at_exit.append)
    join_processes(launcher)
    assert torch.distributed.get_world_size() == 1 and torch.distributed.get_backend() == 'gloo'
    # The threads of a group that is left behind outlive the interpreter, and may abort it.
    [leave] = at_exit
    leave()
    assert not torch.distributed.is_initialized()
    leave()


def test_launchers_that_did_not_start_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('RANK', 'SLURM_PROCID', 'MASTER_ADDR'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match='launcher slurm must set SLURM_PROCID, SLURM_LOCALID, SLURM_NTASKS'):
        join_processes('slurm')
    with pytest.raises(ValueError, match='launcher mpi must set .*MASTER_ADDR; see docs/scaling.md'):
        join_processes('mpi')
    with pytest.raises(ValueError, match="launcher must be one of none, pytorch, slurm, mpi, ray, got 'dask'"):
        join_processes('dask')
