"""Package 5: the quality of a trained model. New measures go here; nothing here changes weights or writes files.

text_scores    perplexity and bits of a text, log-likelihoods of continuations
tasks          multiple-choice and cloze questions from JSONL, and accuracies on them
finetune_change    losses and weights before and after a finetune
lm_eval        an adapter for EleutherAI's lm-evaluation-harness
"""
