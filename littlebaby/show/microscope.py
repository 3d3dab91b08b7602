"""A baby under the microscope: what happens inside it while it reads one sentence. Nothing in the model is touched for it.

    attention   a Lens, a context that looks on, meets each head's queries and keys where muonclip would, and makes their weights anew;
                what a whole layer mixes is asked of its backward, |dy_t / dx_j|, and so is known of attentions without weights, too
    lens        the final norm and the head, put on what every block hands on (nostalgebraist 2020)
    gradients   of the sentence's mean loss
    memory      the arrays that the closures of each layer's backward hold on to, the weights not counted
"""
from dataclasses import dataclass, field
from html import escape
from types import CellType, FunctionType
from typing import Any

import numpy as np

from ..arrays import embedding, linear, softmax, tree
from ..arrays.backend import to_numpy, xp
from ..arrays.ops import distance
from ..errors import BadInput
from ..model import gpt
from ..model.context import Context
from . import html
from .charts import GRAY, INK, PALE, TRAIN, VALID, plainly
from .formatting import align_columns, align_pairs, format_bytes
from .html import bar, html_table, picture, section, shaded, tint, visible
from .variant_pictures import acted, squares

MOST = 256           # tokens that are looked at: a picture holds no more
CANDIDATES = 5
PROBES = 4           # random directions in which a layer's mixing is asked
WIDTH = 100          # characters of the last layer's guesses in a line
EMPTY = CellType()
BINS = np.linspace(-4, 4, 81)


@dataclass(frozen=True)
class Lens(Context):
    """A context that keeps what layers show: {(layer, name): array}; "weights" (B, h, T, T) wherever heads have any"""
    seen: dict = field(default_factory=dict)

    def record_scores(self, q, k, scale, window=None):
        self.seen[self.layer_index, "weights"] = weights(q, k, scale, window, self.slopes(q))

    def freeze_decision(self, name, value):
        self.seen[self.layer_index, name] = value
        return value


def weights(q, k, scale, window=None, slopes=None):
    """softmax(scale q k'), the future and what lies before the window masked: q (B, h, T, d), k (B, n, S, d) -> (B, h, T, S)"""
    (B, h, T, _), (n, S) = q.shape, k.shape[1:3]
    s = (q * scale).reshape(B, n, h // n, T, -1) @ k[:, :, None].swapaxes(-1, -2)        # (B, n, h/n, T, S)
    far = distance(S - T, S, S)
    if slopes is not None:
        s = s - slopes.reshape(n, h // n, 1, 1) * far.astype(s.dtype)
    s[..., (far < 0) | (far >= (window or S))] = -xp.inf
    return softmax(s)[0].reshape(B, h, T, S)


# the forward, one block after the other

def streams(baby, ids, lens):
    """What enters the first block and what each block hands on: L + 1 arrays (B, T, D)"""
    _, _, position = gpt.parts(baby.config)
    x, _ = embedding(ids, baby.p.token)
    x, _ = position.forward(baby.p.position, x, lens)
    yield x
    for i, block in enumerate(baby.p.blocks):
        x, _ = gpt.block(block, x, lens.layer(i))
        yield x


def guesses(baby, x, lens):
    """The logits (B, T, V) if x (B, T, D) were the last block's"""
    _, norm, _ = gpt.parts(baby.config)
    p = baby.p
    if "norm" in p:
        x, _ = norm.forward(p.norm, x, lens)
    return linear(x, p.head.w if "w" in p.head else p.token.T, p.head.get("b"))[0]


def mixed(baby, i, x, rng):
    """(T, T): which token's x moves which token's y in the attention of block i, as shares"""
    attention, norm, _ = gpt.parts(baby.config)
    block, ctx = baby.p.blocks[i], Context(baby.config, layer_index=i)
    if baby.config.c_sequence == "pre":
        x, _ = norm.forward(block.norm1, x, ctx)
    spec = attention.params(baby.config)
    sink = tree.views(spec, xp.zeros(tree.size(spec, train=True), x.dtype))

    def forward(x):
        y, backward = attention.forward(block.att, xp.asarray(x), ctx)
        return to_numpy(y), lambda dy: to_numpy(backward(xp.asarray(dy), sink))

    return acted(forward, to_numpy(x), rng, PROBES, block=max(1, 2 ** 21 // x[0].size))


# what a backward keeps

def kept(backward, seen=()):
    """Bytes of the arrays that a backward's closures hold, each counted once; `seen`: addresses that do not count. (bytes, addresses)"""
    found: dict = {}
    walk(backward, found, set())
    new = {at: n for at, n in found.items() if at not in seen}
    return sum(new.values()), set(seen) | set(new)


def closure_values(function):
    """{name: value} of what a closure holds; a name that was never bound is left out"""
    pairs = zip(function.__code__.co_freevars, function.__closure__ or ())
    return {name: cell.cell_contents for name, cell in pairs if cell != EMPTY}


def walk(node, found, passed):
    if id(node) in passed:
        return
    passed.add(id(node))
    if isinstance(node, FunctionType):
        for value in closure_values(node).values():
            walk(value, found, passed)
    elif isinstance(node, list | tuple):
        for value in node:
            walk(value, found, passed)
    elif isinstance(node, xp.ndarray):
        while isinstance(node.base, xp.ndarray):
            node = node.base
        found[id(node)] = node.nbytes


def memory(baby, x):
    """[{"norms", "attention", "network": bytes}, ...]: what each block's backward keeps of a stream x (B, T, D) in training"""
    ctx, out, alive = Context(baby.config, xp.random.default_rng(0)), [], []
    _, own = kept([baby.flat, x])
    for i, block in enumerate(baby.p.blocks):
        y, backward = gpt.block(block, x, ctx.layer(i))
        _, own = kept([x, y], own)
        parts = dict(norms=0, attention=0, network=0)
        for step, name in (("back_att", "attention"), ("back_net", "network")):
            inside = closure_values(closure_values(backward)[step])
            for part, back in ((name, inside["back_f"]), ("norms", inside["back_n"])):
                n, own = kept(back, own)
                parts[part] += n
        alive.append(backward)                                   # an array that went could leave its address to another
        out.append(parts)
        x = y
    return out


# all together

def examine(baby, text, name=""):
    """A Microscope over the first MOST tokens, or as many as the model sees at once, of what begins a document and `text`"""
    cfg, tokenizer = baby.config, baby.require_tokenizer()
    ids = np.concatenate([tokenizer.encode(tokenizer.begin), tokenizer.encode(text)])
    whole, ids = len(ids), ids[:min(MOST, cfg.n_ctx)]
    if len(ids) < 2:
        raise BadInput(f"nothing of the text {text!r:.60} is known to this model's tokenizer; give a text of one token or more")
    lens = Lens(cfg, counted=xp.ones((1, len(ids)), bool))
    at = baby.checked_ids(ids)
    rng, flow = np.random.default_rng(0), list(streams(baby, at, lens))

    chances, layers = None, []
    for x in flow:
        chances = to_numpy(softmax(guesses(baby, x, lens)[0])[0])                # (T, V)
        best = np.argsort(-chances, -1, kind="stable")[:, :CANDIDATES]
        layers.append((best, np.take_along_axis(chances, best, -1), chances[np.arange(len(ids) - 1), ids[1:]]))
    top, odds, true = (np.stack(each) for each in zip(*layers))                  # (L + 1, T, 5), the same, (L + 1, T - 1)

    loss, grads = baby.loss_and_grads(ids[:-1], ids[1:])
    seen = {key: to_numpy(value) for key, value in lens.seen.items()}
    loads = {i: to_numpy(value) for (i, name), (_, value) in lens.stats.items() if name == "load"}
    of = lambda name: {i: value for (i, each), value in seen.items() if each == name}
    return Microscope(
        name, cfg, [tokenizer.decode([i]) for i in ids], whole, ids, loss, -np.log(np.maximum(true[-1], 1e-30)), top, odds, true,
        {i: a[0] for i, a in of("weights").items()}, np.stack([mixed(baby, i, x, rng) for i, x in enumerate(flow[:-1])]),
        of("head"), {i: chosen for i, chosen in of("chosen").items()}, loads,
        {n: to_numpy(w) for n, w in baby.weights().items() if n in grads}, grads, memory(baby, flow[0]),
        lambda ids: [visible(tokenizer.decode([i])) for i in ids])


@dataclass(frozen=True)
class Microscope:
    """What was seen. L layers, T tokens, the first of which begins the document; shows itself in a notebook, `save(path)` writes a page."""
    name: str
    config: Any
    tokens: list             # (T) texts
    whole: int               # tokens that there were
    ids: np.ndarray          # (T)
    loss: float              # the mean of losses
    losses: np.ndarray       # (T - 1) nats: of the token after each
    top: np.ndarray          # (L + 1, T, 5): the likeliest next tokens after the embedding and after each block
    odds: np.ndarray         # (L + 1, T, 5): their chances
    true: np.ndarray         # (L + 1, T - 1): the chance of the token that came
    attention: dict          # {layer: (h, T, T)}: who looks at whom, where heads have weights
    mixing: np.ndarray       # (L, T, T): who acts on whom in each layer's attention, rows sum to 1
    speaks: dict             # {layer: (1, T)}: the head that answers, of swh
    chosen: dict             # {layer: (T, k)}: the experts asked, of moe
    loads: dict              # {layer: (E)}: how often each was asked
    weights: dict            # {name: array}
    gradients: dict          # {name: array}
    memory: list             # of each layer {"norms", "attention", "network": bytes}
    spell: Any               # ids -> visible tokens

    def _repr_html_(self):
        return html.html_fragment(body(self))

    def save(self, path):
        """Write the page; returns its path"""
        return html.save(path, f"microscope {self.name[:8]}", body(self))

    def __str__(self):
        return summary(self)


def rms(arrays, layer):
    """{leaf: the root of its mean square} in one layer, experts together"""
    sums: dict = {}
    for name, a in arrays.items():
        parts = name.split(".")
        if parts[:2] == ["blocks", str(layer)]:
            leaf = ".".join("*" if part.isdigit() else part for part in parts[2:])
            total, n = sums.get(leaf, (0.0, 0))
            sums[leaf] = total + float((a.astype(float) ** 2).sum()), n + a.size
    return {leaf: (total / n) ** 0.5 for leaf, (total, n) in sums.items()}


def distances(a):
    """How many tokens back each head of (h, T, T) looks in the mean, a token for a token"""
    T = a.shape[-1]
    back = np.maximum(np.arange(T)[:, None] - np.arange(T), 0)
    return (a * back).sum(-1).mean(-1)


# in words

def summary(m):
    L, h = len(m.mixing), m.config.n_heads
    hard = np.argsort(-m.losses)[:3]
    seen = [visible(token) for token in m.tokens]
    worst = ", ".join(f"{seen[i + 1]} after {''.join(seen[max(0, i - 7):i + 1])} ({m.losses[i]:.2f})" for i in hard)
    lines = [("sentence", "".join(seen)),
             ("loss", f"{m.loss:.4f} nats per token over {len(m.losses)}; uniform guessing gives {np.log(m.config.n_vocab):.2f}"),
             ("hardest", worst),
             ("next", "  ".join(f"{word} {p:.0%}" for word, p in zip(m.spell(m.top[-1, -1]), m.odds[-1, -1])))]
    rows = [("layer", "next", "chance", "probability of the next token", "tokens back", "kept for backward")]
    names = ["embedding", *map(str, range(1, L + 1))]
    for i, name in enumerate(names):
        back = "-" if not i else f"{distances(m.attention.get(i - 1, m.mixing[i - 1][None])).mean():.1f}"
        rows.append((name, m.spell(m.top[i, -1, :1])[0], f"{m.odds[i, -1, 0]:.0%}", f"{m.true[i].mean():.0%}", back,
                     "-" if not i else format_bytes(sum(m.memory[i - 1].values()))))
    what = f"{h} heads with weights" if m.attention else "no weights: measured through the backward"
    return f"{m.name}\n\n{align_pairs(lines)}\n\n{align_columns(rows)}\n\n{m.config.c_attention}: {what}"


# as a page

def body(m):
    cfg = m.config
    cut = f", the first {len(m.ids)} of {m.whole} tokens" if m.whole > len(m.ids) else ""
    parts = [html.head("Under the microscope", f"{m.name}: {cfg.c_attention} + {cfg.c_network}, {cfg.n_layers} layers of {cfg.n_emb}, "
                       f"reads {len(m.ids)} tokens{cut}"),
             colored_sentence(m), by_layer(m), attention_section(m)]
    if m.chosen:
        parts.append(experts(m))
    return "".join([*parts, weights_section(m), memory_section(m)])


def colored_sentence(m):
    """The sentence, token by token as surprising as it was"""
    blind = np.log(m.config.n_vocab)
    guess = ["", *(m.spell(m.top[-1, :, :1].reshape(-1))[:-1])]
    notes = ["begins the document"] + [f"{visible(token)}: {loss:.2f} nats, chance {np.exp(-loss):.1%}; likeliest was {said}"
                                       for token, loss, said in zip(m.tokens[1:], m.losses, guess[1:])]
    words = [shown(m.tokens[0], True)] + [shown(token) for token in m.tokens[1:]]
    step = lambda share: f'<span style="background: {tint(share, VALID)}; padding: 1px 9px; color: {INK}">{share * blind:.1f}</span>'
    scale = "".join(step(i / 4) for i in range(5))
    return section("How surprising each token is",
                   f"Mean loss {m.loss:.3f} nats per token, as good as choosing among {np.exp(m.loss):.1f} tokens.",
                   shaded(words, [0, *m.losses / blind], VALID, notes),
                   f'<p class="pale">white: certain &#160; {scale} nats &#160; darkest: as uniform guessing, '
                   f"ln {m.config.n_vocab}</p>")


def shown(token, first=False):
    """A token in running text: line ends are seen and break the line"""
    return visible(token) if first or token != "\n" else "⏎\n"


def by_layer(m):
    """The next token predicted from every layer"""
    L = len(m.mixing)
    names = ["embedding", *(f"block {i + 1}" for i in range(L))]
    cell = lambda word, p: f'<span class="mono" style="background: {tint(p)}; padding: 1px 6px">{escape(word)}</span> {p:.0%}'
    rows = [["after", *(f"{place}." for place in range(1, m.top.shape[-1] + 1)), "probability of the next token, mean"]]
    for i in reversed(range(L + 1)):
        rows.append([names[i], *(cell(word, p) for word, p in zip(m.spell(m.top[i, -1]), m.odds[i, -1])),
                     bar(m.true[i].mean(), most=90) + f" {m.true[i].mean():.0%}"])
    return section("Next-token predictions, layer by layer",
                   "The final norm and the head applied to each block's output: the five likeliest tokens after the sentence's last one.",
                   html_table(rows),
                   '<p class="pale">And after every token: the likeliest next one by layer, darker for higher probability, bold where '
                   "it is right; the lowest line is the sentence as it is.</p>", guess_strips(m, names))


def guess_strips(m, names):
    """Each layer's guess above the token that came, in lines of WIDTH characters"""
    T, out, first = len(m.ids), [], 1
    words = [m.spell(m.top[i, :, 0]) for i in range(len(names))]
    came = [visible(token) for token in m.tokens]
    widest = [max(len(came[t]), *(len(each[t - 1]) for each in words)) for t in range(1, T)]
    while first < T:
        last = first
        while last < T and sum(widest[first - 1:last]) + (last - first) <= WIDTH + 18:
            last += 1
        last = max(last, first + 1)
        cell = lambda word, p, style="": (f'<td style="padding: 0 3px; text-align: center; background: {tint(p)}; {style}">'
                                          f"{escape(word)}</td>")
        head = lambda name: f'<th style="text-align: right; padding: 0 8px 0 0">{name}</th>'
        right = lambda i, t: "font-weight: 700" if m.top[i, t - 1, 0] == m.ids[t] else ""
        rows = [head(names[i]) + "".join(cell(words[i][t - 1], m.odds[i, t - 1, 0], right(i, t)) for t in range(first, last))
                for i in reversed(range(len(names)))]
        rows.append(head("came") + "".join(cell(came[t], 0, f"font-weight: 600; border-top: 1px solid {GRAY}") for t in range(first, last)))
        out.append('<table class="mono" style="font-size: 11.5px">' + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>")
        first = last
    return f'<div class="wide">{"".join(out)}</div>'


def attention_section(m):
    """Who looks at whom, in pictures, and where the last token looks, in words"""
    h = m.config.n_heads
    if m.attention:
        about = ("Every square is a head: a row for the token that looks, a column for the one that is looked at, darker for more; each "
                 "row sums to 1. Beneath each, how many tokens back it looks in the mean. On the right what the layer as a whole lets "
                 "act on what, measured through its backward.")
    else:
        about = (f"{m.config.c_attention} has no weights to show. What it mixes is measured through its backward: how much each token's y "
                 f"moves with each token's x, as a share; a row for the token that reads, darker for more.")
    rows, T = [], len(m.ids)
    last = slice(max(0, T - WIDTH), T)
    for i in range(len(m.mixing)):
        heads = m.attention.get(i, m.mixing[i][None])
        for j, a in enumerate(heads):
            name = f"block {i + 1}, head {h - len(heads) + j + 1}" if i in m.attention else f"block {i + 1}"
            row = a[-1, last] / a[-1].max()
            rows.append(f'<tr><th>{name}</th><td>{shaded([visible(t) for t in m.tokens[last]], np.sqrt(row), small=True)}</td></tr>')
    last_looks = f'<p class="pale">Where the last token looks:</p><div class="wide"><table>{"".join(rows)}</table></div>'
    return section("Who looks at whom", about, picture(maps(m), "attention of every layer and head"), last_looks, speakers(m))


def maps(m):
    """The squares of all heads, a line for each layer"""
    from matplotlib.figure import Figure

    L, most = len(m.mixing), max((len(a) for a in m.attention.values()), default=0)
    across = min(most, 8) + 1 if most else min(L, 4)
    cells: list = []                                                   # lines of (matrix, what stands beneath it, what stands beside it)
    for i in range(L):
        heads, whole = m.attention.get(i, m.mixing[:0]), (m.mixing[i], "all" if most else f"block {i + 1}", "")
        named = [(a, f"{m.config.n_heads - len(heads) + j + 1}", "" if j else f"block {i + 1}") for j, a in enumerate(heads)]
        if not most and i % across:
            cells[-1].append(whole)
        elif not most:
            cells.append([whole])
        for first in range(0, most, across - 1):
            line = named[first:first + across - 1]
            cells.append(line + [None] * (across - 1 - len(line)) + [None if first else whole])
    side = min(2.2, 9.6 / across)
    figure = Figure(figsize=(across * side, len(cells) * (side + 0.3)), facecolor="white", layout="constrained")
    for line, row in zip(cells, figure.subplots(len(cells), across, squeeze=False)):
        for axes, cell in zip(row, line + [None] * across):
            square(axes, *cell) if cell else axes.set_axis_off()
    return figure


def square(axes, matrix, name, beside):
    squares(axes, matrix, "")
    axes.set_ylabel(beside, color=INK, fontsize=9)
    axes.set(xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[["top", "right"]].set_color(PALE)
    axes.set_xlabel(f"{name}: {distances(matrix[None])[0]:.1f} back", color=GRAY, fontsize=8, labelpad=2)


def speakers(m):
    """swh: which head answers which token"""
    if not m.speaks:
        return ""
    rows = [["", "the head that answers each token"]]
    for i, head in sorted(m.speaks.items()):
        rows.append([f"block {i + 1}", shaded([f"{n + 1} " for n in head[0]], head[0] / max(m.config.n_heads - 1, 1), small=True)])
    return html_table(rows, long=(1,))


def experts(m):
    """moe: how often each expert was asked, and by whom"""
    E, parts = m.config.n_experts, []
    rows = [["", *(f"expert {e + 1}" for e in range(E))]]
    for i, load in sorted(m.loads.items()):
        share = load / max(load.sum(), 1)
        rows.append([f"block {i + 1}", *(f"{bar(s, most=60)} {s:.0%}" for s in share)])
    parts.append(html_table(rows))
    if m.config.n_active < E:
        for i, chosen in sorted(m.chosen.items()):
            lines = []
            for e in range(E):
                lines.append(f'<tr><th>block {i + 1}, expert {e + 1}</th><td>'
                             + shaded([visible(t) for t in m.tokens], (chosen == e).any(-1).astype(float) * 0.8, small=True) + "</td></tr>")
            parts.append(f'<div class="wide"><table>{"".join(lines)}</table></div>')
    asked = f"{m.config.n_active} of {E}" if m.config.n_active < E else f"all {E}"
    return section("Experts of each token", f"Every token is routed to {asked} experts. Blue: the tokens routed to this one.", *parts)


def weights_section(m):
    """Weights and gradients of every layer"""
    return section("Weights and gradients", "The size (root mean square) of every matrix, layer by layer, and of the gradient that this "
                   "sentence's loss sends to it; darker for larger. Right: how the weights of each layer are spread.",
                   picture(sizes(m), "sizes of weights and gradients"))


def sizes(m):
    from matplotlib.figure import Figure

    L = len(m.mixing)
    both = [[rms(which, i) for i in range(L)] for which in (m.weights, m.gradients)]
    leaves = [leaf for leaf in dict.fromkeys(leaf for row in both[0] for leaf in row)]
    figure = Figure(figsize=(9.8, 0.9 + 0.235 * len(leaves)), facecolor="white", layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    for axes, rows, heading, colour in ((left, both[0], "weights", TRAIN), (middle, both[1], "gradients", VALID)):
        grid = np.array([[row.get(leaf, np.nan) for row in rows] for leaf in leaves])
        heat(axes, grid, colour, [f"{i + 1}" for i in range(L)], leaves if axes is left else [], heading)
    for i in range(L):
        values = np.concatenate([w.reshape(-1) for n, w in m.weights.items() if n.startswith(f"blocks.{i}.") and w.ndim > 1])
        spread, ground = values.std() or 1.0, L - i - 1
        counts, edges = np.histogram(values / spread, BINS)
        right.fill_between((edges[1:] + edges[:-1]) / 2, ground, ground + 0.92 * counts / max(counts.max(), 1), color=tint(1), lw=0)
        right.annotate(f"block {i + 1}, spread {spread:.3f}", (-4, L - i - 0.14), color=GRAY, fontsize=8, va="top")
    right.set(yticks=[], xlim=(-4, 4), ylim=(0, L))
    plainly(right, "matrices' numbers, in spreads")
    right.spines["left"].set_visible(False)
    return figure


def heat(axes, grid, colour, across, down, heading):
    """Numbers as cells with the numbers in them; the colours follow the logarithm"""
    from matplotlib.colors import LinearSegmentedColormap

    logs = np.log10(np.where(grid > 0, grid, np.nan))
    low, high = (np.nanmin(logs), np.nanmax(logs)) if np.isfinite(logs).any() else (0, 1)
    pale = LinearSegmentedColormap.from_list("pale", ["white", tint(1, colour)])
    axes.imshow(logs, cmap=pale, vmin=low, vmax=max(high, low + 0.1), aspect="auto")
    for row, line in enumerate(grid):
        for column, value in enumerate(line):
            if np.isfinite(value) and len(across) <= 12:
                axes.text(column, row, f"{value:.2g}" if value >= 1e-3 or not value else f"{value:.0e}".replace("e-0", "e-"), ha="center",
                          va="center", fontsize=7.5, color=INK)
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    plainly(axes, heading)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel("block", color=GRAY, fontsize=8)


def memory_section(m):
    """Memory kept for backward in memory"""
    totals = [sum(parts.values()) for parts in m.memory]
    colours = dict(norms=PALE, attention=TRAIN, network=VALID)
    rows = [["", "in all", "", *colours]]
    for i, parts in enumerate(m.memory):
        bars = "".join(bar(parts[name] / max(totals), colours[name], 300) for name in ("attention", "network", "norms") if parts[name])
        rows.append([f"block {i + 1}", format_bytes(totals[i]), bars, *(format_bytes(parts[name]) for name in colours)])
    return section("Memory kept for backward", f"Bytes of the arrays that each block's backward holds on to until it is called, for these "
                   f"{len(m.ids)} tokens, the weights not counted: {format_bytes(sum(totals))} in all, "
                   f"{format_bytes(sum(totals) / len(m.ids))} per token. "
                   f"Blue: attention; red: network; gray: norms.", html_table(rows))



