"""littlebaby's own weights by its own names: config.json and tokenizer.json beside model.safetensors or model.npz."""
from ..records import VERSION
from .table import HOWS, Row, checked, matched, shapes

MARK = "littlebaby"


def fits(config):
    return config.get("format") == MARK


def read(config, theirs, where):
    """(Config, weights one after the other)"""
    settings = {name: value for name, value in config.items() if name not in ("format", "version")}
    cfg = checked(settings, theirs, where)
    return cfg, matched([Row((name,), (name,), HOWS[""]) for name in shapes(cfg)], cfg, theirs, where)


def config(cfg):
    """The object of a config.json"""
    return dict(format=MARK, version=VERSION, **cfg.model_dump(mode="json"))
