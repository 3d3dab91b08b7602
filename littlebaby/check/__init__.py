"""Package 6: checks, inspection and estimates. Everything here returns numbers; show/ makes tables and pages of them.

laws              checks of any attention, network, norm or position: gradient, decoding, causality, ...
mistakes          mistakes that can be planted in copies of the files, to test that the laws detect them
trace             a layer's forward and backward, line by line, with the values that each line computed
variant_measures  the numbers in the pictures of the variants: influence, Jacobians, responses, losses of a fit
inspect_model     what happens inside a model on one text: attention, predictions by layer, gradients, memory
interventions     ablation and patching: a model runs while values inside it are replaced
causes            why one next token has a higher logit than another: contributions, head scores, effects of all parts
features          the features of a layer: how well they rebuild its outputs, the texts and tokens of each
curves            what the curves of a training mean, in sentences
preflight         estimates for a training: parameters, FLOPs, memory, time
bench             the training speed of models of four sizes on this machine
"""
