"""Conversation: a model that answers messages, with as many of the earlier messages as fit into its context.

max_tokens of the context, or half of it if that is less, stay free for the answer. If the messages do not fit into the rest, the oldest
exchanges (a question and its answer) are left out of the prompt; the system message stays.
"""
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TOKENS, BadInput, number, seeded
from ..text import stream
from ..text.chat import exchanges, ids_of, question, template, trimmed
from .generate import generate, until_eos, until_stop
from .sampling import Sampling


class Conversation:
    """A conversation with a model; `lb.chat` starts one. Call it with a message and it returns the answer.

    Attributes:
        messages: [{"role": "system", "user" or "assistant", "content": text}, ...], all so far.
        forgotten: Number of messages that did not fit into the prompt of the last answer.

    Args:
        baby: Model, with a tokenizer.
        name: Name of the chat template.
        sampling: Sampling settings.
        max_tokens: Maximum number of tokens of an answer.
        seed: Seed of the random numbers.
        system: System message; empty for none.
        keep: Function that writes a record to a file and returns its path; None: `save` is not allowed.

    Raises:
        BadInput: There is no such template, or a number is out of range.

    >>> talk = lb.chat("last", template="plain", system="Be kind.", max_tokens=5, seed=0)
    >>> answer = talk("Who are you?")
    >>> [message["role"] for message in talk.messages]
    ['system', 'user', 'assistant']
    """

    def __init__(self, baby: Any, name: str, sampling: Sampling, max_tokens: int, seed: int, system: str = "",
                 keep: Callable[[dict], Path] | None = None) -> None:
        max_tokens, seed = number("max_tokens", max_tokens, 1, TOKENS, whole=True), seeded(seed)
        self.baby, self.form, self.name = baby, template(name), name
        self.sampling, self.max_tokens, self.seed, self.keep = sampling, max_tokens, seed, keep
        self.rng = np.random.default_rng(seed)
        # the special tokens of an imported tokenizer, such as <|endoftext|>, end an answer too
        self.stops = (*self.form.stops, *getattr(baby.tokenizer, "special", ()))
        self.system, self.forgotten = system, 0
        self.messages: list[dict[str, str]] = []
        self.reset()

    def reset(self) -> None:
        """Remove all messages but the system message.

        >>> talk = lb.chat("last", template="plain", system="Be kind.", max_tokens=5, seed=0)
        >>> answer = talk("Hi")
        >>> talk.reset()
        >>> len(talk.messages)
        1
        """
        self.messages, self.forgotten = [dict(role="system", content=self.system)] if self.system else [], 0

    def set_temperature(self, temperature: float) -> None:
        """Change the temperature of the next answers.

        Args:
            temperature: The logits are divided by it, 0 or more; 0 always takes the most likely token.

        Raises:
            BadInput: It is out of range.

        >>> talk = lb.chat("last")
        >>> talk.set_temperature(0.5)
        >>> talk.sampling.temperature
        0.5
        """
        self.sampling = replace(self.sampling, temperature=temperature)

    def __call__(self, text: str) -> str:
        """The answer to a message"""
        return "".join(self.stream(text))

    def stream(self, text: str) -> Iterator[str]:
        """Yield the answer in pieces as it is generated. If the iteration is ended early, the text so far is kept as the answer.

        Args:
            text: The user's message.

        Returns:
            Pieces of text, without stop strings and without incomplete characters.

        >>> talk = lb.chat("last", template="plain", max_tokens=5, seed=0)
        >>> for piece in talk.stream("Hi"):
        ...     assert isinstance(piece, str)
        >>> talk.messages[-1]["role"]
        'assistant'
        """
        tokenizer = self.baby.tokenizer
        answer: list[str] = []
        eos = tokenizer.special_tokens.stops
        self.messages.append(dict(role="user", content=text))
        columns = generate(self.baby.p, self.baby.config, self.visible_ids()[None], self.max_tokens, self.sampling, self.rng)
        try:
            ids = (int(column[0]) for column in until_eos(columns, eos) if column[0] not in eos)
            for piece in until_stop(stream(tokenizer, ids), self.stops):
                answer.append(piece)
                yield piece
        finally:
            self.messages.append(dict(role="assistant", content=trimmed("".join(answer))))

    def visible_ids(self) -> np.ndarray:
        """Ids (t,) of the prompt of the next answer: the system message and the newest exchanges that fit.

        >>> talk = lb.chat("last", template="plain", max_tokens=5, seed=0)
        >>> answer = talk("Hi")
        >>> len(talk.visible_ids()) > 0
        True
        """
        head, parts = exchanges(self.messages)
        room = self.baby.config.n_ctx - min(self.max_tokens, self.baby.config.n_ctx // 2)
        while True:
            visible = head + [message for part in parts for message in part]
            ids = ids_of(question(visible, self.form), self.baby.tokenizer)[0]
            if len(ids) <= room or len(parts) == 1:
                self.forgotten = len(self.messages) - len(visible)
                return ids
            parts = parts[1:]

    def record(self) -> dict[str, Any]:
        """The conversation and its settings, as fields of `runs.records.Chat`.

        >>> lb.chat("last", template="plain", seed=1).record()["seed"]
        1
        """
        settings = dict(asdict(self.sampling), max_tokens=self.max_tokens, stop=list(self.stops))
        return dict(template=self.name, messages=self.messages, seed=self.seed, settings=settings)

    def save(self) -> Path:
        """Write the conversation to outputs/chat_GUID_TIME.jsonl, one line that `finetune` accepts as `chat`.

        Returns:
            Path of the file.

        Raises:
            BadInput: The conversation has no workspace, or the disk cannot be written.

        >>> talk = lb.chat("last", template="plain", max_tokens=5, seed=0)
        >>> answer = talk("Hi")
        >>> talk.save().suffix
        '.jsonl'
        """
        if not self.keep:
            raise BadInput("this conversation has no workspace to be saved in; start it with `littlebaby.chat`")
        return self.keep(self.record())
