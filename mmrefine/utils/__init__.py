"""Small helpers without a room of their own."""

from .optional import require
from .paths import find_config, mim_root
from .words import counted

__all__ = ['counted', 'find_config', 'mim_root', 'require']
