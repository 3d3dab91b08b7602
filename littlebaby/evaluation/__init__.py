"""Room 5: what a trained model is worth. Add a measure here; nothing here changes weights or writes files.

text_scores    perplexities and bits of a text, log-likelihoods of continuations
tasks          multiple choice and cloze questions from JSONL, and accuracies over them
finetune_change    losses, weights and verbatim copies, before and after a finetune
lm_eval        the same model for EleutherAI's lm-evaluation-harness
"""
