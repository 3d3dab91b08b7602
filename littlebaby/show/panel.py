"""The plans as buttons in a notebook: choose, estimate, run, watch, stop, resume, generate, inspect, delete.

    lb.panel()                  as the last line of a cell

The module with the plans is an argument, because this package must not import it. A plan runs in a thread of its own, so the notebook
stays usable; where threads cannot start, as in a browser's Python, it runs in the calling cell. One plan runs at a time in a process, and
every panel shows it and can stop it. Every error is shown as one sentence.
"""
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from ..errors import BadInput
from ..runs.presets import DEFAULTS, default_preset, preset, presets
from ..runs.store import Workspace
from . import panel_html
from .formatting import plural
from .panel_estimate import Estimate
from .panel_fields import Fields
from .panel_help import ABOUT_INPUTS, About, Help, setting_help
from .panel_inference import Generation
from .panel_job import JOBS
from .panel_outcome import Outcome
from .panel_runs import NONE, WITH_MODEL, Choices, Elsewhere, is_conversations, run_label, uploaded_file, why_not
from .panel_school import School
from .progress import Began

PLANS = ("train", "finetune", "school", "inference", "info", "delete")
TRAINING = ("train", "finetune")
MAIN = ("c_attention", "c_network", "n_layers", "n_emb", "n_heads", "n_ctx", "n_steps")      # settings that are shown beside the preset
FOLDERS = dict(attentions="c_attention", networks="c_network")
RUN = ("Run", "play", "success")
RUN_BUTTON = dict(train=RUN, finetune=RUN, school=RUN, inference=RUN, info=("Show", "eye", "success"), delete=("Delete …", "trash", ""))


class Panel:
    """The widgets and what they do. plans: the module littlebaby.plans      path: the workspace, as for all plans"""

    def __init__(self, plans: Any, path: str | Path | None = None) -> None:
        self.plans, self.runs = plans, dict[str, Any]()
        self.kept = dict[str, Choices]()                         # of each plan that was left
        self.source, self.listing = "", False                    # what the fields were filled from; whether the panel changes a choice
        self.estimate = Estimate(self.chosen_training, self.choice_key, lambda: self.plan.value in TRAINING)
        self.fields, self.generation, self.elsewhere = Fields(self.changed), Generation(), Elsewhere()
        self.school = School(self.fields.keys)
        self.own = self.outcome = Outcome(lambda guid: self.workspace.load_report(guid).evaluations)
        self.make_choices(str(Workspace(path).root))
        self.make_buttons()
        self.arrange()
        JOBS.join(self)
        self.choose_folder()
        if JOBS.running:
            self.follow()

    def _ipython_display_(self):
        display(self.view)

    def make_choices(self, root):
        box = lambda kind, name, **more: kind(description=name, style=dict(description_width="82px"),
                                              layout=widgets.Layout(width="360px", max_width="100%"), **more)
        self.folder = box(widgets.Text, "folder", value=root, continuous_update=False)
        self.folder.layout = widgets.Layout(width="auto", flex="1 1 auto")
        self.plan = widgets.ToggleButtons(options=PLANS, style=dict(button_width="88px"))
        self.guid = box(widgets.Dropdown, "run", options=[("no run yet", "")])
        self.guid.layout = widgets.Layout(width="auto", max_width="640px", margin="6px 2px 2px")
        self.preset = box(widgets.Dropdown, "preset", options=list(presets()), value="nursery")
        indented = lambda width: widgets.HTML(layout=widgets.Layout(max_width=width, margin="0 0 4px 92px"))
        self.preset_meaning, self.run_summary = indented("268px"), indented("548px")
        self.preset_meaning.layout.min_height = "56px"           # three lines: no button moves when the text changes the preset
        self.input = box(widgets.Combobox, "text", value="nursery", continuous_update=False, placeholder="a file, or a name in inputs/")
        self.upload = widgets.FileUpload(accept=".txt,.jsonl", multiple=False, description="upload a file",
                                         layout=widgets.Layout(width="140px", margin="2px 2px 6px 92px"))
        self.with_finetunes = widgets.Checkbox(value=False, description="also its finetunes", indent=False)
        for name in ("folder", "plan", "guid", "preset", "input", "upload"):
            getattr(self, name).add_class(f"lb-{name}")
        for widget, act in ((self.folder, self.choose_folder), (self.guid, self.choose_run), (self.preset, self.changed),
                            (self.input, self.choose_text), (self.upload, self.upload_file)):
            widget.observe(lambda _, act=act: act(), "value")
        self.plan.observe(lambda change: self.choose_plan(change.old), "value")
        generation = self.generation
        for widget in (self.input, self.with_finetunes, generation.prompt, generation.seed, *generation.sampling.values()):
            widget.observe(lambda _: self.changed(), "value")

    def make_buttons(self):
        def button(name, icon, style, act):
            made = widgets.Button(description=name, icon=icon, button_style=style, layout=widgets.Layout(width="auto"))
            made.on_click(lambda _: act())
            return made

        self.run, self.stop = button("Run", "play", "success", self.press_run), button("Stop", "stop", "warning", JOBS.stop)
        self.resume, self.zip = button("Resume", "forward", "info", self.press_resume), button("Zip", "download", "", self.press_zip)
        self.microscope = button("Microscope", "search", "", self.press_microscope)
        self.why = button("Why", "question", "", self.press_why)
        self.diary = button("Diary", "book", "", self.press_diary)
        self.delete_files = button("Delete", "trash", "danger", self.press_delete_files)
        self.keep_files = button("Keep", "undo", "", self.press_keep_files)

    def arrange(self):
        """The layout; `parts`: {plan: the widgets shown for it}, without the widgets that are always shown"""
        column = lambda *inside, **layout: widgets.VBox(inside, layout=layout)
        row = lambda *inside, **layout: widgets.HBox(inside, layout=layout)
        self.all_settings = widgets.Accordion([self.fields.view], selected_index=None)
        self.all_settings.set_title(0, "all settings, with meaning and range")
        self.help = Help(ABOUT_INPUTS | {name: setting_help(self.fields.keys[name]) for name in MAIN}, 4)
        label = widgets.Layout(width="86px", flex="0 0 auto")
        named = {name: row(widgets.HTML(self.help.label(name), layout=label), self.fields.control(name)) for name in MAIN}
        for name, each in named.items():
            self.help.follow(name, each, self.fields.control(name))
        self.help.follow("preset", self.preset)
        self.help.follow("text", self.input)
        self.about = {folder: About(folder) for folder in FOLDERS}
        abouts = row(*(each.view for each in self.about.values()), flex_flow="row wrap", grid_gap="14px")
        cost = column(self.estimate.view, abouts, flex="1 1 480px", min_width="0", grid_gap="10px")
        main = column(*named.values(), self.help.view)
        choices = column(self.preset, self.preset_meaning, self.input, self.upload, main, width="370px", max_width="100%")
        training = [choices, cost, self.all_settings]
        inference = [self.generation.view, self.microscope, self.why]
        self.parts = dict(train=[self.preset, self.preset_meaning, *training], finetune=training, school=[self.school.view],
                          inference=inference, info=[self.diary, self.zip], delete=[self.with_finetunes])
        chosen = row(choices, cost, self.school.view, self.generation.view, flex_flow="row wrap", align_items="flex-start", grid_gap="14px",
                     margin="6px 0")
        self.reason = widgets.HTML()
        self.reason.add_class("lb-reason")
        buttons = row(self.run, self.microscope, self.why, self.stop, self.resume, self.diary, self.zip, self.with_finetunes,
                      self.reason, align_items="center", flex_flow="row wrap")
        self.confirm, self.slot = row(self.delete_files, self.keep_files), column(self.own.view)
        self.view = column(self.folder, self.plan, self.guid, self.run_summary, chosen, self.all_settings, buttons, self.confirm,
                           self.slot, widgets.HTML(panel_html.STYLE))
        self.view.add_class("lb-panel")

    # choices

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.folder.value.strip() or None)

    def choose_folder(self):
        with self.outcome.errors_as_messages():
            self.folder.value = str(self.workspace.root)         # absolute: it stays the same if the current folder changes
            self.input.options = ["nursery", *(name for name in self.workspace.inputs() if name != "nursery.txt")]
            self.choose_plan()

    def choose_plan(self, left: str | None = None) -> None:
        """Show the widgets that this plan needs, and no others, with the choices that were made for it. left: the plan before"""
        plan = self.plan.value
        self.kept[left or plan] = Choices(self.guid.value, self.input.value, self.source, self.fields.changes())
        self.run.description, self.run.icon, self.run.button_style = RUN_BUTTON[plan]
        self.guid.description = "resume" if plan == "train" else "run"
        if not JOBS.running:
            self.show(self.own)
            self.own.change_plan(plan if left else "")
        if kept := self.kept.get(plan):
            self.listing, self.input.value, self.listing = True, kept.input, False      # from left to right
        self.refresh(kept.run if kept else "" if left == "train" else None)
        self.fill()
        for part in (part for parts in self.parts.values() for part in parts):     # last: what is displayed is filled in
            part.layout.display = None if part in self.parts[plan] else "none"

    def refresh(self, select: str | None = None) -> None:
        """List the runs of the folder, the newest first; for train only those that can be resumed"""
        with self.outcome.errors_as_messages():
            plan = self.plan.value
            runs = [*(self.workspace.babies() if plan not in ("train", "delete") else []), *self.workspace.list()]
            self.runs = {run.name: run for run in reversed(runs) if plan != "train" or run.resumable}
            chosen, options = select or self.guid.value, [(run_label(run), name) for name, run in self.runs.items()]
            able = [name for name, run in self.runs.items() if run.has_model or plan not in WITH_MODEL] or [*self.runs, ""]
            self.guid.layout.display = "none" if plan == "train" and not options else None
            self.listing = True
            self.guid.options = options or [("no run to resume" if plan == "train" else "no run yet", "")]
            self.guid.value = chosen if chosen in self.runs and select != "" else able[0]
        self.listing = False
        self.show_run()

    def choose_run(self):
        if not self.listing:
            self.forget_error()
            self.show_run()

    def show_run(self):
        """Show the chosen run below the picker, and what can be done with it"""
        self.confirm.layout.display = "none"
        run = self.runs.get(self.guid.value)
        self.run_summary.value = panel_html.run_summary(run) if run else ""
        self.enable()
        if self.plan.value == "finetune":
            self.fill()
        else:
            self.follow_choice()

    def choose_text(self):
        """Choose the default preset of the text, unless another preset is chosen; changed settings stay changed"""
        if self.plan.value == "train" and self.preset.value in DEFAULTS and not self.listing:
            changes, self.preset.value = self.fields.changes(), default_preset(self.input.value.strip())
            self.fields.fill(preset(self.preset.value), changes)

    def fill(self):
        """Fill in the settings of the preset, or those that a finetune derives from its base, with the changes that the user has made"""
        plan = self.plan.value
        self.preset_meaning.value = panel_html.hint(presets()[self.preset.value])
        source = f"{plan} {self.preset.value if plan == 'train' else self.guid.value}"
        if plan in TRAINING and source != self.source:
            kept = self.kept.get(plan)
            with self.outcome.errors_as_messages():
                settings = preset(self.preset.value) if plan == "train" else self.derived_settings()
                self.fields.fill(settings, kept.changes if kept and kept.source == source else {})
                self.source = source
        self.follow_choice()

    def derived_settings(self):
        """The settings of a finetune of the chosen run; the defaults where there is none"""
        return self.plans.finetune_config(self.workspace.load_config(self.guid.value)).model_dump() if self.guid.value else {}

    def changed(self):
        self.forget_error()
        self.fill()

    def follow_choice(self):
        """Show what the choice means: the cost, what the variants do, whether the prompt fits"""
        if self.plan.value in TRAINING:
            for folder, key in FOLDERS.items():
                self.about[folder].show(self.fields.values[key])
            self.estimate.request()
        elif self.plan.value == "inference":
            self.generation.check_length(self.workspace, self.guid.value)

    def forget_error(self):
        if not JOBS.running:
            self.outcome.forget_error()

    def upload_file(self):
        """Store an uploaded file in inputs/ and choose it"""
        with self.outcome.errors_as_messages():
            for name, content in uploaded_file(self.upload.value):
                self.workspace.write_input(name, [bytes(content)])
                self.input.options = [*self.input.options, name]
                self.input.value = name

    def choice_key(self):
        """What the training that Run would start depends on"""
        return self.plan.value, self.source, self.input.value, self.folder.value, repr(self.fields.changes())

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
        more = dict(path=path, progress=self.watch, stop=JOBS.stopping.is_set, **self.fields.changes())
        if plan == "train":
            self.begin("the training", lambda: self.after_training(self.plans.train(text, self.preset.value, **more), plan))
        elif not guid:
            self.outcome.say(NONE, wrong=True)
        elif plan == "finetune":
            source = dict(chat=text) if is_conversations(text) else dict(input=text)
            self.begin("the finetune", lambda: self.after_training(self.plans.finetune(guid, **source, **more), plan))
        elif plan == "school":
            more = dict(path=path, progress=self.watch, stop=JOBS.stopping.is_set, **self.school.settings())
            self.begin("school", lambda: self.after_training(self.plans.school(guid, **more), plan))
        elif plan == "inference":
            self.begin("the generation", lambda: self.generation.run(self.plans, guid, self.workspace, self.own))
        elif plan == "info":
            self.begin("the card", lambda: self.show_result(guid))
        else:
            self.press_delete()

    def press_resume(self):
        guid, plan = self.guid.value, self.plan.value
        self.begin("the training", lambda: self.after_training(
            self.plans.train(resume=guid, path=self.folder.value, progress=self.watch, stop=JOBS.stopping.is_set), plan))

    def press_delete(self):
        """Show the files that would be deleted, and ask; refuse where the run is in use"""
        asked = []

        def refuse(question):
            asked.append(question)
            return "no"

        with self.outcome.errors_as_messages():
            self.clear()
            self.plans.delete(self.guid.value, self.folder.value, self.with_finetunes.value, ask=refuse)
            files = self.workspace.files_to_delete(self.guid.value, self.with_finetunes.value)
            self.outcome.text.value = panel_html.question(asked[0].splitlines()[-1].removesuffix(" [y/N] "), files)
            self.confirm.layout.display = None

    def press_delete_files(self):
        with self.outcome.errors_as_messages():
            deleted = self.plans.delete(self.guid.value, self.folder.value, self.with_finetunes.value, yes=True)
            self.press_keep_files()
            self.refresh()
            self.outcome.say(f"{plural(len(deleted), 'file')} deleted")

    def press_keep_files(self):
        self.clear()
        self.confirm.layout.display = "none"

    def press_zip(self):
        with self.outcome.errors_as_messages():
            packed = self.plans.pack(self.guid.value, self.folder.value)
            self.outcome.text.value = panel_html.download(packed, b64encode(packed.read_bytes()).decode())

    def press_microscope(self):
        guid, path, sentence = self.guid.value, self.folder.value, self.generation.prompt.value.strip() or None
        self.begin("the microscope", lambda: self.show_page("examining the model", lambda: self.plans.microscope(guid, sentence, path)))

    def press_why(self):
        guid, path, text = self.guid.value, self.folder.value, self.generation.prompt.value
        ask = lambda: self.plans.cause(guid, text if text.strip() else None, path=path, progress=False)
        self.begin("the question why", lambda: self.show_page("removing every part of the model in turn", ask))

    def press_diary(self):
        guid, path = self.guid.value, self.folder.value
        self.begin("the diary", lambda: self.show_page("comparing runs", lambda: self.plans.diary(guid, path=path)))

    # the running job

    def begin(self, name: str, work: Callable[[], Any]) -> None:
        JOBS.begin(name, self.own, work)

    def follow(self) -> None:
        """Show the running job"""
        self.show(JOBS.outcome)
        self.confirm.layout.display = "none"
        self.enable()

    def after_job(self) -> None:
        """Show what can be done after the job of this panel or of another one"""
        self.refresh()
        self.estimate.request()

    def show(self, outcome: Outcome) -> None:
        if outcome is not self.outcome:
            self.outcome, self.slot.children = outcome, [outcome.view]

    def clear(self) -> None:
        self.show(self.own)
        self.own.clear()

    def enable(self) -> None:
        """Enable the widgets that can be used now"""
        busy, plan, run, reason = bool(JOBS.running), self.plan.value, self.runs.get(self.guid.value), JOBS.reason_to_wait()
        reason = reason or why_not(plan, run)
        self.reason.value, self.run.tooltip, self.run.disabled = panel_html.hint(reason) if reason else "", reason, bool(reason)
        self.delete_files.disabled = self.folder.disabled = busy
        for each in (self.diary, self.zip):
            each.disabled = busy or not run
        self.microscope.disabled = self.why.disabled = busy or not (run and run.has_model)
        self.elsewhere.wait(self.workspace, run, self.refresh)
        self.stop.disabled = not busy
        self.stop.layout.display = None if busy or plan in (*TRAINING, "school", "inference") else "none"
        self.resume.disabled = busy or not (run and run.resumable)
        self.resume.layout.display = None if plan == "train" or run and run.resumable and plan != "delete" else "none"

    def watch(self, event: Any) -> None:
        """Show an event of a run; called in the thread of the run"""
        if isinstance(event, Began):
            self.own.say(event.message)
        self.own.live(event)
        if JOBS.stopping.is_set():
            self.own.live.say("stopping …")

    def after_training(self, run: Any, plan: str) -> None:
        """Select the new run in its plan, inference and info, and show it; if it was interrupted, say how to resume it"""
        for kept in (self.kept[each] for each in ("inference", "info") if each in self.kept):
            kept.run = run.guid
        self.refresh(run.guid if self.plan.value in (plan, "inference", "info") else None)
        self.own.live.say(run.report.stop_reason)
        if run.report.stop_reason == "interrupted":
            self.own.say_stopped(plan, f"{run.guid} is saved at step {self.own.live.step:,}; Resume continues as if it had not stopped")
        else:
            self.show_result(run.guid)

    def show_result(self, guid: str) -> None:
        """Show a run: summary, picture and card"""
        chart = self.workspace.path("chart", guid)
        self.own.show_run(self.plans.info(guid, self.folder.value), chart.read_bytes() if chart.exists() else b"")

    def show_page(self, doing: str, make: Callable[[], Any]) -> None:
        """Show a page below everything else"""
        self.own.live.say(f"{doing} …")
        self.own.page.value = make()._repr_html_()
        self.own.live.say("")
