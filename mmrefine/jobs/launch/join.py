"""Joining of the process group of a job, for all launchers."""

from __future__ import annotations

import os
import subprocess

import torch
import torch.distributed
from mmengine.dist import init_dist, is_distributed

from mmrefine.compat import leave_process_group_at_exit

# Variables of the launchers: rank, local rank and world size.
_VARIABLES = {
    'pytorch': ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'),
    'slurm': ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE'),
}
LAUNCHERS = ('none', *_VARIABLES, 'ray')


def join_processes(launcher: str) -> None:
    """Join the process group of a job, on the GPU with the local rank if there are GPUs.

    The gloo process group is only used to broadcast what the first process decides at the start; results are exchanged
    via the shared disk.

    Args:
        launcher: ``'pytorch'``, ``'slurm'`` or ``'mpi'``; ``'none'`` and ``'ray'`` need nothing.

    Raises:
        ValueError: the launcher is unknown, did not start this process, or started more processes than there are GPUs.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f'launcher must be one of {", ".join(LAUNCHERS)}, got {launcher!r}.')
    if launcher not in _VARIABLES or is_distributed():
        return
    missing = [name for name in _VARIABLES[launcher] if name not in os.environ]
    if launcher == 'mpi' and 'MASTER_ADDR' not in os.environ:
        missing.append('MASTER_ADDR')
    if missing:
        raise ValueError(f'launcher {launcher} must set {", ".join(missing)}; see docs/scaling.md.')
    leave_process_group_at_exit()
    rank, local_rank, size = (int(os.environ[name]) for name in _VARIABLES[launcher])
    if not torch.cuda.is_available():
        _join_on_cpus(launcher, rank, size)
    elif local_rank < torch.cuda.device_count():
        init_dist(launcher, backend='gloo')
    else:
        raise ValueError(f'process {local_rank} of this machine has no GPU: it has {torch.cuda.device_count()}.')


def _join_on_cpus(launcher: str, rank: int, size: int) -> None:
    """Join without GPUs, where mmengine's launchers would call CUDA; the master address is the same."""
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        command = ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']]
        os.environ['MASTER_ADDR'] = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[
            0
        ]
    os.environ.setdefault('MASTER_PORT', '29500')
    torch.distributed.init_process_group('gloo', rank=rank, world_size=size)
