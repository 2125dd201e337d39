"""Process groups: initialization without a GPU, where mmengine's PyTorch launcher would call CUDA, and clean exit."""

from __future__ import annotations

import atexit
import sys

import torch
import torch.distributed
from mmengine.config import Config


def prepare_process_group(config: Config) -> None:
    """Prepare distributed training or testing with a Runner.

    Without a GPU the process group is initialized with gloo, because mmengine's PyTorch launcher calls CUDA, and the
    model wrapper is set for CPUs. In any case the process leaves its group at exit.

    Args:
        config: config of the Runner; ``launcher`` is read, ``model_wrapper_cfg`` is set.
    """
    leave_process_group_at_exit()
    if config.get('launcher', 'none') != 'pytorch' or torch.cuda.is_available():
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    config.setdefault('model_wrapper_cfg', {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False})
    config.model_wrapper_cfg.device_ids = None


def leave_process_group_at_exit() -> None:
    """Destroy the process group, if there is one, before the interpreter exits.

    Otherwise threads of the group outlive the interpreter, and occasionally the process ends with SIGABRT after all
    its work is done.
    """
    atexit.unregister(_leave_process_group)
    atexit.register(_leave_process_group)


def _leave_process_group() -> None:
    failed = hasattr(sys, 'last_value')  # then other processes may be blocked, and destroying would block too
    if torch.distributed.is_initialized() and not failed:
        torch.distributed.destroy_process_group()
