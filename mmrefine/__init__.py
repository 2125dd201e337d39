"""mmrefine: an image and coarse masks go in, pixel-accurate masks with a quality score come out.

Importing the package imports nothing heavy: `refine` and `RefineInferencer` are looked up when first used (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .apis import RefineInferencer, refine

__all__ = ['RefineInferencer', '__version__', 'refine']


def __getattr__(name: str) -> Any:
    if name in ('RefineInferencer', 'refine'):
        from . import apis

        return getattr(apis, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
