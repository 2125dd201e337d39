"""Workarounds for current PyTorch with the OpenMMLab packages; each module can be deleted when it is obsolete."""

from .checkpoints import allow_mmengine_checkpoints
from .mmcv_ops import install_mmcv_ops
from .mmcv_version import accept_mmcv_2_2
from .numpy_names import restore_numpy_names
from .package_configs import register_package_configs
from .process_groups import leave_process_group_at_exit, prepare_process_group  # noqa: F401  (for the launchers)

__all__ = ['setup']


def setup() -> None:
    """Apply all workarounds; must be called before mmdet or mmseg is imported. Fast and idempotent.

    In a config file, use ``custom_imports = dict(imports=['mmrefine.compat.auto'])``.

    Example:
        >>> setup()
        >>> import mmdet  # accepts the installed mmcv
    """
    install_mmcv_ops()
    accept_mmcv_2_2()
    allow_mmengine_checkpoints()
    restore_numpy_names()
    register_package_configs()
