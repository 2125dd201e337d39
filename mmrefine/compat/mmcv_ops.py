"""Lets mmdet and mmseg import where mmcv came without its compiled ops (mmcv-lite, or no wheel for this PyTorch).

``mmcv.ops`` loads a compiled module ``mmcv._ext``. A finder at the very end of ``sys.meta_path`` offers a stand-in for
exactly that name (`mmcv_ext.py`, backed by torchvision): it is asked only when nothing else has the module, so real
compiled ops always win, and it costs nothing until ``mmcv.ops`` is imported.
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
    """Makes ``import mmcv.ops`` work without compiled ops; call it before mmdet or mmseg is imported.

    Safe to call again. What the stand-in covers, and what it answers to other ops, is said in `mmcv_ext`; when it is
    loaded it says so once in the log.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
