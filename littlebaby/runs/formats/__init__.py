"""formats: models of other programs, read and written; one module per format, one weight table per architecture.

huggingface   llama, mistral, qwen2, gpt2, starcoder2, mixtral, deepseek_v3; huggingface_tables, huggingface_settings belong to it
gguf          the files of llama.cpp; gguf_header, gguf_keys belong to it
kilat  nano_kimi  koda  little_baby      the programs that littlebaby grew from
plain         littlebaby's own names
weight_table  how a table of names is read in both directions      tensors    arrays from files of unknown origin, and into files
tokenizers    tokenizer.json in both directions                    rewrite    the same model in another form
config_reader    typed access to a foreign config
transformers_configs  gguf_keys    which foreign settings are read, have no effect, or are refused
"""
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import BadInput, nearest, quoted
from ...text import Tokenizer
from .. import disk
from ..settings import Config
from . import gguf, huggingface, kilat, koda, little_baby, nano_kimi, plain, tensors, tokenizers

FORMATS: tuple[Any, ...] = (plain, kilat, nano_kimi, koda, little_baby, huggingface)      # the first that recognizes a config.json reads it


TYPES = dict(huggingface=("fp32", "fp16", "bf16", "fp64"), gguf=("fp32", "fp16", "q8_0"), safetensors=("fp32", "fp16", "bf16", "fp64"),
             npz=("fp32", "fp16", "fp64"))


class Model(NamedTuple):
    """A model from a foreign file"""
    config: Config
    weights: Iterable[tuple[str, np.ndarray]]        # pairs of our name and array; can be read once
    tokenizer: Tokenizer | None
    note: str                                        # what was not imported or was ignored, "" where there is nothing


def is_foreign(where: Path | str) -> bool:
    """Whether this is a file or a folder rather than the name of a run"""
    text = str(where)
    return Path(text).suffix in (".gguf", ".safetensors", ".json", ".npz") or "/" in text or "\\" in text or Path(text).is_dir()


def read_model(where: Path | str, d_type: str | None = None) -> Model:
    """A Model from a folder or a file of any known format

    d_type: the type in which it computes, fp32 or fp64; None: that of the file where it is one of these, else fp32
    BadInput where the model cannot be used, in one sentence.
    """
    path = Path(where).expanduser()
    with disk.explain_os_errors("read", path):
        if not path.exists():
            raise BadInput(f"there is no file or folder {quoted(str(path))}")
        if path.is_file() and path.suffix not in (".gguf", ".safetensors", ".npz", ".json") and not (path.parent / "config.json").exists():
            raise BadInput(f"{path} is not a model; allowed are the folder of a model, a .gguf, .safetensors or .npz file, and a "
                           f"model_GUID.json")
        if path.is_dir() and not (path / "config.json").exists():
            tensors.no_adapters(path)
            path = only_model(path)
    if path.suffix == ".gguf":
        cfg, weights, tokenizer, note = gguf.read_gguf(path, d_type)
        return Model(with_known_template(cfg, tokenizer), weights, tokenizer, note)
    foreign: tensors.Arrays
    if path.suffix == ".json" and path.name != "config.json" and not path.name.endswith(".safetensors.index.json"):
        foreign, config, config_path = little_baby.load(path)
    else:
        folder = path if path.is_dir() else path.parent
        tensors.no_adapters(folder)
        config_path = folder / "config.json"
        config = tensors.json_object(config_path)
        if path.suffix == ".npz" or path.is_dir() and (path / "model.npz").exists():
            foreign = tensors.npz(path if path.suffix == ".npz" else path / "model.npz")
        elif path.suffix == ".safetensors":
            foreign = tensors.safetensors(path)
        else:
            foreign, path = tensors.in_folder(folder)
    format_ = next((each for each in FORMATS if each.recognizes(config)), None)
    if format_ is None:
        raise BadInput(f"{config_path} is of no known format: neither its model_type nor the names of its settings belong to one")
    cfg, weights = format_.read_weights(config, foreign, path)
    ignored = huggingface.notes(config) if format_ is huggingface else ""
    if d_type:
        cfg = cfg.replace(d_type=d_type)
    if format_ is little_baby and path.suffix == ".json":
        tokenizer_path, tokenizer, note = little_baby.tokenizer_path_of(path), None, ""
        if tokenizer_path:
            tokenizer = tokenizers.fitted(tokenizers.text.from_json(disk.read_json(tokenizer_path)), cfg.n_vocab)
    else:
        tokenizer, note = tokenizers.in_folder(path.parent, cfg.n_vocab, config)
    if tokenizer:
        cfg = cfg.replace(c_tokenizer=tokenizer.kind)
    if format_ is huggingface:
        cfg = with_known_template(cfg, tokenizer)
    return Model(cfg, weights, tokenizer, "; ".join(filter(None, [note, ignored])))


def with_known_template(cfg: Config, tokenizer: Tokenizer | None) -> Config:
    """The config with c_template chatml where the chat template of the tokenizer uses its marks; other templates are not recognized"""
    chatml = tokenizer and "<|im_start|>" in str(tokenizer.special_tokens.chat_template)
    return cfg.replace(c_template="chatml") if chatml else cfg


class Written(NamedTuple):
    """What is to be written"""
    to: str                          # the format
    files: Mapping[str, Any]         # {file name: pieces of bytes, or a function that writes to a path}
    notes: tuple[str, ...]           # sentences for the user


def checked_type(to: str, d_type: str) -> str:
    """`d_type`. BadInput unless `to` is a format that is written, and can hold that type"""
    if to not in TYPES:
        raise BadInput(nearest("the format", to, TYPES))
    if d_type not in TYPES[to]:
        raise BadInput(nearest(f"d_type for {to}", d_type, TYPES[to]))
    return d_type


def write_model(cfg: Config, weights: Mapping[str, np.ndarray], tokenizer: Tokenizer | None, to: str, d_type: str) -> Written:
    """The files of a model in the format `to`; where transformers has no architecture for it, plain safetensors and a note that says why

    weights: {our name: array}      tokenizer: or None
    BadInput where the format cannot hold the model.
    """
    if to == "huggingface":
        try:
            return Written(to, huggingface.huggingface_files(cfg, weights, tokenizer, d_type), huggingface.export_notes(cfg, tokenizer))
        except BadInput as error:
            return Written("safetensors", plain.plain_files(cfg, weights, tokenizer, d_type, "safetensors"),
                           (f"For transformers {error}. These are plain safetensors.",))
    if to == "gguf":
        return Written(to, *gguf.gguf_files(cfg, weights, tokenizer, d_type))
    return Written(to, plain.plain_files(cfg, weights, tokenizer, d_type, to), ())


def only_model(folder: Path) -> Path:
    """The only model file in a folder without a config.json, or in its models/. BadInput where there is none, or several"""
    folders = [each for each in (folder, folder / "models") if each.is_dir()]
    found = sorted(p for each in folders for p in each.iterdir()
                   if p.suffix == ".gguf" or p.name.startswith("model_") and p.suffix == ".json")
    if len(found) != 1:
        names = f": {', '.join(p.name for p in found[:3])}{' ...' if len(found) > 3 else ''}" if found else ""
        raise BadInput(f"{folder} has no config.json and {len(found)} model files{names}; give a model's folder, or one file")
    return found[0]
