"""Package 5: the quality of a trained model. New measures go here; nothing here changes weights or writes files.

text_scores    perplexity and bits of a text, log-likelihoods of continuations
tasks          multiple-choice and cloze questions from JSONL, and accuracies on them
finetune_change    losses and weights before and after a finetune
search          the choices of settings that a sweep tries
run_statistics  means over seeds, Pareto fronts, how much a setting matters
learning_rates  a learning rate from a training with a growing one
lm_eval        an adapter for EleutherAI's lm-evaluation-harness
"""
