"""Package 4: what changes the weights. No file is used here: `loop` yields events, and its caller writes files.

optimizers/ schedules clip flat    one optimizer step on the flat vector of weights, and its learning rate
data chat_data                     token ids or conversations -> windows -> batches, a function of seed and step only
parallel mpi                       one batch on several threads and several processes, with one summed gradient
evaluate                           the mean loss on validation windows
lora loop checkpoint               adapters; the training loop; the state of a run as arrays and numbers, and back
sparse_autoencoder                 the output of a layer as a sum of few directions out of many, with its own small training
"""
