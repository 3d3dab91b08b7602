"""Room 3: what only uses the weights. No file is touched here, and nothing here knows how weights are trained.

baby                    config, tokenizer and weights together: what `lb.load` returns
decoder generate        one token at a time, with a cache; decoder is a faster path for one text on the CPU
sampling speculative    how the next token is chosen; a small model that drafts ahead
chat                    a conversation: which messages the model sees, and its answer
"""
