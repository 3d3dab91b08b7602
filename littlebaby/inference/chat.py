"""Conversation: a baby that answers, with the messages that fit into its context.

The window rule of a conversation: at least half of what the model sees, or max_tokens where that is less, stays free for the answer.
Where what was said does not fit into the rest, the oldest exchanges are out of view, each as a whole; the system's message stays.
"""
from dataclasses import asdict, replace
from itertools import takewhile

import numpy as np

from ..errors import TOKENS, BadInput, number, seeded
from ..text import stream
from ..text.chat import exchanges, ids_of, question, template, trimmed
from ..text.marks import begun, stop_ids
from .generate import generate, until_stop


class Conversation:
    """Ask it, and it answers; or take the answer in pieces, as it comes.

    >>> talk = lb.chat("last", system="Be kind.")
    >>> talk("Who are you?")
    'A little baby.'
    >>> for piece in talk.stream("And then?"): print(piece, end="")

    messages: all that was said      forgotten: how many of them the last answer did not see      save(): its file's path
    """

    def __init__(self, baby, name, sampling, max_tokens, seed, system="", keep=None):
        max_tokens, seed = number("max_tokens", max_tokens, 1, TOKENS, whole=True), seeded(seed)
        self.baby, self.form, self.name = baby, template(name), name
        self.sampling, self.max_tokens, self.seed, self.keep = sampling, max_tokens, seed, keep
        self.rng = np.random.default_rng(seed)
        # what others' models end a text with ends an answer, too
        self.stops = (*self.form.stops, *getattr(baby.tokenizer, "special", ()))
        self.system, self.messages, self.forgotten = system, [], 0
        self.reset()

    def reset(self):
        """Forget all that was said but the system's message"""
        self.messages, self.forgotten = [dict(role="system", content=self.system)] if self.system else [], 0

    def set_temperature(self, temperature):
        """Answer at another temperature from now on"""
        self.sampling = replace(self.sampling, temperature=temperature)

    def __call__(self, text):
        """The answer to a message"""
        return "".join(self.stream(text))

    def stream(self, text):
        """The answer piece by piece, no half characters or stop strings; what was generated before iteration stops is kept"""
        tokenizer, answer = self.baby.tokenizer, []
        self.messages.append(dict(role="user", content=text))
        columns = generate(self.baby.p, self.baby.config, self.visible_ids()[None], self.max_tokens, self.sampling, self.rng)
        ends = stop_ids(tokenizer)
        ids = takewhile(lambda i: i not in ends, (int(column[0]) for column in columns))
        try:
            for piece in until_stop(stream(tokenizer, ids), self.stops):
                answer.append(piece)
                yield piece
        finally:
            self.messages.append(dict(role="assistant", content=trimmed("".join(answer))))

    def visible_ids(self):
        """The prompt of the next answer, as ids (t)"""
        head, parts = exchanges(self.messages)
        room = self.baby.config.n_ctx - min(self.max_tokens, self.baby.config.n_ctx // 2)
        while True:
            seen = head + [message for part in parts for message in part]
            ids = begun(self.baby.tokenizer, ids_of(question(seen, self.form), self.baby.tokenizer)[0])
            if len(ids) <= room or len(parts) == 1:
                self.forgotten = len(self.messages) - len(seen)
                return ids
            parts = parts[1:]

    def record(self):
        """The conversation as a record for a file"""
        settings = dict(asdict(self.sampling), max_tokens=self.max_tokens, stop=list(self.stops))
        return dict(template=self.name, messages=self.messages, seed=self.seed, settings=settings)

    def save(self):
        """Write it into the workspace, in one line that finetune --chat reads; returns the path"""
        if not self.keep:
            raise BadInput("this conversation belongs to no workspace; `littlebaby.chat` begins one that does")
        return self.keep(self.record())
