"""Refiners and the networks and losses that they are made of."""

from mmrefine.models import backends, denoisers, losses, refiners, sam2_refiner  # noqa: F401  (fill the registry)
