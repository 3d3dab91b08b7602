"""Package 2: the GPT, forward and backward. Add a variant by adding a file; change gpt only to change every model.

context      what a layer may use in a call besides weights and input, and what it may report
attentions/ networks/ norms/ positions/     one file per variant: the folder is the registry, the file name is the config value
gpt          embedding, blocks, head, loss
"""
