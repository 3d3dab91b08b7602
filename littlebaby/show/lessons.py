"""The lessons of the tour and their exercises. notebooks/tour holds the notebooks, which are not part of an installed package."""
from typing import NamedTuple


class Lesson(NamedTuple):
    number: int
    notebook: str                       # name of the file in notebooks/tour/en, without .ipynb
    title: str
    exercises: tuple[str, ...]          # their titles


LESSONS = [
    Lesson(1, "01_a_model_is_a_guess", "A model is a guess",
           ("The weather", "Bits", "Never say never")),
    Lesson(2, "02_a_layer_and_its_backward", "A layer and its backward",
           ("An activation of your own", "Used twice", "The learning rate")),
    Lesson(3, "03_check_a_gradient", "Check a gradient",
           ("Finite differences", "Which one is right?", "Half a check")),
    Lesson(4, "04_attention_by_hand", "Attention by hand",
           ("The neighbour", "Is it causal?", "Does order matter?")),
    Lesson(5, "05_a_block", "A block",
           ("Count the weights", "The original order", "Which tokens change?")),
    Lesson(6, "06_sampling", "Sampling",
           ("Twice as cold", "The nucleus", "Draw it yourself")),
    Lesson(7, "07_train_a_baby", "Train a baby",
           ("Momentum", "The learning rate schedule", "Is it memorized?")),
    Lesson(8, "08_attentions_zoo", "Attention's zoo",
           ("How far does a window reach?", "The cache of a long conversation", "Your own attention")),
    Lesson(9, "09_experts", "Experts",
           ("The weights of the outputs", "The price of inequality", "Sparse giants")),
    Lesson(10, "10_from_characters_to_bpe", "From characters to BPE",
           ("Bits per character", "Tokenize a word", "Bytes")),
    Lesson(11, "11_make_it_yours", "Make it yours",
           ("The gradient of the adapters", "The size of the adapters", "Only the answer is a target")),
    Lesson(12, "12_cause_and_effect", "Cause and effect",
           ("The score of an induction head", "An attention without one of its heads", "How much was restored?")),
    Lesson(13, "13_grokking", "Grokking",
           ("Shrink the weights", "How strong is a wave?", "Add on a circle")),
    Lesson(14, "14_bits_cache_speculation", "Bits, cache, speculation",
           ("A better scale", "One token with a cache", "Accept or replace")),
    Lesson(15, "15_rewards", "Rewards",
           ("Better than the others", "The gradient at the logits", "How far has it moved?")),
    Lesson(16, "16_preferences", "Preferences",
           ("The margin", "The slope of DPO", "Pairs of a group")),
    Lesson(17, "17_steering_and_features", "Steering and features",
           ("A direction of length 1", "Without a direction", "How much is explained?")),
]
