"""The shell's side: exit codes, one object on stdout for --json, one sentence for every mistake, and never a traceback."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import littlebaby as lb
from littlebaby import cli, plans
from littlebaby.inference import sampling
from littlebaby.runs import records
from littlebaby.runs.presets import preset
from littlebaby.runs.settings import FOLDERS, Config, allowed, keys, sections
from littlebaby.runs.store import Workspace
from littlebaby.show import laws_report
from littlebaby.text import nursery

TINY = "--n_layers 1 --n_emb 16 --n_heads 2 --n_ctx 16 --batch_size 2 --n_completion 20 --n_sample 0".split()
COMMANDS = ("train finetune school inference chat evaluate delete info list fetch nursery preflight prepare check catalog sweep compare "
            "find_rate").split()


@pytest.fixture
def shell(capsys):
    """A command line -> exit code, stdout, stderr"""
    def run(*words):
        code = cli.main(words)
        out = capsys.readouterr()
        assert "Traceback" not in out.err
        return code, out.out, out.err

    return run


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("home")
    (path / "inputs").mkdir()
    (path / "inputs" / "tale.txt").write_text(nursery.corpus(5_000, 1)[0])
    return path


@pytest.fixture(scope="module")
def run(home):
    return lb.train("tale", path=home, progress=False, n_layers=1, n_emb=16, n_heads=2, n_ctx=16, batch_size=2, n_steps=4, n_completion=20)


def test_alone_it_greets_and_help_names_everything(shell):
    code, out, _ = shell()
    assert code == 0 and "littlebaby train" in out
    code, out, _ = shell("--help")
    assert code == 0 and all(f"  {name} " in out for name in COMMANDS)
    code, out, _ = shell("train", "--help")
    of_school = shell("school", "--help")[1]
    assert all((f"--{key.name} " in out) is (key.group != "school") and f"--{key.name} " in out + of_school for key in keys())
    assert "Settings: training:" in out
    assert "Epochs: passes over the" in out
    assert shell("--version") == (0, records.VERSION + "\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_path_json_and_help(shell, name):
    code, out, _ = shell(name, "--help")
    assert code == 0 and "--path" in out and "--json" in out


def test_train_inference_info_list_delete(shell, home):
    code, out, err = shell("train", "--input", "tale", "--path", str(home), "--json", "--n-steps", "4", "--lr", "0.01", "--b_tied", "true",
                           *TINY)
    done = json.loads(out)
    assert code == 0 and done["config"]["n_steps"] == 4 and done["config"]["r_learn"] == 0.01 and done["config"]["b_tied"] is True
    assert done["report"]["stop_reason"] == "finished" and len(done["completion"]["text"]) == 20 and "step" in err
    name, here = done["guid"], ("--path", str(home))

    code, out, _ = shell("inference", name[:8], "--prompt", "- Ada", "--max_tokens", "7", "--seed", "3", "--json", *here)
    written = json.loads(out)
    assert code == 0 and written["prompt"] == "- Ada" and written["tokens"] == 7 and written["settings"]["temperature"] == 0.8
    assert written["replaced"] == {"-": ""}
    again = "inference", name, "--prompt", "- Ada", "--max_tokens", "7", "--seed", "3", *here
    code, out, err = shell(*again)
    assert out == "- Ada" + written["text"] + "\n" and "unknown characters: - was dropped" in err
    assert "cut after 7 tokens; `--max_tokens 14` generates more\nsaved as " in err and len(list(home.glob(f"outputs/*{name}_*"))) == 2
    assert shell(*again, "--stream")[1] == out

    code, out, _ = shell("info", name, *here)
    assert code == 0 and out.startswith(name) and "mha + mlp, n_layers 1, n_emb 16" in out
    assert "parameters" in out and f"model_{name}.json" in out
    assert json.loads(shell("info", name, "--json", *here)[1])["config"] == done["config"]
    assert name in [each["guid"] for each in json.loads(shell("list", "--json", *here)[1])["runs"]]
    assert name in shell("list", *here)[1]

    code, out, _ = shell("delete", name, "--yes", "--json", *here)
    assert code == 0 and len(json.loads(out)["deleted"]) == 9
    assert shell("info", name, *here)[0] == 2


def test_finetune(shell, home, run):
    code, out, err = shell("finetune", run.guid, "--input", "tale", "--n_steps", "2", "--quiet", "--path", str(home))
    assert code == 0 and out.startswith(f"{run.guid}_finetuned  finished") and err == ""
    code, out, err = shell("finetune", run.guid, "tale", "--n_steps", "2", "--quiet", "--path", str(home))
    assert code == 0 and out.startswith(f"{run.guid}_finetuned_2  finished")
    assert "finetune needs either a text" in shell("finetune", run.guid, "--path", str(home))[2]


def test_delete_asks(shell, home, run, monkeypatch):
    import io
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, out, err = shell("delete", run.guid, "--path", str(home))
    assert (code, out) == (0, "nothing deleted\n") and f"model_{run.guid}.json" in err and "[y/N]" in err
    code, out, err = shell("delete", run.guid, "--json", "--path", str(home))
    assert code == 2 and "no answer" in err and json.loads(out)["code"] == 2
    assert Workspace(home).path("model", run.guid).exists()


def test_an_interrupted_run_says_how_to_go_on(shell, home):
    counting, plan = iter(range(9)), plans.train

    def stopped(*given, **settings):
        return plan(*given, stop=lambda: next(counting) == 2, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "train", stopped)
        code, out, err = shell("train", "tale", "--n_steps", "6", "--path", str(home), *TINY)
    guid = Workspace(home).resolve("last")
    hint = f"`littlebaby train --resume {guid[:8]} --path {home}` continues the run from "
    assert (code, out) == (130, "") and hint + "its last checkpoint" in err
    assert hint + "step 3" in shell("info", guid, "--path", str(home))[1]
    code, out, err = shell("train", "--resume", guid[:8], "--json", "--path", str(home))
    assert code == 0 and json.loads(out)["report"]["evaluations"][-1]["step"] == 6


@pytest.mark.parametrize("words, sentence", [
    ("trian", "the command is 'trian'"),
    ("train --n_layers", "--n_layers needs a value"),
    ("train --n_layers 1 --n_layers 2", "--n_layers is given twice"),
    ("train --inptu a.txt", "--inptu is not an option; did you mean --input?"),
    ("train --b_tied maybe", "b_tied is 'maybe'; allowed is true or false"),
    ("inference one two three", "'three' is one argument too many"),
    ("inference --sed 3", "--sed is not an option; did you mean --seed?"),
    ("info --json=5", "--json is '5'; allowed is true or false"),
    ("list foo", "'foo' is one argument too many"),
    ("inference --seed", "--seed needs a value"),
    ("delete", "`littlebaby delete` needs GUID"),
    ("train --input missing", "there is no file 'missing'"),
    ("train --preset nursry", "did you mean nursery"),
    ("train --lr 0.1 --r_learn 0.2", "r_learn is given twice"),
    ("info --pth x", "--path"),
    ("info", "there is no run in"),
    ("info ../../etc", "contains a path"),
    ("inference --max_tokens x", "max_tokens is 'x'; allowed is a whole number from 1"),
    ("finetune", "`littlebaby finetune` needs GUID"),
    ("fetch ftp://a.org/b", "is no address that can be fetched"),
    ("nursery much", "300kB, 10MB or 1GB"),
    ("check mah", "did you mean mha"),
    ("catalog norm", "did you mean norms"),
    ("catalog --write none.md", "cannot read none.md"),
    ("catalog --measure", "--measure belongs to --all: littlebaby catalog --all --measure"),
])
def test_a_mistake_is_a_sentence_and_exit_2(shell, words, sentence, tmp_path, monkeypatch):
    monkeypatch.setenv("LITTLEBABY_HOME", str(tmp_path))
    code, out, err = shell(*words.split())
    assert code == 2 and out == "" and sentence in err
    assert not list(tmp_path.iterdir())


def test_all_wrong_settings_are_told_at_once(shell, tmp_path):
    code, _, err = shell(*"preflight --n_layers 0 --n_lyers 3 --r_dropout 2 --c_attention mah --n_emb 3.5".split(), "--path", str(tmp_path))
    assert code == 2 and sorted(err.splitlines()) == sorted([
        "n_layers is 0; allowed is a whole number from 1 to 1,024; did you mean 1?",
        "'n_lyers' is not a setting; did you mean n_layers?",
        "r_dropout is 2; allowed is a number from 0 to 0.99; did you mean 0.99?",
        "c_attention is 'mah'; allowed are " + ", ".join(allowed("c_attention")) + "; did you mean mha?",
        "n_emb is 3.5; allowed is a whole number from 1 to 65,536; did you mean 4?"])


@pytest.mark.parametrize("error, code, sentence", [
    (lb.RunFailed("10 steps in a row had no finite loss"), 1, "no finite loss"), (MemoryError(), 1, "lower batch_size"),
    (KeyboardInterrupt(), 130, "interrupted")])
def test_failures_have_their_own_codes(shell, monkeypatch, error, code, sentence):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(plans, "train", fail)
    assert shell("train")[0] == code
    got, out, err = shell("train", "--json")
    assert got == code and sentence in err and json.loads(out) == dict(error=err.strip(), code=code)


def test_preflight(shell, home):
    code, out, _ = shell("preflight", "tale", "--quick", "--n_steps", "10", "--json", "--path", str(home), *TINY)
    about = json.loads(out)
    assert code == 0 and about["steps"] == 10 and about["total"] == sum(about["parts"].values()) and about["seconds"] is None
    code, out, _ = shell("preflight", "tale", "--quick", "--path", str(home), *TINY)
    assert f"{about['total']:,}" in out and "FLOPs per token" in out


def test_preflight_tells_the_published_parameters_too(shell, home):
    out = shell("preflight", "tale", "--preset", "gpt2", "--quick", "--path", str(home))[1]
    about = json.loads(shell("preflight", "tale", "--preset", "gpt2", "--quick", "--json", "--path", str(home))[1])
    assert about["published"] == 124_439_808 and about["published_vocabulary"] == 50257          # Radford et al.'s GPT-2 small
    assert about["total"] == 124_439_808 - 768 * (50257 - about["vocabulary"])
    assert "124,439,808 parameters with its own vocabulary of 50,257 tokens" in out and f"{about['total']:,}" in out
    assert "published" not in shell("preflight", "tale", "--quick", "--path", str(home), *TINY)[1]


@pytest.mark.parametrize("name", ["inference", "chat"])
def test_help_lists_the_sampling_settings_in_the_order_in_which_they_act(shell, name):
    order = [each for each in records.Settings.model_fields if each in sampling.ALLOWED]
    assert order == ["repetition_penalty", "temperature", "top_k", "top_p", "min_p"]
    places = [shell(name, "--help")[1].index(f"  --{each} ") for each in order]
    assert places == sorted(places)
    explained = sampling.__doc__.split("it does nothing:")[1]
    places = [explained.index(each.replace("_", " ", 1).replace("top ", "top-").replace("min ", "min-")) for each in order]
    assert places == sorted(places)


def test_check(shell, monkeypatch):
    rows = [dict(settings={}, gradient=1e-10, decoding=0.0, causality=0.0, life=[], kept=True)]
    monkeypatch.setattr(plans.estimates, "verdicts", lambda name: rows)
    code, out, _ = shell("check", "mha")
    assert code == 0 and "1.0e-10" in out and "kept" in out
    rows.append(dict(rows[0], settings=dict(n_kv_heads=1), gradient=0.5, life=["blocks.0.att.wo"], kept=False))
    code, out, _ = shell("check", "mha")
    assert code == 1 and "n_kv_heads=1" in out and "BROKEN" in out and "blocks.0.att.wo" in out
    assert json.loads(shell("check", "mha", "--json")[1]) == dict(variant="mha", kept=False, rows=rows)


def test_check_all(shell, monkeypatch, tmp_path):
    """A line for every variant with its worst numbers, a page with the same, and the code of a broken law"""
    rows = lambda name: [dict(settings=more, gradient=3e-9, decoding=0.0, causality=0.0, life=[], kept=name != "swi" or not more)
                         for more in ({}, dict(seed=1))]
    monkeypatch.setattr(plans.estimates, "verdicts", rows)
    monkeypatch.setattr(laws_report, "mistakes", lambda: [("attentions", 3, {"test_x.py": 3})])
    page = tmp_path / "laws.md"
    code, out, err = shell("check", "--all", "--write", str(page))
    assert code == 1 and out.count("BROKEN") == 2 and "3.0e-09" in out and err.split().count("mha") == 1
    assert page.read_text().count("BROKEN") == 2 and "| attentions | 3 | [test_x.py](../tests/test_x.py) 3 |" in page.read_text()
    data = json.loads(shell("check", "--all", "--json")[1])
    assert data["kept"] is False and data["rows"][-1]["cases"] == sum(row["cases"] for row in data["rows"][:-1]) > 100
    code, _, err = shell("check")
    assert code == 2 and "--all" in err


def test_catalog_and_nursery(shell, tmp_path):
    tables = json.loads(shell("catalog", "--json")[1])
    assert sorted(row["key"] for row in tables["config"]) == sorted(f"`{name}`" for name in Config.model_fields)
    kinds = "c_ a choice, or for c_device_ a property of the device; "
    assert shell("catalog", "config")[1].startswith(f"## config\n\nThe prefix of a setting, if it has one, gives its kind: {kinds}")
    assert shell("catalog", "norms")[1].startswith("## norms\n\n| name |")
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- catalog: norms -->\n<!-- end -->\nb\n")
    assert shell("catalog", "--write", str(page))[0] == 0 and "| `rmsnorm` |" in page.read_text() and page.read_text().endswith("-->\nb\n")
    done = json.loads(shell("nursery", "2kB", "--seed", "4", "--json", "--path", str(tmp_path))[1])
    assert done["bytes"] == os.path.getsize(done["path"]) <= 2000


def test_a_real_shell(tmp_path):
    """Its own process: exit code, a clean stdout, and a reader that goes away early is no failure"""
    call = lambda *words: subprocess.run([sys.executable, "-m", "littlebaby", *words], capture_output=True, text=True)
    done = call("list", "--json", "--path", str(tmp_path))
    listed = json.loads(done.stdout)
    assert [each["stop_reason"] for each in listed["babies"]] == ["finished"] * 5
    assert (done.returncode, listed["runs"], done.stderr) == (0, [], "")
    done = call("train", "--input", "none", "--path", str(tmp_path))
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    if os.name == "posix":
        piped = subprocess.run(f"{sys.executable} -m littlebaby catalog | head -1", shell=True, capture_output=True, text=True)
        assert piped.stdout == "## attentions\n" and piped.stderr == ""


def test_prepare_and_a_mixture(shell, home):
    for seed in (1, 2):
        (home / "inputs" / f"part{seed}.txt").write_text(nursery.corpus(4_000, seed)[0])
        code, out, _ = shell("prepare", f"part{seed}", "--tokenizer", "char", "--path", str(home), "--json", "--workers", "1", "--quiet")
        path = Path(json.loads(out)["path"])
        assert code == 0 and path == home / "inputs" / f"part{seed}.tok" and path.stat().st_size == json.loads(out)["bytes"] > 8000
    code, out, err = shell("prepare", "part1", "--path", str(home))
    assert code == 2 and out == "" and "part1.tok exists already" in err
    for word, near in (("abc", ""), ("bpee", "; did you mean bpe?")):
        assert shell("prepare", "part1", "--tokenizer", word, "--path", str(home)) == (2, "", (
            f"tokenizer is '{word}'; allowed are char, word, bpe{near}; the path of a tokenizer.json, and a run's GUID, 4 or more "
            f"characters of it or last, are allowed too\n"))
    assert "there is no run 0abc in" in shell("prepare", "part1", "--tokenizer", "0abc", "--path", str(home))[2]
    quick = ["--path", str(home), "--json", "--quiet", "--n_steps", "2", "--n_ctx", "32", "--n_layers", "1", "--n_completion", "0"]
    for words in (["--input", "part1.txt", "--input", "part2.txt"], ["part1.txt", "part2.txt"], ["--input", "part1.txt,part2.txt"]):
        code, out, err = shell("train", *words, *quick)
        assert code == 0 and json.loads(out)["report"]["input"]["name"] == "part1.txt and 1 more", err
    code, out, err = shell("train", "part1.txt:0.9,part2.txt:0.1", "--c-pack", "within", *quick)
    assert code == 0 and json.loads(out)["config"]["c_pack"] == "within", err


@pytest.mark.parametrize("words, values", [
    ((), preset("nursery")), (("--preset", "gpt2"), preset("gpt2")), (("--preset=tiny-nanokimi",), preset("tiny-nanokimi")),
    (("--config", "my.json"), dict(n_ctx=77, c_attention="hybrid")),
    (("--preset", "gpt2", "--config", "my.json"), preset("gpt2") | dict(n_ctx=77, c_attention="hybrid"))])
def test_the_help_shows_the_values_that_the_command_would_use(shell, tmp_path, monkeypatch, words, values):
    """Of the preset and the file on the command line, the settings of their variants first"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    Path("my.json").write_text('{"n_ctx": 77, "c_attention": "hybrid"}')
    text = shell("train", *words, "--help")[1]
    shown = dict(re.findall(r"(?m)^  --(\w+) .*\[([^\]]*)\]$", text))
    shown_by = {title: members for title, members in sections({**values}).items() if not title.startswith("school")}
    standard = {key.name: key.default for members in shown_by.values() for key in members}
    want = standard | Config(**values).model_dump(exclude_unset=True)
    assert {name: shown[name] for name in want} == {name: str(value).lower() if isinstance(value, bool) else str(value)
                                                    for name, value in want.items()}
    titles = re.findall(r"(?m)^Settings: (.+):$", text)
    assert titles == [title for title in sections({key: want[key] for key in FOLDERS if key in want}) if not title.startswith("school")]


def test_the_help_of_school_shows_its_own_settings_first(shell, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    text = shell("school", "--help")[1]
    shown = dict(re.findall(r"(?m)^  --(\w+) .*\[([^\]]*)\]$", text))
    assert (shown["c_school"], shown["r_kl"], shown["r_learn"], shown["batch_size"]) == ("grpo", "0.1", "0.001", "32")
    titles = re.findall(r"(?m)^Settings: (.+):$", text)
    assert titles[:2] == ["school", "school grpo"] and "training" in titles and "model" not in titles
    assert re.findall(r"(?m)^Settings: (.+):$", shell("school", "--c_school", "dpo", "--help")[1])[:2] == ["school", "school dpo"]
