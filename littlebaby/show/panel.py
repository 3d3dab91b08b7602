"""The plans as buttons in a notebook: choose, estimate, run, watch, stop, resume, generate, inspect, delete.

    lb.panel()                  as the last line of a cell

The module with the plans is an argument, because this package must not import it. A plan runs in a thread of its own, so the notebook
stays usable; where threads cannot start, as in the Python of a browser, it runs in the calling cell. Only one plan runs at a time, and
every error is shown as one sentence.
"""
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from ..errors import BadInput, RunFailed
from ..runs.presets import preset, presets
from ..runs.store import Workspace
from . import panel_html
from .card import card, state
from .panel_estimate import Estimate, start_thread
from .panel_fields import Fields
from .panel_live import Live, show

PLANS = ("train", "finetune", "inference", "info", "delete")
MAIN = ("c_attention", "c_network", "n_layers", "n_emb", "n_heads", "n_ctx", "n_steps")      # settings that are shown beside the preset
SAMPLING = dict(max_tokens=200, repetition_penalty=1.0, temperature=0.8, top_k=0, top_p=1.0, min_p=0.0)     # in the order of use
NONE = "there is no run in this folder yet; train makes one"


class Stopped(Exception):
    """Raised during generation if Stop was pressed"""


class Panel:
    """The widgets and what they do. plans: the module littlebaby.plans      path: the workspace, as for all plans"""

    def __init__(self, plans: Any, path: str | Path | None = None) -> None:
        self.plans, self.stopping, self.machine = plans, threading.Event(), threading.Lock()
        self.busy, self.runs = False, dict[str, Any]()
        self.thread: threading.Thread | None = None
        self.estimate = Estimate(self.chosen_training, lambda: not self.busy and self.plan.value in ("train", "finetune"), self.machine)
        self.fields, self.live = Fields(self.estimate.request), Live(lambda guid: self.workspace.load_report(guid).evaluations)
        self.make_choices(str(Workspace(path).root))
        self.make_buttons()
        self.arrange()
        self.choose_folder()

    def _ipython_display_(self):
        display(self.view)

    # the widgets

    def make_choices(self, root):
        box = lambda kind, name, **more: kind(description=name, layout=widgets.Layout(width="360px"), style=dict(description_width="82px"),
                                              **more)
        self.folder = box(widgets.Text, "folder", value=root, continuous_update=False)
        self.folder.layout = widgets.Layout(width="auto", flex="1 1 auto")
        self.plan = widgets.ToggleButtons(options=PLANS, style=dict(button_width="96px"))
        self.guid = box(widgets.Dropdown, "run", options=[("no run yet", "")])
        self.preset = box(widgets.Dropdown, "preset", options=list(presets()), value="nursery")
        indented = widgets.Layout(width="268px", margin="0 0 4px 92px")
        self.preset_meaning, self.run_summary = widgets.HTML(layout=indented), widgets.HTML(layout=indented)
        self.input = box(widgets.Combobox, "text", value="nursery", continuous_update=False, placeholder="a file, or a name in inputs/")
        self.upload = widgets.FileUpload(accept=".txt,.jsonl", multiple=False, description="upload a file",
                                         layout=widgets.Layout(width="140px", margin="2px 2px 6px 92px"))
        self.prompt = widgets.Textarea(placeholder="the prompt; leave it empty to start a new text", layout=widgets.Layout(width="auto"))
        self.sampling = {name: (widgets.IntText if isinstance(value, int) else widgets.FloatText)(
            value=value, description=name, layout=widgets.Layout(width="215px"), style=dict(description_width="125px"))
            for name, value in SAMPLING.items()}
        self.with_finetunes = widgets.Checkbox(value=False, description="also its finetunes", indent=False)
        for name in ("folder", "plan", "guid", "preset", "input", "prompt"):
            getattr(self, name).add_class(f"lb-{name}")
        for widget, act in ((self.folder, self.choose_folder), (self.plan, self.choose_plan), (self.guid, self.choose_run),
                            (self.preset, self.fill), (self.input, self.estimate.request), (self.upload, self.upload_file)):
            widget.observe(lambda _, act=act: act(), "value")

    def make_buttons(self):
        def button(name, icon, style, act):
            made = widgets.Button(description=name, icon=icon, button_style=style, layout=widgets.Layout(width="auto"))
            made.on_click(lambda _: act())
            return made

        self.run, self.stop = button("Run", "play", "success", self.press_run), button("Stop", "stop", "warning", self.press_stop)
        self.resume, self.zip = button("Resume", "forward", "info", self.press_resume), button("Zip", "download", "", self.press_zip)
        self.microscope = button("Microscope", "search", "", self.press_microscope)
        self.diary = button("Diary", "book", "", self.press_diary)
        self.delete_files = button("Delete", "trash", "danger", self.press_delete_files)
        self.keep_files = button("Keep", "undo", "", self.press_keep_files)

    def arrange(self):
        """The layout; `parts`: {plan: the widgets shown for it}, without the widgets that are always shown"""
        column = lambda *inside, **layout: widgets.VBox(inside, layout=widgets.Layout(**layout))
        row = lambda *inside, **layout: widgets.HBox(inside, layout=widgets.Layout(**layout))
        self.message, self.text, self.page = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.chart = widgets.Image(format="png", layout=widgets.Layout(width="600px", display="none"))
        self.all_settings = widgets.Accordion([self.fields.view], selected_index=None)
        self.all_settings.set_title(0, "all settings, with meaning and range")
        named = lambda name: row(widgets.HTML(f'<div style="text-align:right;font-size:13px">{name}</div>',
                                              layout=widgets.Layout(width="86px", flex="0 0 auto")), self.fields.controls[name])
        main = column(*map(named, MAIN))
        cost = self.estimate.view
        sampling = widgets.Box(list(self.sampling.values()), layout=widgets.Layout(flex_flow="row wrap"))
        generation = column(self.prompt, sampling, flex="1 1 460px")
        choices = column(self.guid, self.run_summary, self.preset, self.preset_meaning, self.input, self.upload, main)
        self.confirm = row(self.delete_files, self.keep_files)
        self.parts = dict(train=[self.preset, self.preset_meaning, self.input, self.upload, main, cost, self.all_settings, self.resume,
                                 self.stop],
                          finetune=[self.input, self.upload, main, cost, self.all_settings, self.stop],
                          inference=[generation, self.microscope, self.stop], info=[self.diary, self.zip], delete=[self.with_finetunes])
        chosen = row(choices, cost, generation, flex_flow="row wrap", align_items="flex-start", grid_gap="14px", margin="6px 0")
        buttons = row(self.run, self.microscope, self.stop, self.resume, self.diary, self.zip, self.with_finetunes, self.live.bar,
                      self.live.status, align_items="center")
        self.view = column(
            self.folder, self.plan, chosen, self.all_settings, buttons, self.message, self.confirm, self.live.view, self.text, self.chart,
            self.page)
        self.view.add_class("lb-panel")

    # choices

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.folder.value.strip() or None)

    def choose_folder(self):
        with self.errors_as_messages():
            self.folder.value = str(self.workspace.root)         # absolute: it stays the same if the current folder changes
            self.input.options = ["nursery", *(name for name in self.workspace.inputs() if name != "nursery.txt")]
            self.choose_plan()

    def choose_plan(self):
        """Show only the widgets that the chosen plan needs"""
        plan = self.plan.value
        for part in {id(part): part for parts in self.parts.values() for part in parts}.values():
            part.layout.display = None if part in self.parts[plan] else "none"
        self.confirm.layout.display = "none"
        self.run.description = "Delete …" if plan == "delete" else "Run"
        self.guid.description = "resume" if plan == "train" else "run"
        if not self.busy:
            self.clear()
        self.refresh()
        self.fill()

    def refresh(self, select: str | None = None) -> None:
        """List the runs of the folder, the newest first; for train only those that can be resumed"""
        with self.errors_as_messages():
            self.runs = {run.name: run for run in reversed(self.workspace.list()) if self.plan.value != "train" or run.resumable}
            chosen, options = select or self.guid.value, [(run_label(run), name) for name, run in self.runs.items()]
            self.guid.layout.display = "none" if self.plan.value == "train" and not options else None
            self.guid.options = options or [("no run to resume" if self.plan.value == "train" else "no run yet", "")]
            self.guid.value = chosen if chosen in self.runs else self.guid.options[0][1]
        self.show_run_summary()
        self.enable()

    def show_run_summary(self):
        """Show the chosen run below the picker"""
        run = self.runs.get(self.guid.value)
        self.run_summary.value = panel_html.run_summary(run) if run else ""

    def choose_run(self):
        self.confirm.layout.display = "none"
        self.show_run_summary()
        self.enable()
        if self.plan.value == "finetune":
            self.fill()

    def fill(self):
        """Fill in the settings of the preset, or those that a finetune derives from its base; changes are counted from them"""
        self.preset_meaning.value = panel_html.hint(presets()[self.preset.value])
        with self.errors_as_messages():
            if self.plan.value == "train":
                self.fields.fill(preset(self.preset.value))
            elif self.plan.value == "finetune" and self.guid.value:
                self.fields.fill(self.plans.finetune_config(self.workspace.load_config(self.guid.value)).model_dump())
        self.estimate.request()

    def upload_file(self):
        """Store an uploaded file in inputs/ and choose it"""
        with self.errors_as_messages():
            for name, content in uploaded_file(self.upload.value):
                self.workspace.write_input(name, [bytes(content)])
                self.input.options = [*self.input.options, name]
                self.input.value = name

    def chosen_training(self):
        """(Config with its vocabulary, number of training tokens) of the training that Run would start"""
        text, path = self.input.value.strip() or None, self.folder.value
        if self.plan.value == "train":
            return self.plans.config_and_tokens(text, self.preset.value, path=path, settings=self.fields.changes(), progress=False)
        if not self.guid.value:
            raise BadInput(NONE)
        cfg = self.plans.finetune_config(self.workspace.load_config(self.guid.value), self.fields.changes())
        if is_conversations(text) or cfg.lora_rank:
            raise BadInput("the cost of conversations and adapters is not estimated; Run works nevertheless")
        return self.plans.config_and_tokens(text, path=path, settings=cfg.model_dump(), progress=False)

    # buttons

    def press_run(self):
        plan, guid, path, text = self.plan.value, self.guid.value, self.folder.value, self.input.value.strip() or None
        options = dict(path=path, progress=self.watch, stop=self.stopping.is_set, **self.fields.changes())
        if plan == "train":
            self.begin(lambda: self.after_training(self.plans.train(text, self.preset.value, **options)))
        elif not guid:
            self.show_message(NONE, wrong=True)
        elif plan == "finetune":
            source = dict(chat=text) if is_conversations(text) else dict(input=text)
            self.begin(lambda: self.after_training(self.plans.finetune(guid, **source, **options)))
        elif plan == "inference":
            self.begin(lambda: self.generate(guid))
        elif plan == "info":
            self.begin(lambda: self.show_card(guid))
        else:
            self.press_delete()

    def press_stop(self):
        self.stopping.set()
        self.live.say("stopping …")

    def press_resume(self):
        guid = self.guid.value
        self.begin(lambda: self.after_training(self.plans.train(resume=guid, path=self.folder.value, progress=self.watch,
                                                                stop=self.stopping.is_set)))

    def press_delete(self):
        """Show the files that would be deleted, with the buttons Delete and Keep"""
        questions = []

        def refuse(question):
            questions.append(question)
            return "no"

        with self.errors_as_messages():
            self.plans.delete(self.guid.value, self.folder.value, self.with_finetunes.value, ask=refuse)
            self.clear()
            self.text.value = panel_html.text_html(questions[0].removesuffix("[y/N] "))
            self.confirm.layout.display = None

    def press_delete_files(self):
        with self.errors_as_messages():
            deleted = self.plans.delete(self.guid.value, self.folder.value, self.with_finetunes.value, yes=True)
            self.press_keep_files()
            self.refresh()
            self.show_message(f"{len(deleted)} files deleted")

    def press_keep_files(self):
        self.clear()
        self.confirm.layout.display = "none"

    def press_zip(self):
        with self.errors_as_messages():
            packed = self.plans.pack(self.guid.value, self.folder.value)
            self.text.value = panel_html.download(packed, b64encode(packed.read_bytes()).decode())

    def press_microscope(self):
        guid, path, sentence = self.guid.value, self.folder.value, self.prompt.value.strip() or None
        self.begin(lambda: self.show_page("examining the model", lambda: self.plans.microscope(guid, sentence, path)))

    def press_diary(self):
        guid, path = self.guid.value, self.folder.value
        self.begin(lambda: self.show_page("comparing runs", lambda: self.plans.diary(guid, path=path)))

    # the running plan

    def begin(self, work: Callable[[], Any]) -> None:
        """Run `work` in a thread, unless another one is running"""
        if self.busy:
            return
        self.busy = True
        self.stopping.clear()
        self.clear()
        self.enable()
        self.thread = start_thread(lambda: self.run_alone(work))

    def run_alone(self, work):
        """Run `work`, after any measurement of an estimate has ended, and show its errors"""
        try:
            with self.machine, self.errors_as_messages():
                work()
        finally:
            self.busy = False
            self.enable()
        if self.estimate.requested != self.estimate.answered:
            self.estimate.request()

    def enable(self):
        """Enable the widgets that can be used now, and disable the others"""
        for each in (self.run, self.delete_files, self.folder):
            each.disabled = self.busy
        for each in (self.microscope, self.diary, self.zip):
            each.disabled = self.busy or not self.guid.value
        self.stop.disabled = not self.busy
        self.resume.disabled = self.busy or not self.guid.value

    def clear(self):
        self.message.value = self.text.value = ""
        self.live.hide()
        show(self.chart, b"")
        self.page.value = ""

    @contextmanager
    def errors_as_messages(self):
        """Show an error raised inside as one sentence"""
        try:
            yield
        except (BadInput, RunFailed) as error:
            self.show_message(str(error), wrong=True)
        except Exception as error:          # an error in this program; in a thread nobody would see its traceback
            self.show_message(f"internal error: {type(error).__name__}: {error}", wrong=True)

    def show_message(self, text: str, wrong: bool = False) -> None:
        self.message.value = panel_html.message_html(text, wrong)

    def watch(self, event: Any) -> None:
        """Show an event of a run; called in the thread of the run"""
        if words := getattr(event, "words", ""):
            self.show_message(words)
        self.live(event)
        if self.stopping.is_set():
            self.live.say("stopping …")

    def after_training(self, run):
        """Select the run that has ended, and show its card or how to resume it"""
        self.refresh(run.guid)
        self.live.say(run.report.stop_reason)
        if run.report.stop_reason == "interrupted":
            self.show_message(f"{run.guid} is saved at step {self.live.step:,}; Resume continues as if it had not stopped")
        else:
            self.show_card(run.guid)

    def show_card(self, guid):
        self.text.value = panel_html.text_html(card(self.plans.info(guid, self.folder.value)))
        chart = self.workspace.path("chart", guid)
        show(self.chart, chart.read_bytes() if chart.exists() else b"")

    def show_page(self, doing: str, make: Callable[[], Any]) -> None:
        """Show a page at the end of the panel; doing: what `make`, which returns the page, does"""
        self.live.say(f"{doing} …")
        self.page.value = make()._repr_html_()
        self.live.say("")

    def generate(self, guid: str) -> None:
        """Show the prompt and its completion, token by token"""
        pieces, shown_at = [self.prompt.value], [0.0]

        def stream(piece):
            pieces.append(piece)
            if perf_counter() - shown_at[0] > 0.1:
                shown_at[0] = perf_counter()
                self.text.value = panel_html.text_html("".join(pieces))
            if self.stopping.is_set():
                raise Stopped

        try:
            done = self.plans.inference(guid, self.prompt.value, stream=stream, path=self.folder.value,
                                        **{name: each.value for name, each in self.sampling.items()})
            saved = any(each.time == done.time for each in self.workspace.completions(guid))
            self.live.say(f"{done.tokens:,} tokens, {'saved in outputs/' if saved else 'not saved: the workspace cannot be written'}; "
                          f"seed {done.seed}")
            if done.replaced:
                replaced = ", ".join(f"{new!r} is replaced by {old!r}" for new, old in done.replaced.items())
                self.show_message(f"not in this model's vocabulary: {replaced}")
        except Stopped:
            self.live.say("stopped; not saved")
        self.text.value = panel_html.text_html("".join(pieces))


def run_label(run: Any) -> str:
    """A run in one line, for the picker"""
    cfg, report = run.config, run.report
    words = [run.name[:8] + run.name[36:], f"{cfg.c_attention} + {cfg.c_network}" if cfg else "damaged"]
    if report:
        words += [report.input.name if report.input else "", f"{report.best_valid_loss:.3f}" if report.best_valid_loss else "",
                  state(vars(report), run.in_use, run.resumable)]
    return " · ".join(filter(None, words))


def is_conversations(text: str | None) -> bool:
    """Whether a text is a file of conversations"""
    return text is not None and text.endswith(".jsonl")


def uploaded_file(value: Any) -> list[tuple[str, Any]]:
    """[(name, bytes)] of an upload, from the value of ipywidgets 7, {name: {content}}, or of 8, ({name, content}, ...)"""
    if isinstance(value, dict):
        return [(name, each["content"]) for name, each in value.items()]
    return [(each["name"], each["content"]) for each in value]
