"""Lets mmdet and mmseg be imported without the compiled ops of mmcv (mmcv-lite, or no wheel for this PyTorch).

``mmcv.ops`` loads the compiled module ``mmcv._ext``. A finder at the end of ``sys.meta_path`` provides a replacement
(`mmcv_ext.py`, based on torchvision) if no other finder has that module, so that compiled ops take precedence.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

_STAND_IN = Path(__file__).with_name('mmcv_ext.py')


class _StandInFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_file_location(fullname, _STAND_IN) if fullname == 'mmcv._ext' else None


_FINDER = _StandInFinder()


def install_mmcv_ops() -> None:
    """Make ``import mmcv.ops`` work without compiled ops; must be called before mmdet or mmseg is imported.

    Idempotent. The replacement, `mmcv_ext`, logs when it is loaded.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
