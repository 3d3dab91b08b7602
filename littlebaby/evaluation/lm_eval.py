"""lm_eval: a baby as a model of lm-eval, the harness with which most published scores are measured. It needs the package lm-eval.

    from littlebaby.evaluation.lm_eval import LMEvalModel
    lm_eval.simple_evaluate(model=LMEvalModel(lb.load("last")), tasks=["hellaswag"])

The harness needs an end-of-text token; here it is the text that begins a document, or its last id if it has several.
Gao et al., The Language Model Evaluation Harness, github.com/EleutherAI/lm-evaluation-harness.
"""
from typing import Any

import numpy as np

from ..errors import BadInput
from ..inference.baby import Baby
from ..inference.generate import generate, until_eos, until_stop
from ..inference.sampling import Sampling
from ..text import stream
from .text_scores import likelihoods, score_text

try:
    from lm_eval.api.model import TemplateLM
except ImportError:
    raise BadInput("littlebaby.evaluation.lm_eval needs the package lm-eval: pip install lm-eval") from None


class LMEvalModel(TemplateLM):
    """The three kinds of requests of lm-eval: log-likelihoods of continuations and of whole texts, and generation until a stop string.

    Args:
        baby: Model, with a tokenizer.
        max_tokens: Maximum number of tokens to generate, if a task does not say.
    """

    def __init__(self, baby: Baby, max_tokens: int = 256) -> None:
        super().__init__()
        self.baby, self.max_tokens = baby, max_tokens

    @property
    def eot_token_id(self) -> int:
        """Id of the end-of-text token"""
        return int(self.baby.tokenizer.encode(self.baby.tokenizer.begin)[-1])

    def tok_encode(self, string: str, add_special_tokens: Any = None) -> list[int]:
        """Ids of a text"""
        return self.baby.tokenizer.encode(string).tolist()

    def _loglikelihood_tokens(self, requests, disable_tqdm=False):
        """[(ln p of the continuation in nats, whether each of its tokens is the most likely one), ...]. Consecutive requests with the same
        context are computed together"""
        out, shared = [], []
        for i, (_, context, _) in enumerate(requests):
            shared.append(requests[i])
            if i + 1 == len(requests) or requests[i + 1][1] != context:
                found = likelihoods(self.baby, np.array(context), [np.array(ids) for _, _, ids in shared])
                out += [(float(logp.sum()), bool(greedy.all())) for logp, greedy in found]
                shared = []
        return out

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """ln p of whole texts, in nats"""
        return [-score_text(self.baby, request.args[0]).nats for request in requests]

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Completions of prompts"""
        return [self.answer(*request.args) for request in requests]

    def answer(self, context: str, settings: dict[str, Any]) -> str:
        """The completion of a prompt. settings: until (stop strings), do_sample, temperature, max_gen_toks"""
        stops = settings.get("until") or []
        stops = [stops] if isinstance(stops, str) else stops
        temperature = settings.get("temperature", 0) if settings.get("do_sample") else 0
        tokenizer = self.baby.tokenizer
        ids, eos = tokenizer.encode(context or tokenizer.begin), tokenizer.special_tokens.stops
        columns = generate(self.baby.p, self.baby.config, ids[None], settings.get("max_gen_toks", self.max_tokens),
                           Sampling(temperature=temperature), np.random.default_rng(0))
        new = (int(column[0]) for column in until_eos(columns, eos) if column[0] not in eos)
        return "".join(until_stop(stream(tokenizer, new), stops))
