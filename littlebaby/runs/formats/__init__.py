"""formats: other people's models, in and out; one file per format, one table per architecture.

table        how a table of names is read in both directions          tensors    arrays out of untrusted files, into files
huggingface  llama, mistral, qwen2, gpt2, starcoder2, mixtral, deepseek_v3      gguf        llama.cpp's files
kilat  nano_kimi  koda  little_baby      the systems littlebaby grew from       plain       our own names
tokenizers   tokenizer.json in both directions                        rewrite    the same model in another form
gguf_keys    transformers_configs      which settings of others are obeyed, without effect, or refused
"""
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import BadInput, nearest
from .. import disk
from . import gguf, huggingface, kilat, koda, little_baby, nano_kimi, plain, tensors, tokenizers

FORMATS = (plain, kilat, nano_kimi, koda, little_baby, huggingface)      # whoever knows a config.json as its own reads it


TYPES = dict(huggingface=("fp32", "fp16", "bf16", "fp64"), gguf=("fp32", "fp16", "q8_0"), safetensors=("fp32", "fp16", "bf16", "fp64"),
             npz=("fp32", "fp16", "fp64"))


class Model(NamedTuple):
    """A model out of a foreign file"""
    config: Any
    weights: Iterable        # (our name, array), one after the other
    tokenizer: Any           # or None
    note: str                # what was left behind, "" where nothing was


def is_foreign(where):
    """Whether this means a file or folder rather than a run's name"""
    text = str(where)
    return Path(text).suffix in (".gguf", ".safetensors", ".json", ".npz") or "/" in text or "\\" in text or Path(text).is_dir()


def read_model(where, d_type=None):
    """A Model from a folder or a file of any format that is known; `d_type` in place of the file's own fp32 or fp64

    BadInput where it cannot be used, in one sentence.
    """
    path = Path(where).expanduser()
    with disk.explain_os_errors("read", path):
        if not path.exists():
            raise BadInput(f"there is no file or folder {path}")
        if path.is_dir() and not (path / "config.json").exists():
            tensors.no_adapters(path)
            path = only_model(path)
    if path.suffix == ".gguf":
        cfg, *others, note = gguf.read_gguf(path, d_type)
        return Model(spoken_to(cfg, others[1]), *others, note)
    if path.suffix == ".json" and path.name != "config.json" and not path.name.endswith(".safetensors.index.json"):
        theirs, config, config_path = little_baby.load(path)
    else:
        folder = path if path.is_dir() else path.parent
        tensors.no_adapters(folder)
        config_path = folder / "config.json"
        config = tensors.json_object(config_path)
        if path.suffix == ".npz" or path.is_dir() and (path / "model.npz").exists():
            theirs = tensors.npz(path if path.suffix == ".npz" else path / "model.npz")
        elif path.suffix == ".safetensors":
            theirs = tensors.safetensors(path)
        else:
            theirs, path = tensors.in_folder(folder)
    kind = next((each for each in FORMATS if each.recognizes(config)), None)
    if kind is None:
        raise BadInput(f"{config_path} is of no kind that is known: model_type or the names of its settings must tell")
    cfg, weights = kind.read_weights(config, theirs, path)
    unread = huggingface.notes(config) if kind is huggingface else ""
    if d_type:
        cfg = cfg.replace(d_type=d_type)
    if kind is little_baby and path.suffix == ".json":
        beside = little_baby.tokenizer_beside(path)
        tokenizer, note = (tokenizers.fitted(tokenizers.text.from_json(disk.read_json(beside)), cfg.n_vocab), "") if beside else (None, "")
    else:
        tokenizer, note = tokenizers.in_folder(path.parent, cfg.n_vocab, config)
    if tokenizer:
        cfg = cfg.replace(c_tokenizer=tokenizer.kind)
    if kind is huggingface:
        cfg = spoken_to(cfg, tokenizer)
    return Model(cfg, weights, tokenizer, "; ".join(filter(None, [note, unread])))


def spoken_to(cfg, tokenizer):
    """A config with the template of ours that the model's own chat template spells; of another one no more is known than its text"""
    chatml = tokenizer and "<|im_start|>" in str(tokenizer.special_tokens.chat_template)
    return cfg.replace(c_template="chatml") if chatml else cfg


class Written(NamedTuple):
    """What is to be written: {file name: pieces of bytes, or a function that writes to a path}"""
    to: str
    files: dict
    notes: tuple


def checked_type(to, d_type):
    """`d_type`, checked against what a format can hold"""
    if to not in TYPES:
        raise BadInput(nearest("--to", to, TYPES))
    if d_type not in TYPES[to]:
        raise BadInput(nearest(f"d_type for {to}", d_type, TYPES[to]))
    return d_type


def write_model(cfg, weights, tokenizer, to, d_type):
    """A Written of a model; where huggingface has no architecture for it, plain safetensors and a sentence"""
    if to == "huggingface":
        try:
            return Written(to, huggingface.huggingface_files(cfg, weights, tokenizer, d_type), huggingface.export_notes(cfg, tokenizer))
        except BadInput as misfit:
            return Written("safetensors", plain.plain_files(cfg, weights, tokenizer, d_type, "safetensors"),
                           (f"For transformers {misfit}. These are plain safetensors.",))
    if to == "gguf":
        return Written(to, *gguf.gguf_files(cfg, weights, tokenizer, d_type))
    return Written(to, plain.plain_files(cfg, weights, tokenizer, d_type, to), ())


def only_model(folder):
    """The one file in a folder without a config.json, or in its models/, that can be a model"""
    places = [place for place in (folder, folder / "models") if place.is_dir()]
    found = sorted(p for place in places for p in place.iterdir()
                   if p.suffix == ".gguf" or p.name.startswith("model_") and p.suffix == ".json")
    if len(found) != 1:
        names = f": {', '.join(p.name for p in found[:3])}{' ...' if len(found) > 3 else ''}" if found else ""
        raise BadInput(f"{folder} has no config.json and {len(found)} model files{names}; give a model's folder, or one file")
    return found[0]
