"""Pure algorithms on arrays and tensors: no registry, no network, readable alone."""
