"""Harness: a baby as a model of lm-eval, the harness with which most scores are measured.

>>> from littlebaby.evaluation.lm_eval import Harness
>>> lm_eval.simple_evaluate(model=Harness(lb.load("last")), tasks=["hellaswag"])

Needs the package lm-eval. What begins a document stands for its end-of-text token; where that takes several ids, the last of them.
Gao et al., The Language Model Evaluation Harness, github.com/EleutherAI/lm-evaluation-harness.
"""
import numpy as np

from ..errors import BadInput
from ..inference.generate import generate, until_eos, until_stop
from ..inference.sampling import Sampling
from ..text import stream
from .text_scores import likelihoods, score_text

try:
    from lm_eval.api.model import TemplateLM
except ImportError:
    raise BadInput("this needs the package lm-eval: pip install lm-eval") from None


class LMEvalModel(TemplateLM):
    """What lm-eval asks of a model: likelihoods of continuations and of whole texts, and texts that go on until a stop"""

    def __init__(self, baby, max_tokens=256):
        super().__init__()
        self.baby, self.max_tokens = baby, max_tokens

    @property
    def eot_token_id(self):
        return int(self.baby.tokenizer.encode(self.baby.tokenizer.begin)[-1])

    def tok_encode(self, string, add_special_tokens=None):
        return self.baby.tokenizer.encode(string).tolist()

    def _loglikelihood_tokens(self, requests, disable_tqdm=False):
        """[(log p of the continuation, whether it is the greedy one), ...]; requests that follow each other with one context share it"""
        out, shared = [], []
        for i, (_, context, _) in enumerate(requests):
            shared.append(requests[i])
            if i + 1 == len(requests) or requests[i + 1][1] != context:
                found = likelihoods(self.baby, np.array(context), [np.array(ids) for _, _, ids in shared])
                out += [(float(logp.sum()), bool(greedy.all())) for logp, greedy in found]
                shared = []
        return out

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        return [-score_text(self.baby, request.args[0]).nats for request in requests]

    def generate_until(self, requests, disable_tqdm=False):
        return [self.answer(*request.args) for request in requests]

    def answer(self, context, settings):
        stops = settings.get("until") or []
        stops = [stops] if isinstance(stops, str) else stops
        hot = settings.get("temperature", 0) if settings.get("do_sample") else 0
        tokenizer = self.baby.tokenizer
        ids, eos = tokenizer.encode(context or tokenizer.begin), tokenizer.special_tokens.stops
        columns = generate(self.baby.p, self.baby.config, ids[None], settings.get("max_gen_toks", self.max_tokens),
                           Sampling(temperature=hot), np.random.default_rng(0))
        new = (int(column[0]) for column in until_eos(columns, eos) if column[0] not in eos)
        return "".join(until_stop(stream(tokenizer, new), stops))
