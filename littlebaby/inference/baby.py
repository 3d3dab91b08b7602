"""A baby: config, tokenizer and weights in one hand. Below it lies only `model.gpt`; everything here is a few lines around that."""
import numpy as np

from ..arrays import tree
from ..arrays.backend import dtype, to_numpy, xp
from ..errors import TOKENS, BadInput, number, seeded
from ..model import gpt
from ..model.context import Context
from ..text.marks import prompt_ids
from .generate import generate, generate_each
from .sampling import Sampling
from .speculative import speculate


class Baby:
    """An untrained one from a config and a vocabulary size (or a tokenizer), a trained one where `flat` brings the weights, one with
    adapters where `spec` says so.

    >>> baby = Baby(Config(n_layers=2), vocab_size=65, seed=0)
    """

    def __init__(self, config, vocab_size=None, seed=0, tokenizer=None, flat=None, spec=None):
        if vocab_size is not None:
            vocab_size = number("vocab_size", vocab_size, 0, 2**24, whole=True)
        size = vocab_size or (tokenizer.size if tokenizer else config.n_vocab)
        if not size:
            raise BadInput("a baby needs a vocabulary: give vocab_size, a tokenizer or a config with n_vocab")
        self.config = config if config.n_vocab == size else config.replace(n_vocab=size)
        self.tokenizer = tokenizer
        self.spec = gpt.params(self.config) if spec is None else spec
        if flat is None:
            flat = tree.init(self.spec, np.random.default_rng(seeded(seed)), dtype(self.config.d_type))
        self.flat, self.p = flat, tree.views(self.spec, flat)

    def logits(self, ids):
        """(B, T) or (T) ids -> (B, T, V) logits, of the model's own type"""
        return to_numpy(gpt.forward(self.p, self.ids_in_context(ids), Context(self.config))[0])

    def loss(self, ids, targets):
        """The mean cross-entropy in nats; targets stand beside the ids (already shifted), -1 is not counted"""
        return gpt.loss(self.p, self.ids_in_context(ids), self.checked_ids(targets, least=-1), Context(self.config))

    def loss_and_grads(self, ids, targets):
        """The loss and the gradient of every weight: float, {"blocks.0.att.wq": array, ...}"""
        grad = xp.zeros(tree.size(self.spec, train=True), self.flat.dtype)
        loss = gpt.loss_and_grad(self.p, tree.views(self.spec, grad), self.ids_in_context(ids), self.checked_ids(targets, least=-1),
                                 Context(self.config))
        return loss, {name: to_numpy(g) for name, g in tree.named(self.spec, grad).items()}

    def weights(self):
        """Every weight by name, live: what is written into them changes the baby"""
        return tree.named(self.spec, self.flat)

    def encode(self, text):
        """The ids of a text (n,), with the marks that the model's own tokenizer puts before and behind it"""
        return prompt_ids(self.require_tokenizer(), text)

    def decode(self, ids):
        return self.require_tokenizer().decode(ids)

    def require_tokenizer(self):
        if self.tokenizer is None:
            raise BadInput("this baby has no tokenizer: it reads and writes ids only")
        return self.tokenizer

    def generate(self, ids, max_tokens, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, seed=0, cached=True):
        """The max_tokens ids that follow `ids`, (T) -> (max_tokens) or (B, T) -> (B, max_tokens); temperature 0 takes the likeliest.

        The default temperature is 1, the model's own distribution, as a measurement needs it; `lb.inference` and `lb.chat`, which write
        for readers, take 0.8."""
        max_tokens = number("max_tokens", max_tokens, 0, TOKENS, whole=True)
        rows = to_numpy(self.checked_ids(ids))
        sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
        columns = list(generate(self.p, self.config, rows, max_tokens, sampling, np.random.default_rng(seeded(seed)), cached))
        new = np.stack(columns, 1) if columns else rows[:, :0]
        return new[0] if np.ndim(ids) == 1 else new

    def generate_each(self, prompts, max_tokens, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, seed=0):
        """The same for prompts of different lengths, [(T1), (T2), ...] -> [(max_tokens), ...]: number i is what `generate` gives for it
        with seed + i, whatever stands beside it"""
        max_tokens, seed = number("max_tokens", max_tokens, 0, TOKENS, whole=True), seeded(seed)
        rows = [to_numpy(self.checked_ids(prompt))[0] for prompt in prompts]
        sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
        return generate_each(self.p, self.config, rows, max_tokens, sampling, [np.random.default_rng(seed + i) for i in range(len(rows))])

    def speculate(self, draft, ids, max_tokens, ahead=4, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, seed=0):
        """The max_tokens ids that follow ids (T), drawn as `generate` draws them, but guessed `ahead` by a smaller baby of the same
        vocabulary: this one is asked once for several tokens"""
        max_tokens = number("max_tokens", max_tokens, 0, TOKENS, whole=True)
        ahead = number("ahead", ahead, 0, 1024, whole=True)
        if draft.config.n_vocab != self.config.n_vocab:
            raise BadInput(f"the draft has {draft.config.n_vocab} tokens and this baby {self.config.n_vocab}; both must have the same")
        sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
        rows, rng = to_numpy(self.checked_ids(ids)), np.random.default_rng(seeded(seed))
        return np.fromiter(speculate((self.p, self.config), (draft.p, draft.config), rows, max_tokens, sampling, rng, ahead), np.int64)

    def ids_in_context(self, ids):
        """A table no longer than what the model can see at once"""
        rows = self.checked_ids(ids)
        if rows.shape[1] > self.config.n_ctx:
            raise BadInput(f"{rows.shape[1]} ids are more than n_ctx = {self.config.n_ctx}, all that this model sees at once")
        return rows

    def checked_ids(self, ids, least=0):
        """(B, T) integer ids on the device, checked"""
        rows = np.atleast_2d(np.asarray(ids))
        if rows.ndim != 2 or not rows.size or not np.issubdtype(rows.dtype, np.integer):
            raise BadInput(f"ids are whole numbers in rows of equal length (B, T), at least one; these have shape {rows.shape} "
                           f"and type {rows.dtype}")
        if rows.min() < least or rows.max() >= self.config.n_vocab:
            raise BadInput(f"ids lie between {least} and {self.config.n_vocab - 1}; these between {rows.min()} and {rows.max()}")
        return xp.asarray(rows)
