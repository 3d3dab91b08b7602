"""Optimizers: one file each, named as in `c_optimizer`; a new file here is a new choice. `state(spec, dtype)` returns the state at the
start (flat arrays and integers, so that a checkpoint can hold them); `step(flat, grad, state, spec, cfg, lr, workers)` updates the
weights in place. Weight decay, and the division of the flat vector among the workers, are in training/flat.py."""
