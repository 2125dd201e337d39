"""Small helpers without a room of their own."""

from .optional import require
from .paths import find_config, mim_root

__all__ = ['find_config', 'mim_root', 'require']
