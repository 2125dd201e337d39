"""Importing this module calls `mmrefine.compat.setup`, for configs: ``custom_imports`` can import but not call."""

from . import setup

setup()
