"""Ready for a browser tab: the core needs nothing that Pyodide has not, neither threads nor processes. docs/notebooks.md says what was run.

Here Pyodide is a list: what version 314.0.7 ships, by its pyodide-lock.json, and which parts of Python it lacks.
"""
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = {"numpy": "2.4.6", "regex": "2026.3.32", "pydantic": "2.12.5", "threadpoolctl": "3.6.0", "tqdm": "4.67.3", "matplotlib": "3.10.8",
           "urllib3": "2.6.3", "safetensors": "0.7.0"}
PURE = {"filelock", "pooch", "cyclopts"}            # not shipped; wheels without machine code, so that micropip brings them
IMPORTED = {*SHIPPED, "filelock",                   # and what these import themselves
            "PIL", "annotated_types", "contourpy", "cycler", "dateutil", "fontTools", "kiwisolver", "mpl_toolkits", "packaging",
            "pydantic_core", "pyparsing", "six", "typing_extensions", "typing_inspection"}
MISSING = {"resource", "_posixshmem"}                # of Python itself
TINY = dict(n_layers=1, n_emb=32, n_heads=2, n_ctx=32, batch_size=4, n_steps=6, s_eval=3, n_completion=20, n_sample=10, seed=1)

TAB = """
    import os, subprocess, sys, threading

    class Tab:
        '''Refuses what Pyodide lacks'''
        def find_spec(self, name, path=None, target=None):
            top = name.split(".")[0]
            known = sys.stdlib_module_names | {imported} | {{"littlebaby"}}
            if name in {missing} or top not in known and not top.startswith("_"):
                raise ModuleNotFoundError(f"a tab has no {{name}}", name=name)

    def refuse(error):
        def start(*_, **__):
            raise error
        return start

    sys.meta_path.insert(0, Tab())
    threading.Thread.start = refuse(RuntimeError("can't start new thread"))
    subprocess.Popen.__init__ = os.fork = refuse(OSError(138, "emscripten does not support processes."))
    os.cpu_count = lambda: 1
    if hasattr(os, "sched_getaffinity"):
        del os.sched_getaffinity

    import littlebaby as lb
    run = lb.train(path={home!r}, progress=False, **{tiny})
    assert lb.inference(run.guid, "The bear", path={home!r}, max_tokens=5).tokens == 5
    assert "Under the microscope" in lb.microscope(run.guid, "The bear", {home!r})._repr_html_()
    tuned = lb.finetune(run.guid, "nursery", path={home!r}, progress=False, n_steps=2)
    assert lb.delete(tuned.guid, {home!r}, yes=True)
    print(run.report.best_valid_loss)
"""


def test_every_dependency_is_shipped_or_pure():
    requirements = pytest.importorskip("packaging.requirements", reason="packaging is not installed: pip install packaging")
    found = [requirements.Requirement(line) for line in re.findall(
        r'"([^"]+)"', re.search(r"(?ms)^dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text())[1])]
    assert {each.name for each in found} == {*SHIPPED, *PURE}
    assert [each.name for each in found if each.name in SHIPPED and SHIPPED[each.name] not in each.specifier] == []


def test_the_core_works_where_there_are_no_threads_and_only_what_a_tab_has(tmp_path):
    import littlebaby as lb

    code = textwrap.dedent(TAB.format(missing=MISSING, imported=IMPORTED, home=str(tmp_path / "tab"), tiny=TINY))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    outside = lb.train(path=tmp_path / "outside", progress=False, **TINY)
    assert float(done.stdout) == pytest.approx(outside.report.best_valid_loss, rel=1e-6)
