"""Registries of mmrefine: children of mmengine's registries with the scope ``mmrefine``.

Configs of other OpenMMLab packages use scoped names such as ``type='mmrefine.SegRefiner'``; the modules in
``locations`` are imported when a name is first looked up.
"""

from __future__ import annotations

from typing import Any

from mmengine import registry as _mmengine
from mmengine.registry import Registry

_SCOPE = 'mmrefine'


class _ScopedRegistry(Registry):
    """Registry that builds in scope ``mmrefine``, whatever the default scope, such as mmdet's in its Runner."""

    def build(self, cfg: dict, *args: Any, **kwargs: Any) -> Any:
        if isinstance(cfg, dict) and '_scope_' not in cfg:
            cfg = {**cfg, '_scope_': _SCOPE}
        return super().build(cfg, *args, **kwargs)


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(_mmengine, name)
    return _ScopedRegistry(
        parent.name, parent=parent, scope=_SCOPE, locations=[f'mmrefine.{name}' for name in locations]
    )


RUNNERS = _child('RUNNERS', 'engine')
LOOPS = _child('LOOPS', 'engine')
OPTIMIZERS = _child('OPTIMIZERS', 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'engine')
LOG_PROCESSORS = _child('LOG_PROCESSORS', 'engine')
VISBACKENDS = _child('VISBACKENDS', 'visualization')
MODELS = _child('MODELS', 'models', 'apis')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'engine')
HOOKS = _child('HOOKS', 'engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'engine')
DATASETS = _child('DATASETS', 'datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'datasets')
TRANSFORMS = _child('TRANSFORMS', 'datasets.transforms')
METRICS = _child('METRICS', 'evaluation')
EVALUATOR = _child('EVALUATOR', 'evaluation')
VISUALIZERS = _child('VISUALIZERS', 'visualization')
