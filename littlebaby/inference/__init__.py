"""Package 3: what uses the weights. No file is used here, and nothing here depends on how weights are trained.

baby                    config, tokenizer and weights together: what `lb.load` returns
decoder generate        one token at a time, with a cache; decoder is a faster forward pass for one text on the CPU
sampling speculative    the choice of the next token; a small model that drafts tokens
steering                a direction added to the output of a layer, so that the model writes more of something
chat                    a conversation: the messages that fit into the context, and the answer
"""
