"""mmrefine: refinement of segmentation masks, for MMDetection, MMSegmentation and other sources of masks.

Importing the package is fast: public names are imported when they are first used (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .apis import RefinedModel, RefineInferencer, refine, refine_predictions
    from .visualization import Visualizer

__all__ = ['RefineInferencer', 'RefinedModel', 'Visualizer', '__version__', 'refine', 'refine_predictions']


def __getattr__(name: str) -> Any:
    if name == 'Visualizer':
        from .visualization import Visualizer

        return Visualizer
    if name in __all__:
        from . import apis

        return getattr(apis, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
