"""Room 2: the GPT, forward and backward. Add a variant by adding a file; touch gpt only to change what every model is.

context      what a layer may know about this call, and what it may say
attentions/ networks/ norms/ positions/     one file per variant: the folder is the registry, the file name is the config value
gpt          embed, blocks, head, loss
"""
