"""Importing this module calls `mmrefine.compat.setup`, for ``custom_imports`` in configs."""

from . import setup

setup()
