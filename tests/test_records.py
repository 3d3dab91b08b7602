"""Settings: all that is wrong is told at once and by name, 0 means its rule, schemas and presets are current."""
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from inspect import getsource, ismodule

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from littlebaby.arrays import tree
from littlebaby.cli import main
from littlebaby.errors import BadInput
from littlebaby.model import context, gpt
from littlebaby.runs.aliases import ALIASES, renamed
from littlebaby.runs.presets import preset, presets
from littlebaby.runs.records import FILES, Completion, ConfigFile, Evaluation, Report, parse_record
from littlebaby.runs.settings import FOLDERS, GROUPS, HERE, Config, allowed, files_of, keys, limits, module_of, sections

GUID = "0b2f8a52-7b0c-4f7e-9d3c-5a1f6f2f7c11"


def sentence(call, *args, **named):
    with pytest.raises(BadInput) as caught:
        call(*args, **named)
    return str(caught.value)


def test_several_wrong_values_are_told_at_once():
    said = sentence(Config, n_layers=0, c_attention="mah", n_lyers=3, r_dropout=2, s_warmup="atuo", c_tokenizer="cahr", n_emb=3.5,
                    d_type="float32", zzz=1, b_tied="perhaps").splitlines()
    assert sorted(said) == sorted([
        "n_layers is 0; allowed is a whole number from 1 to 1,024; did you mean 1?",
        "c_attention is 'mah'; allowed are " + ", ".join(allowed("c_attention")) + "; did you mean mha?",
        "'n_lyers' is not a setting; did you mean n_layers?",
        "r_dropout is 2; allowed is a number from 0 to 0.99; did you mean 0.99?",
        "s_warmup is 'atuo'; allowed is none, auto, a number of steps or a fraction between 0 and 1; did you mean auto?",
        "c_tokenizer is 'cahr'; allowed is bpe, char, word or the path of a tokenizer.json; did you mean char?",
        "n_emb is 3.5; allowed is a whole number from 1 to 65,536; did you mean 4?",
        "d_type is 'float32'; allowed are fp16, fp32, fp64; did you mean fp32?",
        "'zzz' is not a setting; `littlebaby catalog config` lists all settings",
        "b_tied is 'perhaps'; allowed is true or false"])


@pytest.mark.parametrize("settings, said", [
    (dict(n_heads=3), "n_heads is 3; allowed are divisors of head_size, 128; did you mean 2?"),
    (dict(c_attention="swa", n_heads=6, head_size=120, n_kv_heads=4),
     "n_kv_heads is 4; allowed are divisors of n_heads, 6; did you mean 3?"),
    (dict(head_size=28, c_position="rope"), "head_size is 28, which gives heads of width 7, and rope rotates pairs; "
                                            "allowed are multiples of 8; did you mean 32?"),
    (dict(n_ctx=1), "n_ctx is 1; allowed is a whole number from 2 to 1,048,576; did you mean 2?"),
    (dict(r_learn=float("nan")), "r_learn is nan; allowed is a number from 1e-09 to 100"),
    (dict(r_learn=float("inf")), "r_learn is inf; allowed is a number from 1e-09 to 100; did you mean 100?"),
    (dict(s_warmup=1.5), "s_warmup is 1.5; allowed is none, auto, a number of steps or a fraction between 0 and 1"),
    (dict(s_warmup=float("nan")), "s_warmup is nan; allowed is none, auto, a number of steps or a fraction between 0 and 1"),
    (dict(lr=1, r_learn=2), "r_learn is given twice: as lr and r_learn"),
    (dict(r_split=None), "r_split is None; allowed is a number from 0.01 to 1"),
    (dict(c_norm="../../etc"), "c_norm is '../../etc'; allowed are " + ", ".join(allowed("c_norm")))])
def test_a_wrong_value_names_what_is_right(settings, said):
    assert sentence(Config, **settings) == said


def test_zero_means_its_rule_and_follows_what_it_depends_on():
    cfg = Config(n_emb=96, n_heads=12)
    assert (cfg.head_size, cfg.n_kv_heads, cfg.hidden, cfg.norm_eps, cfg.head_width) == (96, 3, 384, 1e-5, 8)
    assert cfg == Config(n_emb=96, n_heads=12, head_size=0, n_kv_heads=0, norm_eps=0)
    wider = cfg.replace(n_emb=192, c_norm="rmsnorm")
    assert (wider.head_size, wider.hidden, wider.norm_eps) == (192, 768, 1e-6)
    assert Config(head_size=64).replace(n_emb=192).head_size == 64
    assert Config(n_emb=9, n_heads=9).n_kv_heads == 1                  # the largest divisor of 9 that is at most 9 / 4
    assert Config(s_hidden=100).hidden == 100 and Config(n_emb=8, r_hidden=1.5).hidden == 12
    assert "n_layers is -1" in sentence(cfg.replace, n_layers=-1)
    with pytest.raises(ValueError, match="frozen"):
        cfg.n_emb = 3


def test_old_names_are_read():
    assert Config(s_head=64, dropout=0.5, lr=1e-3, num_epochs=2, n_embd=32, block_size=16) == Config(
        head_size=64, r_dropout=0.5, r_learn=1e-3, n_epochs=2, n_emb=32, n_ctx=16)
    assert renamed(dict(lr=1, seed=2)) == dict(r_learn=1, seed=2)
    assert set(ALIASES.values()) <= set(Config.model_fields) and not set(ALIASES) & set(Config.model_fields)


@pytest.mark.parametrize("given, held", [("none", "none"), ("auto", "auto"), (100, 100), (100.0, 100), ("100", 100), (0.1, 0.1)])
def test_warm_up_is_a_word_steps_or_a_fraction(given, held):
    warm = Config(s_warmup=given).s_warmup
    assert warm == held and type(warm) is type(held)


def test_numbers_of_numpy_are_numbers():
    cfg = Config(n_layers=np.int64(3), r_learn=np.float64(0.5))
    assert type(cfg.n_layers) is int and type(cfg.r_learn) is float


def test_every_setting_says_what_it_is():
    assert {key.group for key in keys()} == set(GROUPS) and len(keys()) == len(Config.model_fields)
    for key in keys():
        assert key.meaning.endswith(".") and key.allowed, key
        field = Config.model_fields[key.name]
        if field.annotation in (int, float):
            least, most = limits(key.name)
            assert least <= key.default <= most
    assert allowed("c_schedule") == ["constant", "linear", "cosine", "wsd"] and allowed("n_layers") == []
    assert {"mha", "gqa"} <= set(allowed("c_attention")) and {"adamw", "sgd"} <= set(allowed("c_optimizer"))


def test_presets_are_whole_and_a_wrong_one_is_told():
    for name, about in presets().items():
        assert Config(**preset(name)).n_layers > 0 and about.endswith(".")
    assert sentence(preset, "gpt3") == "preset is 'gpt3'; allowed are " + ", ".join(presets()) + "; did you mean gpt2?"


@pytest.mark.parametrize("name, parameters", [("gpt2", 124_439_808), ("smollm2-135m", 134_515_008)])
def test_a_preset_has_its_published_size(name, parameters):
    assert tree.size(gpt.params(Config(**preset(name)))) == parameters


def plain(schema):
    """Without what pydantic's versions say differently: references wrapped in allOf, leave that is given anyway, constants twice"""
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    one = schema["allOf"][0] if len(schema.get("allOf", [])) == 1 else {}
    needless = "allOf" if one else "enum" if "const" in schema else None
    return {k: plain(v) for k, v in schema.items() if k != needless and (k, v) != ("additionalProperties", True)} | one


def test_schemas_and_presets_are_valid():
    lie = {path.name.removesuffix(".schema.json"): json.loads(path.read_text("utf-8")) for path in (HERE / "schemas").iterdir()}
    assert set(lie) == set(FILES)
    for name, schema in lie.items():
        Draft202012Validator.check_schema(schema)
        for field, what in schema["properties"].items():
            assert "description" in what, f"{name}.{field} does not say what it is"
    for name, about in presets().items():
        Draft202012Validator(lie["config"]).validate(preset(name))
        assert about.endswith(".") and Config(**preset(name))


def test_a_file_says_what_is_wrong_with_it():
    assert sentence(parse_record, ConfigFile, dict(n_layers=0, seed=1), "a.json").startswith("a.json: n_layers is 0; allowed is")
    assert sentence(parse_record, ConfigFile, [1], "a.json") == "a.json holds a list, not a JSON object"
    assert sentence(parse_record, ConfigFile, dict(time="noon"), "a.json").startswith("a.json: time is 'noon': ")
    assert sentence(parse_record, Report, dict(guid="../x"), "r.json").startswith("r.json: guid is '../x': string should match pattern")
    row = dict(step=1, tokens=2, train_loss="much")
    assert "r.json: evaluations.0.train_loss is 'much': " in sentence(parse_record, Report, dict(guid=GUID, evaluations=[row]), "r.json")
    assert "r.json: text is " in sentence(parse_record, Completion, dict(guid=GUID), "r.json")


def test_a_number_that_is_none_is_null():
    row = Evaluation(step=1, tokens=2, norm=float("nan"), train_loss=np.float32("inf"), rate=np.float32(0.5))
    assert (row.norm, row.train_loss, row.rate) == (None, None, 0.5)


def test_other_names_of_a_setting_are_read_in_python_json_and_shell(tmp_path, capsys):
    """Those of littlebaby 0.1, nanoGPT, litgpt and transformers; each means a setting of now, and none hides one"""
    assert set(ALIASES.values()) <= set(Config.model_fields) and not set(ALIASES) & set(Config.model_fields)
    for others, ours in [
            (dict(r_decay=0.3, r_eps=1e-6, n_eval=5, c_gate="head"),
             dict(r_weight_decay=0.3, r_adam_eps=1e-6, n_eval_windows=5, c_hybrid_gate="head")),
            (dict(n_layer=2, n_head=2, n_embd=16, block_size=32, beta2=0.95, warmup_iters=7, max_iters=9),
             dict(n_layers=2, n_heads=2, n_emb=16, n_ctx=32, r_beta2=0.95, s_warmup=7, n_steps=9)),
            (dict(n_query_groups=2, micro_batch_size=3, max_norm=0.5, lr_warmup_steps=4),
             dict(n_kv_heads=2, batch_size=3, r_clip=0.5, s_warmup=4)),
            (dict(hidden_size=32, num_hidden_layers=3, num_key_value_heads=1, rope_theta=5e5, tie_word_embeddings=True, warmup_ratio=0.1),
             dict(n_emb=32, n_layers=3, n_kv_heads=1, rope_base=5e5, b_tied=True, s_warmup=0.1))]:
        assert Config(**others) == Config(**ours) != Config()
        assert parse_record(ConfigFile, json.loads(json.dumps(others)), "config.json").config == Config(**ours)
        told = []
        for settings in (others, ours):
            words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
            assert main(["preflight", "--quick", "--json", *words, "--path", str(tmp_path)]) == 0
            told.append(capsys.readouterr().out)
        assert told[0] == told[1]


def test_sections_show_the_settings_of_the_chosen_variants_first():
    everything = sorted(Config.model_fields)
    for chosen in ({}, dict(c_attention="hybrid", c_network="moe", c_position="rope"), dict(c_optimizer="sgd")):
        found = sections(chosen)
        assert sorted(key.name for members in found.values() for key in members) == everything
        titles = list(found)
        first, after_training = titles[:titles.index("training")], titles[titles.index("training") + 1:titles.index("data")]
        assert first[0] == "model" and set(titles[titles.index("output") + 1:]).isdisjoint(first + after_training)
    found = list(sections(dict(c_attention="swa", c_optimizer="sgd")))
    assert found[:found.index("data")] == ["model", "attention gqa, swa", "attention rfa, swa", "network mlp", "training",
                                           "optimizer muon, muonclip, sgd", "optimizer sgd", "school", "school grpo"]


@pytest.mark.parametrize("key, name", [(key, name) for key in FOLDERS for name in files_of(key)])
def test_a_variant_reads_every_setting_that_it_declares(key, name):
    """In its own file, or in the files of its folder that it imports"""
    module = module_of(key, name)
    folder = module.__name__.rpartition(".")[0]
    sources = [getsource(module)] + [getsource(each) for each in vars(module).values() if ismodule(each) and folder in each.__name__]
    sources += [getsource(sys.modules[each.__module__]) for each in vars(module).values() if folder in getattr(each, "__module__", "")]
    if "qk_clip" in getattr(module, "OPTIONS", ()):
        sources.append(getsource(context))                           # the attentions shrink, the optimizer says to what
    for option in getattr(module, "OPTIONS", {}):
        assert re.search(rf"cfg\.{option}\b", "\n".join(sources)), f"{FOLDERS[key]}/{name}.py declares {option} and does not read it"


NEWCOMER = '''"""xyz: a running sum.

Every token is the sum of all tokens before it, times a number.

Cost O(B T D).  Cache per token 0, for all of them D numbers.
Nobody 2026.
"""
from ...arrays.backend import xp
from ...arrays.tree import matrix

OPTIONS = dict(r_xyz=(0.0, "Scale of the sum; 0 means 1 / n_ctx.", (0, 8)), c_xyz=("all", "What is summed.", ("all", "half")))


def params(cfg):
    return dict(w=matrix(cfg.n_emb, cfg.n_emb))


def forward(p, x, ctx):
    scale = ctx.cfg.r_xyz
    before = ctx.recall("sum")
    s = x.cumsum(1) * scale + (0 if before is None else before)
    ctx.keep(sum=s[:, -1:])
    y = s @ p.w

    def backward(dy, g):
        g.w += xp.einsum("btd,bte->de", s, dy)
        ds = dy @ p.w.T
        return scale * ds[:, ::-1].cumsum(1)[:, ::-1]

    return y, backward


def defaults(cfg):
    return dict(r_xyz=1 / cfg.n_ctx)


def check(cfg):
    if cfg.c_xyz == "half" and cfg.n_ctx % 2:
        yield f"n_ctx is {cfg.n_ctx}; allowed with c_xyz half are even numbers; did you mean {cfg.n_ctx + 1}?"


CASES = [dict(r_xyz=2.0)]
'''


def test_a_new_variant_with_settings_of_its_own_is_one_file(tmp_path):
    """In a copy of the package: the file brings settings, their rule, check and help, and the laws find and prove it"""
    shutil.copytree(HERE.parent, tmp_path / "littlebaby", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "littlebaby/model/attentions/xyz.py").write_text(NEWCOMER)
    code = """
import json
import littlebaby as lb
from littlebaby.check import laws
cfg = lb.Config(c_attention="xyz", n_ctx=50)
try:
    lb.Config(c_attention="xyz", c_xyz="half", n_ctx=51)
except lb.BadInput as error:
    sentence = str(error)
print(json.dumps([cfg.r_xyz, cfg.c_xyz, sentence, lb.Config(n_ctx=51, c_xyz="half").c_xyz, [row["kept"] for row in laws.verdicts("xyz")]]))
"""
    run = partial(subprocess.run, cwd=tmp_path, env=dict(os.environ, PYTHONPATH=str(tmp_path)), capture_output=True, text=True, timeout=120)
    found = run([sys.executable, "-c", code])
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == [0.02, "all", "n_ctx is 51; allowed with c_xyz half are even numbers; did you mean 52?", "half",
                                        [True, True]]
    text = run([sys.executable, "-m", "littlebaby", "train", "--c_attention", "xyz", "--help"]).stdout
    assert text.index("Settings: attention xyz:") < text.index("Settings: training:") < text.index("Settings: attention gla:")
