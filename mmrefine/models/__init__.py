"""Refiners and the networks and losses that they are made of."""

from mmrefine.models import backends, denoisers, interactive, losses, modules, refiners  # noqa: F401  (fill the registry)
