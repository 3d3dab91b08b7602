"""How the tests use a panel without a browser: a small model, what is chosen, what the widgets hold."""
import re
from html import unescape

import pytest

widgets = pytest.importorskip("ipywidgets", reason="ipywidgets is not installed: pip install -e '.[test]'")

from littlebaby.show.panel_job import JOBS  # noqa: E402

TINY = dict(n_layers=1, n_emb=32, n_heads=2, n_ctx=32, batch_size=4, n_steps=30, n_completion=60, n_sample=20, s_eval=10, s_vocabulary=300)


def choose(panel, **settings):
    for name, value in settings.items():
        panel.fields.control(name).value = value


def wait(panel):
    JOBS.thread.join(600)
    assert not JOBS.running


def text(widget):
    return unescape(re.sub(r"<[^>]+>", " ", widget.value.replace("<wbr/>", "")))


def shown(part):
    return part.layout.display != "none"
