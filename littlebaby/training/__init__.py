"""Room 4: what changes the weights. No file is touched here: `loop` yields events, and its caller writes.

optimizers/ schedules clip flat    one step over the flat vector, and how long it is
data chat_data                     token ids or conversations -> windows -> batches, a pure function of seed and step
parallel mpi                       one batch over several threads and several processes, one summed gradient
evaluate                           the mean loss of held-out windows
lora loop checkpoint               adapters; the training loop; a run's state as arrays and numbers, and back
"""
