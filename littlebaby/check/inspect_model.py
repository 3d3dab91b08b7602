"""What happens inside a model while it processes one text: everything that the microscope shows, as numbers.

    forward     one pass with a recorder in its Context: gpt records the output of every block, the layers record their queries, keys and
                decisions; the attention weights are computed from the queries and keys
    mixing      how much each token's output changes with each token's input in an attention, |dy_t / dx_j|, measured through its backward;
                defined also for attentions without attention weights
    layers      the predictions of every layer: the final norm and the head, applied to the output of every block (nostalgebraist 2020)
    gradients   the gradients of the mean loss on the text
    memory      the bytes of the arrays that the closures of each block's backward retain; weights are not counted
"""
from collections.abc import Collection
from dataclasses import dataclass
from types import CellType, FunctionType
from typing import Any

import numpy as np

from ..arrays import linear, softmax, tree
from ..arrays.backend import to_numpy, xp
from ..arrays.ops import distance
from ..errors import BadInput
from ..inference.baby import Baby
from ..model import gpt
from ..model.context import Context
from .variant_measures import influence_shares

MAX_TOKENS = 256     # at most so many tokens are inspected, because larger pictures are not legible
CANDIDATES = 5       # most probable next tokens of every layer
PROBES = 4           # random directions in which a layer's mixing is measured
PARTS = dict(attentions="attention", networks="network", norms="norms")          # folder of model/ -> part of a block
EMPTY = CellType()


@dataclass(frozen=True)
class Inspection:
    """L layers, T tokens, of which the first begins the document, V vocabulary, E experts"""
    name: str
    config: Any
    tokens: list[str]        # (T) texts
    token_count: int         # tokens of the whole text, T of which are inspected
    ids: np.ndarray          # (T)
    loss: float              # nats per token, the mean of `losses`
    losses: np.ndarray       # (T - 1) nats: of tokens 1 to T - 1
    top_ids: np.ndarray      # (L + 1, T, 5): the most probable next tokens, after the embedding and after each block
    probabilities: np.ndarray        # (L + 1, T, 5): of `top_ids`
    target_probabilities: np.ndarray # (L + 1, T - 1): of the actual next token
    attention: dict          # {layer: (h, T, T)}: attention weights, of layers that have them
    mixing: np.ndarray       # (L, T, T): which token's input changes which token's output in each attention, rows sum to 1
    chosen_heads: dict       # {layer: (1, T)}: the head whose output each token uses, of swh
    chosen_experts: dict     # {layer: (T, k)}: of moe
    expert_loads: dict       # {layer: (E)}: how many tokens each expert received
    weights: dict            # {name: array}
    gradients: dict          # {name: array}
    memory: list[dict]       # of each layer {"norms", "attention", "network": bytes}
    decode: Any              # ids -> their texts


def inspect_model(baby: Baby, text: str, name: str = "") -> Inspection:
    """Inspect a model on the token that begins a document, followed by `text`: at most the first MAX_TOKENS or n_ctx tokens.

    BadInput: the model has no tokenizer, or its tokenizer knows no token of the text
    """
    cfg, tokenizer = baby.config, baby.require_tokenizer()
    ids = np.concatenate([tokenizer.encode(tokenizer.begin), tokenizer.encode(text)])
    token_count, ids = len(ids), ids[:min(MAX_TOKENS, cfg.n_ctx)]
    if len(ids) < 2:
        raise BadInput(f"the model's tokenizer knows no token of the text {text!r:.60}; give a text with at least one known token")
    recorded: dict = {}
    ctx = Context(cfg, counted=xp.ones((1, len(ids)), bool), recorder=recorded)
    gpt.forward(baby.p, baby.checked_ids(ids), ctx)
    streams = [recorded[0, "embedding"], *(recorded[i, "block"] for i in range(cfg.n_layers))]
    by_layer = lambda name: {i: value for (i, recorded_name), value in recorded.items() if recorded_name == name}

    layers = []
    for x in streams:
        probabilities = to_numpy(softmax(logits_after(baby, x)[0])[0])           # (T, V)
        best = np.argsort(-probabilities, -1, kind="stable")[:, :CANDIDATES]
        layers.append((best, np.take_along_axis(probabilities, best, -1), probabilities[np.arange(len(ids) - 1), ids[1:]]))
    top_ids, top, target = (np.stack(each) for each in zip(*layers))             # (L + 1, T, 5) twice, (L + 1, T - 1)

    rng = np.random.default_rng(0)
    loss, grads = baby.loss_and_grads(ids[:-1], ids[1:])
    return Inspection(
        name, cfg, [tokenizer.decode([i]) for i in ids], token_count, ids, loss, -np.log(np.maximum(target[-1], 1e-30)), top_ids, top,
        target, {i: to_numpy(attention_weights(ctx, *scores))[0] for i, scores in by_layer("scores").items()},
        np.stack([mixing(baby, i, x, rng) for i, x in enumerate(streams[:-1])]),
        {i: to_numpy(head) for i, head in by_layer("head").items()}, {i: to_numpy(chosen) for i, chosen in by_layer("chosen").items()},
        {i: to_numpy(load) for (i, each), (_, load) in ctx.stats.items() if each == "load"},
        {n: to_numpy(w) for n, w in baby.weights().items() if n in grads}, grads, retained_memory(baby, streams[0]),
        lambda ids: [tokenizer.decode([i]) for i in ids])


# attention

def attention_weights(ctx: Context, q, k, scale, window):
    """softmax(scale q k') over the keys in each query's window: q (B, h, T, d), k (B, n, S, d) -> (B, h, T, S); window None: all so far"""
    (B, h, T, _), (n, S), slopes = q.shape, k.shape[1:3], ctx.slopes(q)
    s = (q * scale).reshape(B, n, h // n, T, -1) @ k[:, :, None].swapaxes(-1, -2)        # (B, n, h/n, T, S)
    distances = distance(S - T, S, S)                            # (T, S)
    if slopes is not None:
        s = s - slopes.reshape(n, h // n, 1, 1) * distances.astype(s.dtype)
    s[..., (distances < 0) | (distances >= (window or S))] = -xp.inf
    return softmax(s)[0].reshape(B, h, T, S)


def mixing(baby: Baby, i: int, x, rng: np.random.Generator) -> np.ndarray:
    """(T, T): which token's input changes which token's output in the attention of block i, whose input is x (1, T, D); rows sum to 1"""
    attention, norm, _ = gpt.parts(baby.config)
    block, ctx = baby.p.blocks[i], Context(baby.config, layer_index=i)
    if baby.config.c_sequence == "pre":
        x, _ = norm.forward(block.norm1, x, ctx)
    spec = attention.params(baby.config)
    sink = tree.views(spec, xp.zeros(tree.size(spec, train=True), x.dtype))

    def forward(x):
        y, backward = attention.forward(block.att, xp.asarray(x), ctx)
        return to_numpy(y), lambda dy: to_numpy(backward(xp.asarray(dy), sink))

    return influence_shares(forward, to_numpy(x), rng, PROBES, batch=max(1, 2 ** 21 // x[0].size))


def mean_distances(a: np.ndarray) -> np.ndarray:
    """(h): the mean distance in tokens from a query to its keys, weighted by the attention weights a (h, T, T)"""
    T = a.shape[-1]
    distances = np.maximum(np.arange(T)[:, None] - np.arange(T), 0)
    return (a * distances).sum(-1).mean(-1)


# layers

def logits_after(baby: Baby, x):
    """The logits (B, T, V) if x (B, T, D) were the output of the last block"""
    _, norm, _ = gpt.parts(baby.config)
    p = baby.p
    if "norm" in p:
        x, _ = norm.forward(p.norm, x, Context(baby.config))
    return linear(x, gpt.unembedding(p), p.head.get("b"))[0]


def root_mean_squares(arrays: dict, layer: int) -> dict[str, float]:
    """{leaf: root mean square of its entries} in one layer, from {name: array} of a model; all experts of a layer count as one leaf"""
    sums: dict = {}
    for name, a in arrays.items():
        parts = name.split(".")
        if parts[:2] == ["blocks", str(layer)]:
            leaf = ".".join("*" if part.isdigit() else part for part in parts[2:])
            total, n = sums.get(leaf, (0.0, 0))
            sums[leaf] = total + float((a.astype(float) ** 2).sum()), n + a.size
    return {leaf: (total / n) ** 0.5 for leaf, (total, n) in sums.items()}


# memory

def retained_memory(baby: Baby, x) -> list[dict[str, int]]:
    """[{"attention", "network", "norms": bytes}, ...]: the arrays that each block's backward retains in training, where x (B, T, D) is the
    input of the first block"""
    ctx, out, backwards = Context(baby.config, xp.random.default_rng(0)), [], []
    counted = set(retained_arrays([baby.flat, x]))
    for i, block in enumerate(baby.p.blocks):
        y, backward = gpt.block(block, x, ctx.layer(i))
        counted |= set(retained_arrays([x, y]))
        found, sizes = retained_arrays(backward, counted), dict.fromkeys(PARTS.values(), 0)
        for part, size in found.values():
            sizes[part] += size
        counted |= set(found)
        backwards.append(backward)                               # keeps its arrays, so that no later array gets one of their addresses
        out.append(sizes)
        x = y
    return out


def retained_arrays(root: Any, counted: Collection[int] = ()) -> dict[int, tuple[str, int]]:
    """{address: (part, bytes)} of every array that a function's closure, or a list, keeps alive, without those in `counted`.

    A view counts as the array that it belongs to. part: attention, network or norms, for the first file of model/ whose function holds
    the array; "" outside of them.
    """
    found, visited = dict[int, tuple[str, int]](), set[int]()

    def visit(node: Any, part: str) -> None:
        if id(node) in visited:
            return
        visited.add(id(node))
        if isinstance(node, FunctionType):
            folder = node.__module__.partition(".model.")[2].partition(".")[0]
            for cell in node.__closure__ or ():
                if cell != EMPTY:
                    visit(cell.cell_contents, part or PARTS.get(folder, ""))
        elif isinstance(node, list | tuple):
            for each in node:
                visit(each, part)
        elif isinstance(node, xp.ndarray):
            while isinstance(node.base, xp.ndarray):
                node = node.base
            if id(node) not in counted:
                found.setdefault(id(node), (part, node.nbytes))

    visit(root, "")
    return found
