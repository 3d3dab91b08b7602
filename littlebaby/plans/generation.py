"""Text generation: the completion of a prompt, and conversations."""
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import text as texts
from ..arrays import backend
from ..errors import TOKENS, BadInput, number, seeded
from ..inference.baby import Baby
from ..inference.chat import Conversation
from ..inference.generate import before_eos, generate, until_eos, until_stop
from ..inference.sampling import Sampling
from ..inference.speculative import speculate
from ..runs import records
from ..text.special_tokens import prompt_ids
from ..training.parallel import generation_threads
from .model_io import load
from .process_control import keep_result, open_workspace
from .steering import steered


def inference(guid: str = "last", prompt: str = "", max_tokens: int = 200, *, repetition_penalty: float = 1.0, temperature: float = 0.8,
              top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, stop: str | Sequence[str] = (), seed: int | None = None,
              samples: int = 1, stream: Callable[[str], object] | None = None, path: str | Path | None = None,
              draft: str | None = None, steer: Mapping[str, float] | None = None) -> records.Completion:
    """Generate text with a run's model and save it as outputs/completion_GUID_TIME.json.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or "last".
        prompt: Text to continue; empty starts a new document.
        max_tokens: Maximum number of tokens to generate, 1 or more.
        repetition_penalty: Above 1, lowers the logits of tokens that occurred before; 1 is off. The five sampling settings are applied
            in the order of this list; formulas: `inference.sampling`.
        temperature: The logits are divided by it: below 1 makes likely tokens more likely, above 1 less likely; 0 always takes the most
            likely token. The default of `Baby.generate` is 1, the model's own distribution.
        top_k: Number of most likely tokens that can be drawn; 0 is off.
        top_p: Only the smallest set of most likely tokens with at least this total probability can be drawn; 1 is off.
        min_p: Only tokens with at least this fraction of the highest probability can be drawn; 0 is off.
        stop: String or strings that end the text and are left out of it.
        seed: Seed of the random numbers [drawn at random and recorded in the Completion].
        samples: Number of completions, 1 to 1024.
        stream: Function that is called with each piece of the text as soon as it is generated (one sample only).
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        draft: Smaller run with the same tokenizer, for speculative decoding (one sample only): faster, with the same text at temperature
            0 and the same distribution above.
        steer: Directions to add to the outputs of layers at every token, {name: strength}: those that `direction` has saved, of which
            strength 1 moves the mean of the texts `less` to that of the texts `more`; and features that `features` has found, such as
            feature12, of which strength 1 adds the mean activation. A negative strength moves the other way.

    Returns:
        A record with the generated text (without the prompt), all samples, the number of tokens, the seed and the settings.

    Raises:
        BadInput: There is no such run or direction, a number is out of range, no character of the prompt is known to the tokenizer, or
            the draft has another tokenizer.

    >>> done = lb.inference("last", "Ada", max_tokens=5, temperature=0)
    >>> done.tokens, len(done.text)
    (5, 5)
    """
    samples, max_tokens = number("samples", samples, 1, 1024, whole=True), number("max_tokens", max_tokens, 1, TOKENS, whole=True)
    seed = secrets.randbelow(2 ** 31) if seed is None else seeded(seed)
    if (stream or draft) and samples > 1:
        raise BadInput(f"samples is {samples}; allowed with {'a draft' if draft else 'stream'} is 1; did you mean 1?")
    sampling = Sampling(repetition_penalty=repetition_penalty, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    workspace = open_workspace(path)
    name = workspace.resolve(guid, "model")
    stops = [stop] if isinstance(stop, str) else [s for s in stop if s]
    replace_value, steering = steered(workspace, name, steer or {})
    baby, small = load(name, workspace.root), load(draft, workspace.root) if draft else None
    if small and vocabulary_of(small.tokenizer) != vocabulary_of(baby.tokenizer):
        raise BadInput(f"draft is {draft!r}, whose tokenizer differs from that of {name}; allowed are runs with the same tokenizer")
    completion = generate_completion(baby, name, prompt, sampling, max_tokens, seed, stops, samples, stream, draft=small,
                                     replace_value=replace_value)
    completion = completion.model_copy(update=dict(steering=steering))
    file = keep_result(lambda: workspace.save_completion(name, completion))
    return completion.model_copy(update=dict(file=str(file or "")))


def vocabulary_of(tokenizer: Any) -> dict[str, Any]:
    """The tokenizer's record without special_tokens: equal for two tokenizers whose ids mean the same tokens"""
    return {name: value for name, value in tokenizer.to_json().items() if name != "special_tokens"}


def generate_completion(baby: Baby, name: str, prompt: str, sampling: Sampling, max_tokens: int, seed: int, stops: Sequence[str] = (),
                        samples: int = 1, stream: Callable[[str], object] | None = None, start: np.ndarray | None = None,
                        draft: Baby | None = None, replace_value: Callable | None = None) -> records.Completion:
    """A Completion of the prompt, or of its ids `start` (t,). Each of the samples ends before its first stop string or eos token.
    replace_value: as for `Baby.generate`"""
    tokenizer, rng = baby.require_tokenizer(), np.random.default_rng(seed)
    replaced = tokenizer.unknown_in(prompt)
    start, eos = prompt_ids(tokenizer, prompt) if start is None else start, tokenizer.special_tokens.stops
    columns: Iterable
    if draft:
        columns = ([x] for x in speculate((baby.p, baby.config), (draft.p, draft.config), start[None], max_tokens, sampling, rng,
                                          replace_value=replace_value))
    else:
        columns = generate(baby.p, baby.config, np.repeat(start[None], samples, 0), max_tokens, sampling, rng, replace_value=replace_value)
    with backend.blas_threads(generation_threads(baby.flat)):
        if samples == 1:
            new: list[int] = []

            def ids() -> Iterator[int]:
                for column in columns:
                    if int(column[0]) in eos:
                        return
                    new.append(int(column[0]))
                    yield new[-1]

            pieces = []
            for piece in until_stop(texts.stream(tokenizer, ids()), stops):
                pieces.append(piece)
                if stream:
                    stream(piece)
            done, count = ["".join(pieces)], len(new)
        else:
            rows = np.stack(list(until_eos(columns, eos)), 1)
            texts_of_rows = (tokenizer.decode(before_eos(row, eos)) for row in rows)
            done, count = ["".join(until_stop([text], stops)) for text in texts_of_rows], rows.shape[1]
    settings = records.Settings(**asdict(sampling), max_tokens=max_tokens, stop=list(stops))
    return records.Completion(guid=name, prompt=prompt, replaced=replaced, spelled=texts.spelled_words(tokenizer, prompt), text=done[0],
                              samples=done if samples > 1 else [], prompt_tokens=len(start), tokens=count, seed=seed, settings=settings)


def chat(guid: str = "last", system: str = "", template: str | None = None, max_tokens: int = 200, *, repetition_penalty: float = 1.0,
         temperature: float = 0.8, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, seed: int | None = None,
         path: str | Path | None = None) -> Conversation:
    """Start a conversation with a run's model, preferably one that was finetuned with `chat`.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or "last".
        system: System message at the beginning of the conversation; empty for none.
        template: Chat template, kodalite, chatml, plain or line [the run's c_template].
        max_tokens: Maximum number of tokens of an answer, 1 or more.
        repetition_penalty, temperature, top_k, top_p, min_p: Sampling settings, applied in this order; see `inference`.
        seed: Seed of the random numbers [drawn at random].
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        A Conversation: call it with a message and it returns the answer.

    Raises:
        BadInput: There is no such run or template, or a number is out of range.

    >>> talk = lb.chat("last", template="plain", max_tokens=5, seed=0)
    >>> answer = talk("Hello")
    >>> [message["role"] for message in talk.messages]
    ['user', 'assistant']
    """
    sampling = Sampling(repetition_penalty=repetition_penalty, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    max_tokens = number("max_tokens", max_tokens, 1, TOKENS, whole=True)
    seed = secrets.randbelow(2 ** 31) if seed is None else seeded(seed)
    workspace = open_workspace(path)
    name = workspace.resolve(guid, "model")
    baby = load(name, workspace.root)
    keep = lambda record: workspace.save_chat(records.Chat(guid=name, **record))
    return Conversation(baby, template or baby.config.c_template, sampling, max_tokens, seed, system, keep)
