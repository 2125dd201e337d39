"""Model wrapper for test-time refinement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from mmrefine.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class RefineWrapper(nn.Module):
    """Model wrapper that refines the predictions of one batch.

    It removes itself before the model predicts, so that it never stays around the model, even after an error in the
    model, in refinement or in evaluation. mmengine unwraps registered wrappers when it saves checkpoints, and the
    refiner is not a submodule.

    Args:
        module: a model, or another wrapper around it.
        refine: refines predictions, given them and their batch.
        restore: puts the module back in place of this wrapper.
    """

    def __init__(self, module: nn.Module, refine: Callable[[list, Any], list], restore: Callable[[nn.Module], None]):
        super().__init__()
        self.module = module
        self._refine, self._restore = refine, restore

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Forward pass of the module, without refinement."""
        return self.module(*args, **kwargs)

    def val_step(self, data: Any) -> list:
        self._restore(self.module)
        return self._refine(self.module.val_step(data), data)

    def test_step(self, data: Any) -> list:
        self._restore(self.module)
        return self._refine(self.module.test_step(data), data)
