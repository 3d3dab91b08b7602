"""Room 3: what changes the weights, and what uses them. No file is touched here.

optimizers/ schedules clip   one step, and how long it is
data                         token ids -> windows -> batches, a pure function of seed and step
parallel ranks               one batch over several threads and several processes, one summed gradient
evaluate sampling generate   the same forward, to measure and to write
speculate                    writing with a small model that guesses ahead
dialogue conversation        learning from conversations, and talking
measure harness              perplexities and tasks; the same for lm-eval
baby                         config, tokenizer and weights in one hand
lora                         adapters: finetuning without touching the base
train                        the loop: yields events
checkpoint                   a run's state as arrays and numbers, and back
"""
