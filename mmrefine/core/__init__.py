"""Pure algorithms on arrays and tensors, without registries and networks."""
