"""Distributed training without GPUs, where mmengine's PyTorch launcher would call CUDA."""

from __future__ import annotations

import torch
import torch.distributed
from mmengine.config import Config


def prepare_cpu_distributed(config: Config) -> None:
    """Join the process group over gloo and wrap models for CPUs; does nothing where there is a GPU or one process.

    Args:
        config: of a Runner; ``launcher`` is read, ``model_wrapper_cfg`` is set.
    """
    if config.get('launcher', 'none') != 'pytorch' or torch.cuda.is_available():
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    config.setdefault('model_wrapper_cfg', {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False})
    config.model_wrapper_cfg.device_ids = None
