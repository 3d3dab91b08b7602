"""Generation in a panel: the prompt, the sampling settings, and the completion as it is generated."""
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import ipywidgets as widgets

from .. import text as texts
from ..errors import BadInput
from ..inference.sampling import ALLOWED
from ..runs.records import Settings
from ..runs.store import Workspace
from ..text.special_tokens import prompt_ids
from . import panel_html
from .formatting import plural, unknown_parts
from .panel_fields import number, parsed
from .panel_help import Help
from .panel_job import JOBS
from .panel_outcome import Outcome

SAMPLING = dict(max_tokens=200, repetition_penalty=1.0, temperature=0.8, top_k=0, top_p=1.0, min_p=0.0)     # in the order of use
SEED = "The seed of the random numbers: the same seed, prompt and settings give the same text. Empty: another one each time."
INTERVAL = 0.1          # seconds between two updates of the text


class Stopped(Exception):
    """Stop was pressed during generation"""


class Generation:
    """`view` is the widget, `settings()` what was chosen"""

    def __init__(self) -> None:
        self.prompt = widgets.Textarea(placeholder="the prompt; leave it empty to start a new text", rows=4,
                                       layout=widgets.Layout(width="auto"))
        self.prompt.add_class("lb-prompt")
        self.note = widgets.HTML()                       # on a prompt that is longer than the window
        more = dict(layout=widgets.Layout(width="215px"), style=dict(description_width="125px"))
        self.sampling = {name: number(value, isinstance(value, int), description=name, **more) for name, value in SAMPLING.items()}
        self.seed = widgets.Text(description="seed", placeholder="random", **more)
        self.help = Help({name: sampling_help(name) for name in SAMPLING} | dict(seed=SEED), 2)
        for name, each in (self.sampling | dict(seed=self.seed)).items():
            self.help.follow(name, each)
        boxes = widgets.Box([*self.sampling.values(), self.seed], layout=widgets.Layout(flex_flow="row wrap"))
        self.view = widgets.VBox([self.prompt, self.note, boxes, self.help.view], layout=widgets.Layout(flex="1 1 460px", min_width="0"))

    def settings(self) -> dict[str, Any]:
        seed = self.seed.value.strip()
        return {name: parsed(each.value) for name, each in self.sampling.items()} | dict(seed=parsed(seed) if seed else None)

    def check_length(self, workspace: Workspace, guid: str) -> None:
        """Say where the prompt is longer than the window of the model"""
        prompt, self.note.value = self.prompt.value, ""
        try:
            n_ctx = workspace.load_config(guid).n_ctx if guid else 0
            if guid and len(prompt.encode("utf-8", "replace")) > n_ctx:          # a token has at least one byte
                path = workspace.existing("tokenizer", guid)
                count = len(prompt_ids(tokenizer(workspace.root, guid, path.stat().st_mtime_ns), prompt))
                if count > n_ctx:
                    self.note.value = panel_html.notice(f"the prompt has {plural(count, 'token')} and the window of this model {n_ctx:,}: "
                                                        f"the model sees only the last {n_ctx:,}")
        except (BadInput, OSError):                      # Run says what is wrong
            pass

    def run(self, plans: Any, guid: str, workspace: Workspace, outcome: Outcome) -> None:
        """Generate, and show the prompt and its completion token by token. Raises errors.BadInput"""
        prompt, pieces, when = self.prompt.value, list[str](), [0.0]

        def stream(piece: str) -> None:
            pieces.append(piece)
            if perf_counter() - when[0] > INTERVAL:
                when[0] = perf_counter()
                outcome.text.value = panel_html.completion(prompt, "".join(pieces))
            if JOBS.stopping.is_set():
                raise Stopped

        try:
            done = plans.inference(guid, prompt, stream=stream, path=workspace.root, **self.settings())
        except Stopped:
            outcome.live.say("stopped; not saved")
        else:
            outcome.live.say(f"{plural(done.tokens, 'token')}, "
                             f"{'saved in outputs/' if done.file else 'not saved: the workspace cannot be written'}; seed {done.seed}")
            outcome.say(unknown_parts(done.replaced, done.spelled))
        outcome.text.value = panel_html.completion(prompt, "".join(pieces))


@lru_cache(4)
def tokenizer(root: Path, guid: str, _changed: int) -> Any:
    """The tokenizer of a run; _changed: when its file was written"""
    return texts.from_json(Workspace(root).load_tokenizer(guid))


def sampling_help(name: str) -> str:
    """What a sampling setting does, and its range"""
    allowed = ALLOWED[name][3] if name in ALLOWED else "a whole number from 1"
    return f"{Settings.model_fields[name].description} Allowed: {allowed}; default {SAMPLING[name]}."
