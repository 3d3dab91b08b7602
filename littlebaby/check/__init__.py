"""Room 6: what proves or predicts. Everything here returns numbers; show/ makes tables and pages of them.

laws              the laws of the house, measured on any attention, network, norm or position
mistakes          errors that can be planted in copies of our files, so that the laws have to find them
trace             a layer's forward and backward, line by line, with the values that each line computed
variant_measures  what the pictures of the variants draw: influence, Jacobians, responses, descents
inspect_model     what happens inside a model on one text: attention, predictions by layer, gradients, memory
preflight         what a training will cost: parameters, FLOPs, memory, time
bench             what this machine makes of models of four sizes
"""
