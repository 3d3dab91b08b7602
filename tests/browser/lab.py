"""A JupyterLab of one's own on this machine, and a Chromium that looks at it."""
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
SETTINGS = {"apputils-extension/notification": '{"fetchNews": "false"}',
            "notebook-extension/tracker": '{"windowingMode": "none"}'}         # else cells out of sight are not on the page
PATIENCE = 300_000          # ms after which something has not come, on a machine however busy


def missing():
    """Why no browser can be driven here, "" where one can"""
    found = [name for name in ("jupyterlab", "ipywidgets", "playwright") if not installed(name)]
    if found:
        return f"{', '.join(found)} not installed: pip install -e '.[browser]'"
    return "" if chromium() else "no Chromium on this machine: install the system's package chromium"


def installed(name):
    from importlib.util import find_spec

    return find_spec(name) is not None


def chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def lab(folder, home):
    """JupyterLab on `folder`, its own settings and a fresh workspace under `home`; gives the address of its files, with the token.
    The server is ended by its own process."""
    places = {f"JUPYTER_{what}_DIR": str(home / what.lower()) for what in ("CONFIG", "DATA", "RUNTIME")}
    around = {**os.environ, **places, "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
              "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "IPYTHONDIR": str(home / "ipython"), "JUPYTER_PLATFORM_DIRS": "1"}
    log = home / "lab.log"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--ServerApp.port_retries=0",
               f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=tok", "--ServerApp.allow_root=True",
               "--LabApp.expose_app_in_browser=True", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    for place, setting in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{place}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(setting)
    with open(log, "w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=around)
    try:
        yield f"{address(server, log)}/lab/tree/{{}}?token=tok&reset"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def address(server, log):
    """Where the server listens, as its log says"""
    for _ in range(PATIENCE // 100):
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


@contextmanager
def page(width=1280, height=900):
    """A Chromium page; `page.errors` holds what its console complained of"""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=QUIET)
        try:
            looked = browser.new_page(viewport=dict(width=width, height=height), accept_downloads=True)
            looked.set_default_timeout(PATIENCE)
            looked.errors = []
            looked.on("console", lambda message: looked.errors.append(message.text) if message.type == "error" else None)
            yield looked
        finally:
            browser.close()


def open_notebook(looked, url):
    """The notebook alone on the page, its kernel idle"""
    looked.goto(url)
    looked.wait_for_selector(".jp-Notebook .jp-Cell")
    looked.wait_for_function("jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    if looked.locator(".jp-SideBar .lm-TabBar-tab.lm-mod-current[title^='File Browser']").count():
        looked.keyboard.press("Control+b")          # the file browser takes room


def run_all(looked):
    looked.click("text=Run >> nth=0")
    looked.click("text=\"Run All Cells\"")


@contextmanager
def panel_alone(folder, home, width=1280, height=1400):
    """A notebook whose only cell shows the panel of the workspace `home`, run; gives the page, on which `panel` is the panel.
    folder: an empty one for the files of the server"""
    import nbformat

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import littlebaby as lb\nlb.panel()")],
                                    metadata=dict(kernelspec=dict(name="python3", display_name="Python 3", language="python")))
    nbformat.write(book, home / "panel.ipynb")
    old = os.environ.get("LITTLEBABY_HOME")
    os.environ["LITTLEBABY_HOME"] = str(home)
    try:
        with lab(home, folder) as url, page(width, height) as looked:
            open_notebook(looked, url.format("panel.ipynb"))
            run_all(looked)
            looked.wait_for_selector(".lb-panel")
            looked.panel = looked.locator(".lb-panel")
            yield looked
    finally:
        os.environ.pop("LITTLEBABY_HOME") if old is None else os.environ.update(LITTLEBABY_HOME=old)


def button(looked, name):
    """The first button of the panel with this word on it"""
    return looked.panel.locator("button.jupyter-button", has_text=name).first


def fill(looked, **settings):
    """Type values into the fields of the panel"""
    for name, value in settings.items():
        control = looked.panel.locator(f".lb-{name} input").first
        control.fill(str(value))
        control.press("Enter")


def theme(looked, name):
    """Change the theme of JupyterLab: Light or Dark"""
    looked.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {name}'}})")
    looked.wait_for_function(f"document.body.dataset.jpThemeLight === '{'true' if name == 'Light' else 'false'}'")


CLIPPING = (Path(__file__).parent / "clipping.js").read_text()
