"""The plans with buttons, for a notebook: choose, see what it will cost, run, watch, stop, go on, write, look, forget.

    lb.panel()                  as the last line of a cell

The plans are handed in, for they stand above this room. A plan runs in a thread of its own, so the notebook stays usable; where there
are no threads, as in a browser's Python, it runs where it stands. One runs at a time, and whatever goes wrong is said in a sentence.
"""
import threading
from base64 import b64encode
from contextlib import contextmanager
from time import perf_counter, sleep

import ipywidgets as widgets
from IPython.display import display

from ..check.preflight import preflight
from ..errors import BadInput, RunFailed
from ..runs.presets import preset, presets
from ..runs.store import Workspace
from . import panel_html
from .card import card, state
from .panel_fields import Fields
from .panel_live import Live, show

PLANS = ("train", "finetune", "inference", "info", "delete")
MAIN = ("c_attention", "c_network", "n_layers", "n_emb", "n_heads", "n_ctx", "n_steps")      # settings that stand beside the preset too
SAMPLING = dict(max_tokens=200, repetition_penalty=1.0, temperature=0.8, top_k=0, top_p=1.0, min_p=0.0)     # in the order in which they act
PATIENCE = 0.4          # seconds without a change after which the speed is measured


class Stopped(Exception):
    """Stop was pressed while the baby wrote"""


class Panel:
    """plans: the module of that name      path: the workspace, None as everywhere"""

    def __init__(self, plans, path=None):
        self.plans, self.stopping, self.machine = plans, threading.Event(), threading.Lock()
        self.busy, self.thread, self.foreseeing, self.found = False, None, None, {}
        self.wish = self.answered = 0          # changes so far; the last one whose cost was told
        self.fields, self.live = Fields(self.changed), Live(lambda guid: self.workspace.load_report(guid).evaluations)
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
        self.guid = box(widgets.Dropdown, "run", options=[("none yet", "")])
        self.preset = box(widgets.Dropdown, "preset", options=list(presets()), value="nursery")
        self.about, self.who = (widgets.HTML(layout=widgets.Layout(width="268px", margin="0 0 4px 92px")) for _ in range(2))
        self.input = box(widgets.Combobox, "text", value="nursery", continuous_update=False, placeholder="a file, or a name in inputs/")
        self.upload = widgets.FileUpload(accept=".txt,.jsonl", multiple=False, description="bring a file",
                                         layout=widgets.Layout(width="140px", margin="2px 2px 6px 92px"))
        self.prompt = widgets.Textarea(placeholder="what the baby goes on from; empty begins a story", layout=widgets.Layout(width="auto"))
        self.sampling = {name: (widgets.IntText if isinstance(value, int) else widgets.FloatText)(
            value=value, description=name, layout=widgets.Layout(width="215px"), style=dict(description_width="125px"))
            for name, value in SAMPLING.items()}
        self.relatives = widgets.Checkbox(value=False, description="its finetunes too", indent=False)
        for name in ("folder", "plan", "guid", "preset", "input", "prompt"):
            getattr(self, name).add_class(f"lb-{name}")
        for widget, act in ((self.folder, self.choose_folder), (self.plan, self.choose_plan), (self.guid, self.choose_run),
                            (self.preset, self.fill), (self.input, self.changed), (self.upload, self.bring)):
            widget.observe(lambda _, act=act: act(), "value")

    def make_buttons(self):
        def button(name, icon, style, act):
            made = widgets.Button(description=name, icon=icon, button_style=style, layout=widgets.Layout(width="auto"))
            made.on_click(lambda _: act())
            return made

        self.run, self.stop = button("Run", "play", "success", self.press_run), button("Stop", "stop", "warning", self.press_stop)
        self.resume, self.zip = button("Resume", "forward", "info", self.press_resume), button("Zip", "download", "", self.press_zip)
        self.look, self.diary = button("Microscope", "search", "", self.press_look), button("Diary", "book", "", self.press_diary)
        self.sure, self.keep = button("Delete", "trash", "danger", self.press_sure), button("Keep", "undo", "", self.press_keep)

    def arrange(self):
        """Where everything stands; `parts`: what is shown for some plans only"""
        column = lambda *inside, **layout: widgets.VBox(inside, layout=widgets.Layout(**layout))
        row = lambda *inside, **layout: widgets.HBox(inside, layout=widgets.Layout(**layout))
        self.message, self.text, self.inside = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.forecast = widgets.HTML(layout=widgets.Layout(width="330px"))
        self.blueprint = widgets.Image(format="png", layout=widgets.Layout(width="215px", display="none"))
        self.chart = widgets.Image(format="png", layout=widgets.Layout(width="600px", display="none"))
        self.every = widgets.Accordion([self.fields.view], selected_index=None)
        self.every.set_title(0, "every setting, its meaning and range")
        named = lambda name: row(widgets.HTML(f'<div style="text-align:right;font-size:13px">{name}</div>',
                                              layout=widgets.Layout(width="86px", flex="0 0 auto")), self.fields.controls[name])
        main = column(*map(named, MAIN))
        cost = row(self.blueprint, self.forecast, grid_gap="10px")
        ask = column(self.prompt, widgets.Box(list(self.sampling.values()), layout=widgets.Layout(flex_flow="row wrap")), flex="1 1 460px")
        choices = column(self.guid, self.who, self.preset, self.about, self.input, self.upload, main)
        self.confirm = row(self.sure, self.keep)
        self.parts = dict(train=[self.preset, self.about, self.input, self.upload, main, cost, self.every, self.resume, self.stop],
                          finetune=[self.input, self.upload, main, cost, self.every, self.stop],
                          inference=[ask, self.look, self.stop], info=[self.diary, self.zip], delete=[self.relatives])
        chosen = row(choices, cost, ask, flex_flow="row wrap", align_items="flex-start", grid_gap="14px", margin="6px 0")
        buttons = row(self.run, self.look, self.stop, self.resume, self.diary, self.zip, self.relatives, self.live.bar, self.live.status,
                      align_items="center")
        self.view = column(
            self.folder, self.plan, chosen, self.every, buttons, self.message, self.confirm, self.live.view, self.text, self.chart,
            self.inside)
        self.view.add_class("lb-panel")

    # choices

    @property
    def workspace(self):
        return Workspace(self.folder.value.strip() or None)

    def choose_folder(self):
        with self.errors_as_messages():
            self.folder.value = str(self.workspace.root)         # absolute: a later change of the current folder does not move it
            self.input.options = ["nursery", *(name for name in self.workspace.inputs() if name != "nursery.txt")]
            self.choose_plan()

    def choose_plan(self):
        """Show what this plan needs, and nothing else"""
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

    def refresh(self, select=None):
        """The runs of the folder, the newest first; for train those that can go on"""
        with self.errors_as_messages():
            self.found = {run.name: run for run in reversed(self.workspace.list()) if self.plan.value != "train" or run.resumable}
            chosen, found = select or self.guid.value, [(run_in_words(run), name) for name, run in self.found.items()]
            self.guid.layout.display = "none" if self.plan.value == "train" and not found else None
            self.guid.options = found or [("nothing to go on with" if self.plan.value == "train" else "none yet", "")]
            self.guid.value = chosen if chosen in self.found else self.guid.options[0][1]
        self.introduce()
        self.enable()

    def introduce(self):
        """The card of the run that is chosen"""
        run = self.found.get(self.guid.value)
        self.who.value = panel_html.run_summary(run) if run else ""

    def choose_run(self):
        self.confirm.layout.display = "none"
        self.introduce()
        self.enable()
        if self.plan.value == "finetune":
            self.fill()

    def fill(self):
        """The settings from which changes are counted: a preset's, or what a finetune makes of its base's"""
        self.about.value = panel_html.hint(presets()[self.preset.value])
        with self.errors_as_messages():
            if self.plan.value == "train":
                self.fields.fill(preset(self.preset.value))
            elif self.plan.value == "finetune" and self.guid.value:
                self.fields.fill(self.plans.finetune_config(self.workspace.load_config(self.guid.value)).model_dump())
        self.changed()

    def bring(self):
        """A file of one's own into inputs/"""
        with self.errors_as_messages():
            for name, content in uploaded_file(self.upload.value):
                self.workspace.write_input(name, [bytes(content)])
                self.input.options = [*self.input.options, name]
                self.input.value = name

    # what it will cost

    def changed(self):
        """Estimate the cost again, unless a run is training; the newest request counts"""
        self.wish += 1
        wish = self.wish
        if self.plan.value in ("train", "finetune") and not self.busy:
            self.foreseeing = start_thread(lambda: self.update_estimate(wish))

    def update_estimate(self, wish):
        sleep(PATIENCE / 4)
        with self.machine:
            if wish != self.wish or self.busy:
                return
            self.answered = wish
            try:
                cfg, tokens = self.estimated()
                show(self.blueprint, panel_html.blueprint(cfg))
                self.forecast.value = panel_html.cost_tiles(preflight(cfg, tokens, probe=False), "measuring this machine")
            except BadInput as error:
                show(self.blueprint, b"")
                self.forecast.value = panel_html.message_html(str(error), wrong=True)
                return
        sleep(PATIENCE)
        with self.machine:
            if wish == self.wish and not self.busy:
                self.forecast.value = panel_html.cost_tiles(preflight(cfg, tokens))

    def estimated(self):
        """(Config with its vocabulary, tokens to learn from) of what Run would begin"""
        text, path = self.input.value.strip() or None, self.folder.value
        if self.plan.value == "train":
            return self.plans.config_and_tokens(text, self.preset.value, path=path, settings=self.fields.changes(), progress=False)
        if not self.guid.value:
            raise BadInput(NONE)
        cfg = self.plans.finetune_config(self.workspace.load_config(self.guid.value), self.fields.changes())
        if is_conversations(text) or cfg.lora_rank:
            raise BadInput("the cost of conversations and adapters is not estimated; Run works all the same")
        return self.plans.config_and_tokens(text, path=path, settings=cfg.model_dump(), progress=False)

    # buttons

    def press_run(self):
        plan, guid, path, text = self.plan.value, self.guid.value, self.folder.value, self.input.value.strip() or None
        more = dict(path=path, progress=self.watch, stop=self.stopping.is_set, **self.fields.changes())
        if plan == "train":
            self.begin(lambda: self.learned(self.plans.train(text, self.preset.value, **more)))
        elif not guid:
            self.say(NONE, wrong=True)
        elif plan == "finetune":
            source = dict(chat=text) if is_conversations(text) else dict(input=text)
            self.begin(lambda: self.learned(self.plans.finetune(guid, **source, **more)))
        elif plan == "inference":
            self.begin(lambda: self.write(guid))
        elif plan == "info":
            self.begin(lambda: self.show_card(guid))
        else:
            self.press_delete()

    def press_stop(self):
        self.stopping.set()
        self.live.say("stopping …")

    def press_resume(self):
        guid = self.guid.value
        self.begin(lambda: self.learned(self.plans.train(resume=guid, path=self.folder.value, progress=self.watch,
                                                         stop=self.stopping.is_set)))

    def press_delete(self):
        """Show what would go, and ask"""
        asked = []

        def refuse(question):
            asked.append(question)
            return "no"

        with self.errors_as_messages():
            self.plans.delete(self.guid.value, self.folder.value, self.relatives.value, ask=refuse)
            self.clear()
            self.text.value = panel_html.text_html(asked[0].removesuffix("[y/N] "))
            self.confirm.layout.display = None

    def press_sure(self):
        with self.errors_as_messages():
            gone = self.plans.delete(self.guid.value, self.folder.value, self.relatives.value, yes=True)
            self.press_keep()
            self.refresh()
            self.say(f"{len(gone)} files deleted")

    def press_keep(self):
        self.clear()
        self.confirm.layout.display = "none"

    def press_zip(self):
        with self.errors_as_messages():
            packed = self.plans.pack(self.guid.value, self.folder.value)
            self.text.value = panel_html.download(packed, b64encode(packed.read_bytes()).decode())

    def press_look(self):
        guid, path, sentence = self.guid.value, self.folder.value, self.prompt.value.strip() or None
        self.begin(lambda: self.open("looking inside", lambda: self.plans.microscope(guid, sentence, path)))

    def press_diary(self):
        guid, path = self.guid.value, self.folder.value
        self.begin(lambda: self.open("reading", lambda: self.plans.diary(guid, path=path)))

    # what runs

    def begin(self, work):
        """Do this in a thread, one at a time"""
        if self.busy:
            return
        self.busy = True
        self.stopping.clear()
        self.clear()
        self.enable()
        self.thread = start_thread(lambda: self.job(work))

    def job(self, work):
        try:
            with self.machine, self.errors_as_messages():
                work()
        finally:
            self.busy = False
            self.enable()
        if self.wish != self.answered:
            self.changed()

    def enable(self):
        for each in (self.run, self.sure, self.folder):
            each.disabled = self.busy
        for each in (self.look, self.diary, self.zip):
            each.disabled = self.busy or not self.guid.value
        self.stop.disabled = not self.busy
        self.resume.disabled = self.busy or not self.guid.value

    def clear(self):
        self.message.value = self.text.value = ""
        self.live.hide()
        show(self.chart, b"")
        self.inside.value = ""

    @contextmanager
    def errors_as_messages(self):
        """Errors inside are shown as one sentence"""
        try:
            yield
        except (BadInput, RunFailed) as error:
            self.say(str(error), wrong=True)
        except Exception as error:          # a mistake of ours: a traceback would be lost in a thread
            self.say(f"this should not have happened: {type(error).__name__}: {error}", wrong=True)

    def say(self, text, wrong=False):
        self.message.value = panel_html.message_html(text, wrong)

    def watch(self, event):
        """Every event of a run, in its thread"""
        if words := getattr(event, "words", ""):
            self.say(words)
        self.live(event)
        if self.stopping.is_set():
            self.live.say("stopping …")

    def learned(self, run):
        """After train and finetune: the run is chosen; its card, or how to go on"""
        self.refresh(run.guid)
        self.live.say(run.report.stop_reason)
        if run.report.stop_reason == "interrupted":
            self.say(f"{run.guid} is saved at step {self.live.step:,}; Resume goes on as if it had never stopped")
        else:
            self.show_card(run.guid)

    def show_card(self, guid):
        self.text.value = panel_html.text_html(card(self.plans.info(guid, self.folder.value)))
        chart = self.workspace.path("chart", guid)
        show(self.chart, chart.read_bytes() if chart.exists() else b"")

    def open(self, doing, make):
        """A page below everything else"""
        self.live.say(f"{doing} …")
        self.inside.value = make()._repr_html_()
        self.live.say("")

    def write(self, guid):
        """The prompt and what the baby goes on with, as it comes"""
        written, when = [self.prompt.value], [0.0]

        def stream(piece):
            written.append(piece)
            if perf_counter() - when[0] > 0.1:
                when[0] = perf_counter()
                self.text.value = panel_html.text_html("".join(written))
            if self.stopping.is_set():
                raise Stopped

        try:
            done = self.plans.inference(guid, self.prompt.value, stream=stream, path=self.folder.value,
                                        **{name: each.value for name, each in self.sampling.items()})
            kept = any(each.time == done.time for each in self.workspace.completions(guid))
            self.live.say(f"{done.tokens:,} tokens, {'kept in outputs/' if kept else 'not kept: the workspace cannot be written'}; "
                          f"seed {done.seed}")
            if done.replaced:
                self.say("new to this baby: " + ", ".join(f"{new!r} is read as {old!r}" for new, old in done.replaced.items()))
        except Stopped:
            self.live.say("stopped; not kept")
        self.text.value = panel_html.text_html("".join(written))


NONE = "there is no run in this folder yet; train makes one"


def run_in_words(run):
    """A run in a line, as the picker shows it"""
    cfg, report = run.config, run.report
    words = [run.name[:8] + run.name[36:], f"{cfg.c_attention} + {cfg.c_network}" if cfg else "damaged"]
    if report:
        words += [report.input.name if report.input else "", f"{report.best_valid_loss:.3f}" if report.best_valid_loss else "",
                  state(vars(report), run.in_use, run.resumable)]
    return " · ".join(filter(None, words))


def start_thread(work):
    """Start this in a thread, which is returned; where threads do not exist, run it now"""
    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        work()
    return thread


def is_conversations(text):
    """Whether a text is a file of conversations"""
    return bool(text) and text.endswith(".jsonl")


def uploaded_file(value):
    """(name, bytes) of what was uploaded, as ipywidgets 7 says it, {name: {content}}, or as 8 does, ({name, content}, ...)"""
    if isinstance(value, dict):
        return [(name, each["content"]) for name, each in value.items()]
    return [(each["name"], each["content"]) for each in value]
