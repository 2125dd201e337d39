"""Small utilities."""

from .optional import require
from .paths import find_config, mim_root
from .words import counted, listed

__all__ = ['counted', 'find_config', 'listed', 'mim_root', 'require']
