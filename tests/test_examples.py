"""Everything that `import littlebaby as lb` offers is documented in full, and its examples are true.

In the examples `lb` is littlebaby, `np` NumPy, and `last` the run of the fixture `home`, a tiny model of inputs/nursery_5kB_0.txt.
"""
import doctest
import inspect
import re
import shutil

import numpy as np
import pytest
from pydantic import BaseModel

import littlebaby as lb
from littlebaby.check import bench
from littlebaby.inference.chat import Conversation

FINDER = doctest.DocTestFinder(recurse=False)
ERRORS = {"lb.BadInput", "lb.RunFailed"}                          # raised, not called: the package's own docstring shows one
OFFERED = {f"lb.{name}": getattr(lb, name) for name in lb.__all__ if callable(getattr(lb, name)) and f"lb.{name}" not in ERRORS}
OFFERED["Conversation"] = Conversation
METHODS = {f"{name}.{method}": function for name, each in OFFERED.items() if inspect.isclass(each) and not issubclass(each, BaseModel)
           for method, function in vars(each).items() if inspect.isfunction(function) and not method.startswith("_")}
DOCUMENTED = OFFERED | METHODS


def parameters(it):
    """The parameters of a function or class that a caller gives; the fields of a record say themselves what they mean"""
    if inspect.isclass(it) and issubclass(it, BaseModel):
        return []
    return [each for each in inspect.signature(it).parameters.values() if each.name != "self"]


def documented_names(doc):
    """The names that the sections Args and Attributes of a docstring explain"""
    found, inside = set(), False
    for line in inspect.cleandoc(doc).splitlines():
        if line and not line.startswith(" "):
            inside = line in ("Args:", "Attributes:")
        elif inside and (named := re.match(r"    (\w+(?:, \w+)*): \S", line)):
            found |= set(named[1].split(", "))
    return found


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_argument_and_result_has_a_type_a_meaning_and_an_example(name):
    it, doc = DOCUMENTED[name], DOCUMENTED[name].__doc__ or ""
    assert ">>> " in doc, f"{name} has no example"
    untyped = [each.name for each in parameters(it) if each.annotation is inspect.Parameter.empty]
    assert not untyped, f"{name} has no type for {', '.join(untyped)}"
    assert inspect.isclass(it) or inspect.signature(it).return_annotation is not inspect.Signature.empty, f"{name} has no return type"
    unexplained = [each.name for each in parameters(it) if each.name not in documented_names(doc)]
    assert not unexplained, f"{name} does not explain {', '.join(unexplained)}"
    if inspect.isclass(it) and issubclass(it, BaseModel):
        assert all(field.description for field in it.model_fields.values())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with one run"""
    path = tmp_path_factory.mktemp("examples")
    lb.nursery("5kB", path=path)
    lb.train("nursery_5kB_0.txt", path=path, n_layers=1, n_emb=16, n_heads=2, n_ctx=32, batch_size=4, n_steps=5, n_completion=0,
             n_sample=0, c_device="cpu", progress=False)
    return path


@pytest.mark.parametrize("name", ["lb", *DOCUMENTED])
def test_every_example_is_true(home, tmp_path, monkeypatch, name):
    if name == "lb.panel":
        pytest.importorskip("ipywidgets")
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("LITTLEBABY_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nltk" / "corpora").mkdir(parents=True)
    (tmp_path / "nltk" / "corpora" / "poems.txt").write_text("A poem.\n")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk"))
    monkeypatch.setattr(bench, "SECONDS", 0.0)                   # a few steps are enough to see what a Bench holds
    for example in FINDER.find(DOCUMENTED.get(name, lb), name, module=False, globs=dict(lb=lb, np=np, Config=lb.Config)):
        failed = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=failed.append)
        assert not failed, "".join(failed)
