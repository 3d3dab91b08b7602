"""Optimizers: one file each, named as in `c_optimizer`; a new file here is a new choice. `state(spec, dtype)` makes what an
optimizer remembers (flat arrays and whole numbers, so that a checkpoint can hold it); `step(flat, grad, state, spec, cfg, lr,
workers)` changes the weights in place. Which leaves shrink, and how the flat vector is walked, is in training/flat.py."""
