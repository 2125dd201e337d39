"""Refiners, and the networks and losses that they consist of."""

from mmrefine.models import (  # noqa: F401  (fill the registry)
    backends,
    denoisers,
    encoders,
    losses,
    refiners,
    sam2_refiner,
)
