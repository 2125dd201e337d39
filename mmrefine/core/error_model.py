"""Statistical model of mask errors: estimation from coarse and ground-truth masks, and simulation.

The errors of one mask are a displacement of its contour, and parts that such a displacement does not explain: missing
and extra parts at the contour, holes and islands. Simulation draws all errors of one measured mask together, so that
their correlations are kept. What a mask loses and gains in total is measured too, and the displacement is scaled
to it, since displacement and parts cannot be separated exactly.

Legend: H, W in pixels; lengths are relative to the object's size sqrt(area), areas to its area, unless named ``_px``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import zip_longest

import numpy as np

from mmrefine.core.boundary import bounding_slices
from mmrefine.core.error_measurement import PART_KINDS, MaskErrors, fit_length, measure_errors, variogram
from mmrefine.core.error_simulation import simulate_errors

FORMAT = 'mmrefine.mask_error_model.v1'


@dataclass(frozen=True)
class MaskErrorModel:
    """Error statistics of a source of coarse masks.

    Attributes:
        masks: the errors of every measured mask, at least one.
        length: correlation length of displacements: their correlation at distance h in the plane is
            exp(-h^2 / (2 length^2)). 0 where there was no spread to estimate it from.
    """

    masks: tuple[MaskErrors, ...]
    length: float

    @classmethod
    def measure(cls, coarse_masks: Iterable[np.ndarray], gt_masks: Iterable[np.ndarray]) -> MaskErrorModel:
        """Estimate the model from pairs of coarse and ground-truth masks.

        Args:
            coarse_masks, gt_masks: (H, W) bool masks in the same order; sizes may differ between pairs. Pairs that do
                not overlap, for example because one mask is empty, are skipped.

        Raises:
            ValueError: the masks of a pair differ in size, the numbers of masks differ, or no pair overlaps.
        """
        found, variograms = [], []
        for coarse, gt in zip_longest(coarse_masks, gt_masks):
            if coarse is None or gt is None:
                raise ValueError(
                    'expected one ground-truth mask for every coarse mask, got more '
                    f'{"ground-truth" if coarse is None else "coarse"} masks.'
                )
            if coarse.shape != gt.shape:
                raise ValueError(
                    f'coarse mask and ground truth must have the same size, got {coarse.shape} and {gt.shape}.'
                )
            coarse, gt = coarse.astype(bool), gt.astype(bool)
            if (coarse & gt).any():
                errors, points, displacements = measure_errors(coarse, gt)
                found.append(errors)
                variograms.append(variogram(points, displacements, math.sqrt(np.count_nonzero(gt))))
        if not found:
            raise ValueError('no coarse mask overlaps its ground-truth mask; check that they are in the same order.')
        return cls(tuple(found), fit_length(*np.sum(variograms, axis=0)))

    @property
    def bias(self) -> float:
        """Mean displacement of all contours."""
        return float(np.mean([errors.bias for errors in self.masks]))

    @property
    def bias_spread(self) -> float:
        """Standard deviation of the masks' mean displacements."""
        return float(np.std([errors.bias for errors in self.masks]))

    @property
    def spread(self) -> float:
        """Root mean square of the masks' spreads."""
        return float(np.sqrt(np.mean([errors.spread**2 for errors in self.masks])))

    def areas(self, kind: str) -> list[float]:
        """Areas of all parts of one of :data:`PART_KINDS`."""
        return [area for errors in self.masks for area in getattr(errors, kind)]

    def rate(self, kind: str) -> float:
        """Mean number per mask of parts of one of :data:`PART_KINDS`."""
        return len(self.areas(kind)) / len(self.masks)

    def simulate(self, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Simulate a coarse mask with the errors of a randomly chosen measured mask.

        Args:
            mask: (H, W) bool, the ground truth.
            rng: random number generator.

        Returns:
            (H, W) bool; empty only if ``mask`` is. It loses and gains as much as the measured mask, if the image has
            the space, so that IoU and area have the same distributions; those of boundary IoU and the number of
            components are similar if the ground truth is of the same kind. The division into displacement and parts
            is only roughly the same. Errors that would erase the mask are not applied.
        """
        result = mask.copy()
        errors = self.masks[rng.integers(len(self.masks))]
        if mask.any():
            # The margin leaves space for parts as large as the object.
            window = bounding_slices(mask, margin_px=math.ceil(math.sqrt(np.count_nonzero(mask))) + 2)
            result[window] = simulate_errors(mask[window], errors, self.length, rng)
        return result if result.any() else mask.copy()

    def to_dict(self) -> dict:
        """The model as a dict that JSON can store."""
        return {'format': FORMAT, 'length': self.length, 'masks': [asdict(errors) for errors in self.masks]}

    @classmethod
    def from_dict(cls, content: dict) -> MaskErrorModel:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: it is not an error model, or it is damaged.
        """
        if not isinstance(content, dict) or content.get('format') != FORMAT:
            found = content.get('format') if isinstance(content, dict) else type(content).__name__
            raise ValueError(
                f'expected a mask error model of the format {FORMAT!r}, got {found!r}; '
                'write one with tools/analysis_tools/measure_mask_errors.py.'
            )
        try:
            model = cls(tuple(_read_errors(entry) for entry in content['masks']), _number(content['length']))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'the mask error model is damaged: {error}; measure it again.') from error
        if not model.masks:
            raise ValueError('the mask error model contains no masks; measure it again.')
        return model


def _read_errors(entry: dict) -> MaskErrors:
    names = [field.name for field in fields(MaskErrors)]
    if not isinstance(entry, dict) or not {'bias', 'spread'} <= set(entry) <= set(names):
        got = sorted(entry) if isinstance(entry, dict) else entry
        raise ValueError(f'expected {names} for every mask, got {got!r}')
    # Files of version 0.2 have no islands, totals and loose components.
    parts = {kind: tuple(_number(area) for area in entry.get(kind, ())) for kind in PART_KINDS}
    totals = {name: _number(entry[name]) for name in ('lost', 'gained') if entry.get(name) is not None}
    loose = round(_number(entry.get('loose', 0)))
    return MaskErrors(_number(entry['bias']), _number(entry['spread']), **parts, **totals, loose=loose)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f'expected a finite number, got {value!r}')
    return float(value)
