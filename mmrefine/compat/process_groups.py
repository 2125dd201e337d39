"""Process groups: joining without a GPU, where mmengine's PyTorch launcher would call CUDA, and leaving at exit."""

from __future__ import annotations

import atexit
import sys

import torch
import torch.distributed
from mmengine.config import Config


def prepare_process_group(config: Config) -> None:
    """Make a Runner in several processes start and end well.

    Where there is no GPU, for which mmengine's PyTorch launcher calls CUDA, the group is joined over gloo and models
    are wrapped for CPUs. In any case the process leaves its group when it ends.

    Args:
        config: of a Runner; ``launcher`` is read, ``model_wrapper_cfg`` is set.
    """
    leave_process_group_at_exit()
    if config.get('launcher', 'none') != 'pytorch' or torch.cuda.is_available():
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    config.setdefault('model_wrapper_cfg', {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False})
    config.model_wrapper_cfg.device_ids = None


def leave_process_group_at_exit() -> None:
    """Have the process leave its group, if it is in one by then, while the interpreter is still there.

    Threads of a group that is left behind outlive the interpreter, and now and then end with SIGABRT a process that has
    done all its work.
    """
    atexit.unregister(_leave_process_group)
    atexit.register(_leave_process_group)


def _leave_process_group() -> None:
    failed = hasattr(sys, 'last_value')  # then others may wait for what never comes, and nobody waits for them
    if torch.distributed.is_initialized() and not failed:
        torch.distributed.destroy_process_group()
