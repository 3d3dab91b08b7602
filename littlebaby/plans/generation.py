"""Generation: after a prompt, or in a conversation."""
import secrets
from dataclasses import asdict

import numpy as np

from .. import text as texts
from ..arrays import backend
from ..errors import TOKENS, BadInput, number, seeded
from ..inference.chat import Conversation
from ..inference.generate import before_eos, generate, until_eos, until_stop
from ..inference.sampling import Sampling
from ..inference.speculative import speculate
from ..runs import records
from ..text.special_tokens import prompt_ids
from ..training.parallel import generation_threads
from .model_io import load
from .process_control import keep_result, open_workspace


def inference(guid="last", prompt="", max_tokens=200, temperature=0.8, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, stop=(),
              seed=None, samples=1, stream=None, path=None, draft=None):
    """What a run's baby writes after a prompt, kept as a Completion; an empty prompt begins a document.

    The default temperature is 0.8, a little surer than the model's own distribution, for readers; `Baby.generate`, made for measuring,
    takes 1. The settings act in this order: repetition_penalty, temperature, top_k, top_p, min_p.

    stream: called with every piece of text as it comes (one sample only)      seed: None draws one, which the Completion names
    draft: a smaller run of the same tokenizer that guesses ahead: less time, the same text at temperature 0, the same chances above
    """
    samples, max_tokens = number("samples", samples, 1, 1024, whole=True), number("max_tokens", max_tokens, 1, TOKENS, whole=True)
    seed = secrets.randbelow(2 ** 31) if seed is None else seeded(seed)
    if (stream or draft) and samples > 1:
        raise BadInput(f"samples is {samples}; only a single one can be streamed or guessed by a draft")
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    stops = [stop] if isinstance(stop, str) else [s for s in stop if s]
    baby, quick = load(name, workspace.root), draft and load(draft, workspace.root)
    if quick and spelling(quick.tokenizer) != spelling(baby.tokenizer):
        raise BadInput(f"the draft {draft} has another tokenizer than {name}; both must have the same")
    completion = generate_completion(baby, name, prompt, sampling, max_tokens, seed, stops, samples, stream, draft=quick)
    keep_result(lambda: workspace.save_completion(name, completion))
    return completion


def spelling(tokenizer):
    """What a tokenizer's ids mean, whatever roles they have"""
    return {name: value for name, value in tokenizer.to_json().items() if name != "special_tokens"}


def generate_completion(baby, name, prompt, sampling, max_tokens, seed, stops=(), samples=1, stream=None, start=None, draft=None):
    """A Completion: the prompt read (or its ids `start`), `samples` rows written side by side, each cut at its first stop string or eos"""
    tokenizer, rng = baby.require_tokenizer(), np.random.default_rng(seed)
    replaced = tokenizer.unknown_in(prompt)
    start, eos = prompt_ids(tokenizer, prompt) if start is None else start, tokenizer.special_tokens.stops
    if draft:
        columns = ([x] for x in speculate((baby.p, baby.config), (draft.p, draft.config), start[None], max_tokens, sampling, rng))
    else:
        columns = generate(baby.p, baby.config, np.repeat(start[None], samples, 0), max_tokens, sampling, rng)
    with backend.blas_threads(generation_threads(baby.flat)):
        if samples == 1:
            written = []

            def ids():
                for column in columns:
                    if int(column[0]) in eos:
                        return
                    written.append(int(column[0]))
                    yield written[-1]

            pieces = []
            for piece in until_stop(texts.stream(tokenizer, ids()), stops):
                pieces.append(piece)
                if stream:
                    stream(piece)
            done, count = ["".join(pieces)], len(written)
        else:
            rows = np.stack(list(until_eos(columns, eos)), 1)
            texts_of_rows = (tokenizer.decode(before_eos(row, eos)) for row in rows)
            done, count = ["".join(until_stop([text], stops)) for text in texts_of_rows], rows.shape[1]
    settings = records.Settings(**asdict(sampling), max_tokens=max_tokens, stop=list(stops))
    return records.Completion(guid=name, prompt=prompt, replaced=replaced, text=done[0], samples=done if samples > 1 else [],
                              prompt_tokens=len(start), tokens=count, seed=seed, settings=settings)


def chat(guid="last", system="", template=None, max_tokens=200, temperature=0.8, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0,
         seed=None, path=None):
    """A conversation with a run's baby: `talk = chat(guid)`, then `talk("Hi")` answers and `talk.stream("Hi")` answers piece by piece.

    As in `inference` the default temperature is 0.8, and the settings act in the same order.

    template: how messages are spelled for it; None takes the run's own c_template      seed: None draws one
    """
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    max_tokens = number("max_tokens", max_tokens, 1, TOKENS, whole=True)
    seed = secrets.randbelow(2 ** 31) if seed is None else seeded(seed)
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    baby = load(name, workspace.root)
    keep = lambda record: workspace.save_chat(records.Chat(guid=name, **record))
    return Conversation(baby, template or baby.config.c_template, sampling, max_tokens, seed, system, keep)
