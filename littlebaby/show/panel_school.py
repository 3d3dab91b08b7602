"""Learning from rewards in a panel: the method, the reward, and how long."""
from typing import Any

import ipywidgets as widgets

from ..runs.settings import allowed
from .panel_fields import number, parsed
from .panel_help import Help, setting_help

IN_PYTHON = ("function", "model")        # rewards that are given as a function or as the GUID of a reward model
MINUTES = 5.0


class School:
    """`view` is the widget, `settings()` what was chosen. keys: {setting: its description}"""

    def __init__(self, keys: Any) -> None:
        more: Any = dict(layout=widgets.Layout(width="240px"), style=dict(description_width="86px"))
        pick = lambda name, options, value: widgets.Dropdown(description=name, options=options, value=value, **more)
        methods = [name for name in allowed("c_school") if name != "reward_model"]
        self.controls = dict(c_school=pick("c_school", methods, "grpo"),
                             c_reward=pick("c_reward", [name for name in allowed("c_reward") if name not in IN_PYTHON], "nursery"),
                             r_minutes=number(MINUTES, False, description="r_minutes", **more))
        self.help = Help({name: setting_help(keys[name]) for name in self.controls}, 4)
        for name, control in self.controls.items():
            control.add_class(f"lb-{name}")
            self.help.follow(name, control)
        about = widgets.HTML("<div style='font-size:13px;line-height:1.4'>The model generates texts, a reward judges them, and good ones "
                             "become more likely. The result is a new run.</div>")
        self.view = widgets.VBox([about, *self.controls.values(), self.help.view], layout=widgets.Layout(flex="1 1 460px", min_width="0"))

    def settings(self) -> dict[str, Any]:
        chosen = {name: parsed(control.value) for name, control in self.controls.items()}
        return dict(reward=chosen.pop("c_reward"), **chosen)
