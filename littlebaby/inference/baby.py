"""A baby: config, tokenizer and weights together. Its methods call `model.gpt` and this package."""
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import tree
from ..arrays.backend import blas_threads, dtype, on_cpu, to_numpy, xp
from ..errors import TOKENS, BadInput, number, seeded
from ..model import gpt
from ..model.context import Context
from ..text.special_tokens import bare, surrounded
from .generate import generate, generate_each
from .sampling import Sampling
from .speculative import speculate

LITTLE_WORK = 2**27     # weights times ids below which one BLAS thread is faster than several, which wait for each other in each product


class Baby:
    """A model: config, tokenizer and weights. Without `flat` its weights are random; `lb.load` returns a trained one.

    In the methods, ids are integer token ids, B is the number of rows, T the number of ids in a row and V the size of the vocabulary.

    Args:
        config: All settings, a `Config`.
        vocab_size: Size of the vocabulary in tokens [the tokenizer's, else the config's n_vocab].
        seed: Seed of the random weights; not used with `flat`.
        tokenizer: Tokenizer, for encode and decode; None: only ids can be used.
        flat: (n,) all weights in one vector, on the device; it is not copied [random weights].
        spec: Tree of the weights' names, shapes and kinds [that of the config; adapters need another one].

    Raises:
        BadInput: No argument gives the size of the vocabulary, or a number is out of range.

    >>> baby = lb.Baby(lb.Config(n_layers=2, n_emb=16, n_ctx=8), vocab_size=65, seed=0)
    >>> baby.logits([1, 2, 3]).shape
    (1, 3, 65)
    """

    def __init__(self, config: Any, vocab_size: int | None = None, seed: int = 0, tokenizer: Any = None, flat: Any = None,
                 spec: Any = None) -> None:
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

    def logits(self, ids: ArrayLike) -> np.ndarray:
        """Logits of the next token after every id.

        Args:
            ids: (B, T) or (T,), with T up to n_ctx.

        Returns:
            (B, T, V) in the type of the weights; B is 1 for one row of ids.

        Raises:
            BadInput: The ids are not integers from 0 to V - 1, or more than n_ctx in a row.

        >>> baby = lb.load("last")
        >>> logits = baby.logits(baby.encode("Ada"))
        >>> logits.shape == (1, 3, baby.config.n_vocab)
        True
        """
        ids = self.ids_in_context(ids)
        with threads_for(self.flat, ids):
            return to_numpy(gpt.forward(self.p, ids, Context(self.config))[0])

    def loss(self, ids: ArrayLike, targets: ArrayLike) -> float:
        """Mean cross-entropy of the targets, without dropout.

        Args:
            ids: (B, T) or (T,), with T up to n_ctx.
            targets: The id that follows each id, in the same shape; a target of -1 is not counted.

        Returns:
            The mean over all counted targets, in nats.

        Raises:
            BadInput: As in `logits`.

        >>> baby = lb.load("last")
        >>> ids = baby.encode("Ada hid")
        >>> 0 < baby.loss(ids[:-1], ids[1:]) < 10
        True
        """
        ids, targets = self.ids_in_context(ids), self.checked_ids(targets, least=-1)
        with threads_for(self.flat, ids):
            return gpt.loss(self.p, ids, targets, Context(self.config))

    def loss_and_grads(self, ids: ArrayLike, targets: ArrayLike) -> tuple[float, dict[str, np.ndarray]]:
        """The loss, and its gradient with respect to every trainable weight.

        Args:
            ids: As in `loss`.
            targets: As in `loss`.

        Returns:
            The loss in nats, and {"blocks.0.att.wq": array of the weight's shape, ...}.

        Raises:
            BadInput: As in `logits`.

        >>> baby = lb.load("last")
        >>> ids = baby.encode("Ada hid")
        >>> loss, grads = baby.loss_and_grads(ids[:-1], ids[1:])
        >>> grads["blocks.0.att.wq"].shape == baby.weights()["blocks.0.att.wq"].shape
        True
        """
        grad = xp.zeros(tree.size(self.spec, train=True), self.flat.dtype)
        ids, targets = self.ids_in_context(ids), self.checked_ids(targets, least=-1)
        with threads_for(self.flat, ids):
            loss = gpt.loss_and_grad(self.p, tree.views(self.spec, grad), ids, targets, Context(self.config))
        return loss, {name: to_numpy(g) for name, g in tree.named(self.spec, grad).items()}

    def weights(self) -> dict[str, Any]:
        """All weights by name, as views: assigning to their elements changes the model.

        Returns:
            {"blocks.0.att.wq": array, ...}; on a GPU the arrays are CuPy's.

        >>> baby = lb.load("last")
        >>> baby.weights()["blocks.0.att.wq"][...] = 0
        >>> float(np.abs(baby.weights()["blocks.0.att.wq"]).max())
        0.0
        """
        return tree.named(self.spec, self.flat)

    def encode(self, text: str) -> np.ndarray:
        """Token ids of a text. An imported tokenizer may add its own ids around them, such as bos.

        Args:
            text: Characters that the tokenizer does not know are replaced or left out, as c_unknown says.

        Returns:
            (n,) ids.

        Raises:
            BadInput: The baby has no tokenizer, or c_unknown is "error" and a character is unknown.

        >>> baby = lb.load("last")
        >>> baby.decode(baby.encode("Ada hid"))
        'Ada hid'
        """
        return surrounded(self.require_tokenizer(), self.require_tokenizer().encode(text))

    def decode(self, ids: Any) -> str:
        """The text of token ids, without the ids that `encode` adds around a text.

        Args:
            ids: (n,) ids.

        Returns:
            The text.

        Raises:
            BadInput: The baby has no tokenizer.

        >>> baby = lb.load("last")
        >>> baby.decode(baby.encode("Ada")[:2])
        'Ad'
        """
        return self.require_tokenizer().decode(bare(self.require_tokenizer(), ids))

    def require_tokenizer(self) -> Any:
        """The tokenizer.

        Raises:
            BadInput: There is none.

        >>> lb.load("last").require_tokenizer().kind
        'char'
        """
        if self.tokenizer is None:
            raise BadInput("this baby has no tokenizer: it can be used with token ids only")
        return self.tokenizer

    def generate(self, ids: ArrayLike, max_tokens: int, *, repetition_penalty: float = 1.0, temperature: float = 1.0, top_k: int = 0,
                 top_p: float = 1.0, min_p: float = 0.0, seed: int = 0, cached: bool = True,
                 replace_value: Callable | None = None) -> np.ndarray:
        """Sample the ids that follow `ids`. Temperature 1 is the model's own distribution; `lb.inference` and `lb.chat` have 0.8.

        Args:
            ids: (B, T) or (T,), any T: the model sees the newest n_ctx or fewer, see `inference.generate`.
            max_tokens: Number of ids to generate, 0 or more.
            repetition_penalty, temperature, top_k, top_p, min_p: Sampling settings, applied in this order; see `lb.inference`.
            seed: Seed of the random numbers.
            cached: False recomputes all tokens for every new one, with the same result, more slowly.
            replace_value: Function (layer, name, value) -> the value that the model uses in place of one that its layers observe, such as
                "block", the output (B, T, D) of a layer; see `model.context`. For example `inference.steering.adding`.

        Returns:
            (B, max_tokens) or (max_tokens,) new ids.

        Raises:
            BadInput: The ids are not integers from 0 to V - 1, or a number is out of range.

        >>> baby = lb.load("last")
        >>> baby.generate(baby.encode("Ada"), 5, temperature=0).shape
        (5,)
        """
        max_tokens = number("max_tokens", max_tokens, 0, TOKENS, whole=True)
        rows = to_numpy(self.checked_ids(ids))
        sampling = Sampling(repetition_penalty=repetition_penalty, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        columns = list(generate(self.p, self.config, rows, max_tokens, sampling, np.random.default_rng(seeded(seed)), cached,
                                replace_value))
        new = np.stack(columns, 1) if columns else rows[:, :0]
        return new[0] if np.ndim(ids) == 1 else new

    def generate_each(self, prompts: Sequence[ArrayLike], max_tokens: int, *, repetition_penalty: float = 1.0, temperature: float = 1.0,
                      top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, seed: int = 0) -> list[np.ndarray]:
        """Sample the ids that follow each of several prompts, which may differ in length.

        Args:
            prompts: Rows of ids, [(T_0,), (T_1,), ...].
            max_tokens: Number of ids to generate after each, 0 or more.
            repetition_penalty, temperature, top_k, top_p, min_p: Sampling settings, applied in this order; see `lb.inference`.
            seed: Row i has the seed `seed + i`, so its result is that of `generate` with it, whatever the other prompts are.

        Returns:
            [(max_tokens,), ...] new ids, one array per prompt.

        Raises:
            BadInput: As in `generate`.

        >>> baby = lb.load("last")
        >>> [row.shape for row in baby.generate_each([[1], [2, 3]], 4)]
        [(4,), (4,)]
        """
        max_tokens, seed = number("max_tokens", max_tokens, 0, TOKENS, whole=True), seeded(seed)
        rows = [to_numpy(self.checked_ids(prompt))[0] for prompt in prompts]
        sampling = Sampling(repetition_penalty=repetition_penalty, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        return generate_each(self.p, self.config, rows, max_tokens, sampling, [np.random.default_rng(seed + i) for i in range(len(rows))])

    def speculate(self, draft: "Baby", ids: ArrayLike, max_tokens: int, ahead: int = 4, *, repetition_penalty: float = 1.0,
                  temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, seed: int = 0) -> np.ndarray:
        """Sample as `generate` does, faster: a smaller baby proposes tokens, and this one checks several of them in one call.

        Args:
            draft: The smaller baby, with the same vocabulary.
            ids: (T,) or (1, T), any T.
            max_tokens: Number of ids to generate, 0 or more.
            ahead: Number of tokens that the draft proposes at a time, 0 to 1024.
            repetition_penalty, temperature, top_k, top_p, min_p: Sampling settings, applied in this order; see `lb.inference`.
            seed: Seed of the random numbers.

        Returns:
            (max_tokens,) new ids: those of `generate` at temperature 0, and of the same distribution above.

        Raises:
            BadInput: The vocabularies differ in size; or as in `generate`.

        >>> baby = lb.load("last")
        >>> ids = baby.encode("Ada")
        >>> np.array_equal(baby.speculate(baby, ids, 5, temperature=0), baby.generate(ids, 5, temperature=0))
        True
        """
        max_tokens = number("max_tokens", max_tokens, 0, TOKENS, whole=True)
        ahead = number("ahead", ahead, 0, 1024, whole=True)
        if draft.config.n_vocab != self.config.n_vocab:
            raise BadInput(f"the vocabulary of the draft has {draft.config.n_vocab} tokens; allowed is that of this baby, "
                           f"{self.config.n_vocab}")
        sampling = Sampling(repetition_penalty=repetition_penalty, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        rows, rng = to_numpy(self.checked_ids(ids)), np.random.default_rng(seeded(seed))
        return np.fromiter(speculate((self.p, self.config), (draft.p, draft.config), rows, max_tokens, sampling, rng, ahead), np.int64)

    def ids_in_context(self, ids: ArrayLike) -> Any:
        """Checked ids with at most n_ctx in a row.

        Args:
            ids: (B, T) or (T,).

        Returns:
            (B, T) on the device.

        Raises:
            BadInput: As in `logits`.

        >>> lb.load("last").ids_in_context([1, 2, 3]).shape
        (1, 3)
        """
        rows = self.checked_ids(ids)
        if rows.shape[1] > self.config.n_ctx:
            raise BadInput(f"a row has {rows.shape[1]} ids; allowed are at most n_ctx, {self.config.n_ctx}")
        return rows

    def checked_ids(self, ids: ArrayLike, least: int = 0) -> Any:
        """Ids as an integer array, checked.

        Args:
            ids: (B, T) or (T,).
            least: Smallest allowed id: 0, or -1 for targets.

        Returns:
            (B, T) on the device.

        Raises:
            BadInput: The ids are not integers from `least` to V - 1, or there are none.

        >>> lb.load("last").checked_ids([1, -1], least=-1).tolist()
        [[1, -1]]
        """
        rows = np.atleast_2d(np.asarray(ids))
        if rows.ndim != 2 or not rows.size or not np.issubdtype(rows.dtype, np.integer):
            raise BadInput(f"ids have shape {rows.shape} and type {rows.dtype}; allowed are integers in rows of equal length, (B, T), at "
                           f"least one")
        if rows.min() < least or rows.max() >= self.config.n_vocab:
            raise BadInput(f"ids are between {rows.min()} and {rows.max()}; allowed are {least} to {self.config.n_vocab - 1}")
        return xp.asarray(rows)


def threads_for(flat: Any, ids: Any) -> AbstractContextManager:
    """Sets the number of BLAS threads with which a model with these weights processes so many ids fastest"""
    return blas_threads(1 if on_cpu() and flat.size * ids.size < LITTLE_WORK else None)
