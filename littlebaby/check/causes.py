"""Why a model predicts what it predicts, as numbers: what every part adds to a logit, and what every head does.

    attribution     a logit is a sum over the parts of the model, if the scale of every norm is kept as it is in the run: the direct
                    contribution of a part is its output times the unembedding (Elhage et al. 2021, A Mathematical Framework for
                    Transformer Circuits)
    head scores     measured on random tokens that are repeated once, where only the repetition can be predicted: how much a head attends
                    to the token before, and to the token that followed the same token earlier (an induction head: Olsson et al. 2022,
                    arXiv:2209.11895), and whether its values raise the logits of the tokens that it attends to (copying)

`find_causes` joins these with the interventions for one text and two possible next tokens. L layers, h heads, T tokens, D n_emb,
V vocabulary; d is the width of a head.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import full_matrix, softmax
from ..arrays.backend import to_numpy, xp
from ..errors import BadInput
from ..inference.baby import Baby
from ..model import gpt
from ..model.context import Context
from ..text.overlap import Passage
from .inspect_model import attention_weights
from .interventions import Ablation, Patching, Steps, ablate, ablation_values, head_channels, logit_difference, patch_everywhere, run

REPEATED, ROWS = (8, 16, 24, 32), 2  # lengths of the random sequences that are repeated, and the number of sequences of each length
NO_SCORES = "{} has no attention weights"
NO_VALUES = "no single matrix computes the values of {}"
PRODUCTS = ("gla",)                  # attentions in which the values are multiplied by the keys


@dataclass(frozen=True)
class Attribution:
    """The parts of one logit, or of a logit difference, after the last token; all terms together are `total`, the number itself"""
    total: float
    embedding: float             # the embedding of the last token, and of its position
    heads: np.ndarray            # (L, h)
    networks: np.ndarray         # (L,)
    attention_biases: np.ndarray # (L,): the biases of the attentions' output projections
    norm_offsets: np.ndarray     # (norms on the residual stream,): what the norms add themselves, 0 for rmsnorm
    head_bias: float             # the bias of the head (the unembedding)


@dataclass(frozen=True)
class HeadScores:
    """How heads behave on a repeated random sequence. A score is (L, h), from 0 to 1, NaN for heads without it; None: see `reasons`"""
    previous: np.ndarray | None  # mean attention weight on the token before
    induction: np.ndarray | None # mean attention weight on the token that followed the current token when it occurred before
    copying: np.ndarray | None   # fraction of the vocabulary whose own logit a head raises more than the mean logit, attending to the token
    reasons: dict[str, str]      # {score: why it is None}


@dataclass(frozen=True)
class Causes:
    """Why a model gives one next token a higher logit than another one; L layers, h heads, T tokens"""
    name: str                    # of the run
    config: Any
    tokens: list[str]            # (T) texts of the tokens; the first begins the document
    corrupted: list[str] | None  # (T) of the corrupted text
    answer: str                  # text of the token that is explained
    wrong: str                   # of the token that it is compared with
    probabilities: tuple[float, float]           # of the two after the text
    corrupted_probabilities: tuple[float, float] | None          # of the two after the corrupted text
    ablation: Ablation           # what changes without each part
    attribution: Attribution     # of the logit difference, answer minus wrong
    patching: Patching | None    # what restores the prediction in the corrupted text; None without one
    scores: HeadScores
    attended: np.ndarray | None  # (L, h, T): attention weights of the last token, NaN for heads without them; None: no head has them
    reference: str               # what the values of ablation come from, in words
    passages: list[Passage] | None               # the longest passages of the text and the answer that the training text contains
    no_passages: str             # why they are None


# direct logit attribution

def attribute(baby: Baby, ids: Any, answer: int, wrong: int | None = None) -> Attribution:
    """The direct contribution of every part to the logit of `answer` after ids (1, T), or to that logit minus the one of `wrong`"""
    cfg, p = baby.config, baby.p
    _, norm, _ = gpt.parts(cfg)
    logits, values = run(baby, ids)
    post = cfg.c_sequence == "post"
    last = lambda i, name: values[i, name][0, -1]                # (width)
    terms: dict[tuple, Any] = {("embedding",): last(0, "embedding")}         # {part: its vector on the residual stream (D)}

    def through_norm(weights: Any, place: tuple) -> None:
        scaled, offset = frozen_norm(cfg, weights, sum(terms.values()))
        terms.update({part: scaled(x) for part, x in terms.items()} | {("norm", *place): offset})

    for i, block in enumerate(p.blocks):
        wo, _ = full_matrix(block.att.wo)                        # (H, D)
        for j in range(cfg.n_heads):
            channels = head_channels(cfg, len(wo), j)
            terms["heads", i, j] = last(i, "heads")[channels] @ wo[channels]
        if "bo" in block.att:
            terms["bias", i] = block.att.bo
        if post:
            through_norm(block.norm1, (i, 1))
        terms["networks", i] = last(i, "network")
        if post:
            through_norm(block.norm2, (i, 2))
    if "norm" in p:
        through_norm(p.norm, (cfg.n_layers,))

    columns = gpt.unembedding(p).T                               # (V, D)
    direction = columns[answer] if wrong is None else columns[answer] - columns[wrong]
    b, total = p.head.get("b"), logits[0, -1, answer] if wrong is None else logit_difference(logits, answer, wrong)
    bias = 0 if b is None else b[answer] if wrong is None else b[answer] - b[wrong]
    found = {part: float(x @ direction) for part, x in terms.items()}
    layers, heads = range(cfg.n_layers), range(cfg.n_heads)
    return Attribution(float(total), found["embedding",], np.array([[found["heads", i, j] for j in heads] for i in layers]),
                       np.array([found["networks", i] for i in layers]), np.array([found.get(("bias", i), 0.0) for i in layers]),
                       np.array([x for part, x in found.items() if part[0] == "norm"]), float(bias))


def frozen_norm(cfg: Any, weights: Any, x: Any) -> tuple[Any, Any]:
    """A norm at x (D) as a linear function with the scale of x: (function from a part of x (D) to its part of the output (D), offset (D))

    BadInput: the norm is neither layernorm nor rmsnorm.
    """
    if cfg.c_norm not in ("layernorm", "rmsnorm"):
        raise BadInput(f"c_norm is {cfg.c_norm!r}; the contributions to a logit are known for layernorm, rmsnorm")
    centred = (lambda part: part - part.mean()) if cfg.c_norm == "layernorm" else lambda part: part
    scale = weights.w / xp.sqrt((centred(x) ** 2).mean() + cfg.norm_eps)         # (D)
    return lambda part: centred(part) * scale, weights.get("b", xp.zeros_like(x))


# head scores

def head_scores(baby: Baby, seed: int = 0) -> HeadScores:
    """The scores of every head, on random sequences that are repeated once: of several lengths, so that a head that always attends to
    the same distance has no high induction score"""
    cfg, reasons, rng = baby.config, dict[str, str](), np.random.default_rng(seed)
    found = []
    for n in (min(n, cfg.n_ctx // 2) for n in REPEATED):
        ids = xp.asarray(np.tile(rng.integers(cfg.n_vocab, size=(ROWS, n)), 2))          # (B, 2n)
        weights, t = all_attention_weights(baby, run(baby, ids)[1]), np.arange(2 * n)
        if weights is not None:                                  # (L, B, h, 2n - 1) -> (L, h), and (L, B, h, n) -> (L, h)
            found.append((weights[..., t[1:], t[1:] - 1].mean((1, 3)), weights[..., t[n:], t[n:] - n + 1].mean((1, 3))))
    previous, induction = np.mean(found, 0) if found else (None, None)
    if not found:
        reasons |= dict.fromkeys(("previous", "induction"), NO_SCORES.format(cfg.c_attention))
    copying = copying_scores(baby)
    if copying is None:
        reasons["copying"] = NO_VALUES.format(cfg.c_attention)
    return HeadScores(previous, induction, copying, reasons)


def all_attention_weights(baby: Baby, values: dict) -> np.ndarray | None:
    """The attention weights (L, B, h, T, T) of a recorded run, NaN for the heads of hybrid without them; None if no head has them"""
    cfg, ctx = baby.config, Context(baby.config)
    layers = [to_numpy(attention_weights(ctx, *values[i, "scores"])) for i in range(cfg.n_layers) if (i, "scores") in values]
    if not layers:
        return None
    found = np.stack(layers)                                     # (L, B, heads with weights, T, T)
    missing = cfg.n_heads - found.shape[2]                       # the decay heads of hybrid, which come first
    return np.pad(found, ((0, 0), (0, 0), (missing, 0), (0, 0), (0, 0)), constant_values=np.nan)


def copying_scores(baby: Baby) -> np.ndarray | None:
    """(L, h): the fraction of the vocabulary whose own logit norm(embedding) wv wo unembedding raises more than the mean logit

    It is the path from the embedding of a token through this head alone. None if no single matrix computes the values.
    """
    cfg, p, named = baby.config, baby.p, baby.weights()
    if cfg.c_attention in PRODUCTS or "blocks.0.att.wv" not in named:
        return None
    _, norm, _ = gpt.parts(cfg)
    unembedding = gpt.unembedding(p).T                           # (V, D)
    if "norm" in p:
        unembedding = unembedding * p.norm.w
        if cfg.c_norm == "layernorm":
            unembedding = unembedding - unembedding.mean(-1, keepdims=True)
    mean, scores = unembedding.mean(0), np.zeros((cfg.n_layers, cfg.n_heads))
    for i, block in enumerate(p.blocks):
        x = norm.forward(block.norm1, p.token[None], Context(cfg))[0][0] if cfg.c_sequence == "pre" else p.token         # (V, D)
        v, (wo, _) = x @ named[f"blocks.{i}.att.wv"], full_matrix(block.att.wo)          # (V, n d), (H, D)
        d = len(wo) // cfg.n_heads
        groups = v.shape[1] // d                                 # heads of values, each shared by h / n heads
        for j in range(cfg.n_heads):
            k = j * groups // cfg.n_heads
            out = v[:, k * d:(k + 1) * d] @ wo[j * d:(j + 1) * d]                        # (V, D)
            scores[i, j] = float(((out * unembedding).sum(-1) > out @ mean).mean())
    return scores


# all of it

def find_causes(baby: Baby, name: str, ids: Any, answer: int, wrong: int, corrupted: Any = None, ablation: str = "mean",
                texts: Sequence[Any] = (), reference: str = "", passages: list[Passage] | None = None, no_passages: str = "",
                steps: Steps = iter) -> Causes:
    """Everything above for one text.

    ids, corrupted (1, T): the text and a text with another continuation; answer, wrong: the token ids that are compared after the text.
    texts: [(B, T'), ...] for the values of ablation (resample takes those of the first, which must be (1, T)); the others as in Causes.
    BadInput: as `ablate` and `patch_everywhere`.
    """
    tokenizer = baby.require_tokenizer()
    words = lambda row: [tokenizer.decode([i]) for i in to_numpy(row)[0]]

    def chances(logits: Any) -> tuple[float, float]:
        p = to_numpy(softmax(logits[0, -1:])[0])[0]              # (V)
        return float(p[answer]), float(p[wrong])

    logits, values = run(baby, ids)
    weights = all_attention_weights(baby, values)
    return Causes(
        name, baby.config, words(ids), None if corrupted is None else words(corrupted), tokenizer.decode([answer]),
        tokenizer.decode([wrong]), chances(logits), None if corrupted is None else chances(run(baby, corrupted)[0]),
        ablate(baby, ids, ablation, ablation_values(baby, ablation, texts), answer, wrong, steps),
        attribute(baby, ids, answer, wrong),
        None if corrupted is None else patch_everywhere(baby, ids, corrupted, answer, wrong, steps),
        head_scores(baby), None if weights is None else weights[:, 0, :, -1], reference, passages, no_passages)
