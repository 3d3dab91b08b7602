"""Every number that a user can give: hostile ones are refused in one sentence that names the setting, or do what they say."""
import inspect
from math import inf, nan

import numpy as np
import pytest

import littlebaby as lb
from littlebaby import cli
from littlebaby.errors import number, quoted
from littlebaby.inference.sampling import ALLOWED, Sampling
from littlebaby.runs.settings import Config

HOSTILE = [-1, -10**30, 10**30, 10**400, 10**5000, nan, inf, -inf, True, np.True_, "x", "", "nan", "1e999", "-1", None, [], 0.5j,
           np.float32("nan"), np.int8(-1)]
NUMBERS = [name for name, field in Config.model_fields.items() if field.annotation in (int, float)]
SETTINGS = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
TINY = dict(n_layers=1, n_emb=8, n_heads=2, n_ctx=8, batch_size=2, n_completion=5, n_sample=0, n_steps=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("numbers")
    (path / "inputs").mkdir()
    (path / "inputs" / "tale.txt").write_text("once upon a time there was a tale. " * 20)
    lb.train("tale", path=path, progress=False, **TINY)
    return path


@pytest.fixture(scope="module")
def baby(home):
    return lb.load("last", home)


def refused(name, value, call):
    """Call with a hostile value: one sentence of it, or success"""
    try:
        call()
    except lb.BadInput as error:
        sentence = str(error)
        assert sentence.startswith(f"{name} is ") and "; allowed is " in sentence and "\n" not in sentence, sentence


def test_a_number_is_one_in_every_spelling():
    for value in (5, 5.0, "5", np.int64(5), np.uint8(5), np.float32(5), "5.0"):
        assert number("n", value, 0, 9, whole=True) == 5 and type(number("n", value, 0, 9, whole=True)) is int
    assert number("r", "0.25", 0, 1) == 0.25 and type(number("r", np.float16(0.25), 0, 1)) is float
    for value, sentence in [(-1, "n is -1; allowed is a whole number from 0 to 9; did you mean 0?"), (2.5, "n is 2.5.*did you mean 2"),
                            (10**30, "did you mean 9?"), (nan, "n is nan; allowed is a whole number from 0 to 9$"), (True, "n is True;"),
                            (np.int64(12), "n is 12;.*did you mean 9?"), ("12", "n is 12;"), (inf, "did you mean 9?"),
                            (10**5000, "n is a number of thousands of digits; .* did you mean 9?")]:
        with pytest.raises(lb.BadInput, match=sentence):
            number("n", value, 0, 9, whole=True)
    assert len(quoted(10**200)) == 60


@pytest.mark.parametrize("name", NUMBERS)
def test_settings(name):
    for value in [*HOSTILE, 2.5 if Config.model_fields[name].annotation is int else "y"]:
        refused(name, value, lambda: lb.Config(**{name: value}))                                 # noqa: B023
    for value in (True, nan, inf, -10**30, "x"):
        with pytest.raises(lb.BadInput, match=f"^{name} is"):
            lb.Config(**{name: value})


def test_the_warm_up_may_be_a_word_or_a_number():
    for value in HOSTILE:
        refused("s_warmup", value, lambda: lb.Config(s_warmup=value))                            # noqa: B023


CALLS = {
    "inference": (lambda home, baby, **it: lb.inference("last", path=home, **{"max_tokens": 2, **it}), [*SETTINGS, "samples"]),
    "chat": (lambda home, baby, **it: lb.chat("last", path=home, **{"max_tokens": 2, **it})("once"), SETTINGS),
    "generate": (lambda home, baby, **it: baby.generate(np.array([1, 2]), **{"max_tokens": 2, **it}), SETTINGS),
    "generate_each": (lambda home, baby, **it: baby.generate_each([[1], [1, 2]], **{"max_tokens": 2, **it}), SETTINGS),
    "speculate": (lambda home, baby, **it: baby.speculate(baby, np.array([1]), **{"max_tokens": 2, **it}), [*SETTINGS, "ahead"]),
    "heat": (lambda home, baby, temperature: lb.chat("last", path=home).set_temperature(temperature), ["temperature"]),
    "evaluate": (lambda home, baby, **it: lb.evaluate("last", "tale", path=home, progress=False, **it), ["limit", "overlap"]),
    "features": (lambda home, baby, **it: lb.features("last", path=home, progress=False,
                                                      **{"n_features": 8, "n_active": 2, "n_steps": 2, **it}), ["n_active", "n_steps"]),
    "find_rate": (lambda home, baby, **it: lb.find_rate("tale", path=home, progress=False, **TINY | {"n_steps": 20, "least": 1e-9, **it}),
                  ["n_steps", "most"]),
    "sweep": (lambda home, baby, **it: lb.sweep(input="tale", grid=dict(r_learn=[0.1]), path=home, progress=False, **TINY, **it), ["jobs"]),
    "nursery": (lambda home, baby, **it: lb.nursery("2kB", path=home, **it), ["seed"]),
    "size": (lambda home, baby, size: lb.nursery(size, path=home), ["size"]),
    "prepare": (lambda home, baby, **it: lb.prepare("tale", path=home, progress=False, **it).unlink(), ["s_vocabulary", "workers"]),
    "Baby": (lambda home, baby, **it: lb.Baby(lb.Config(n_layers=1, n_emb=8, n_heads=2), **{"vocab_size": 9, **it}),
             ["vocab_size", "seed"]),
}


@pytest.mark.parametrize("plan, name", [(plan, name) for plan, (_, names) in CALLS.items() for name in names])
def test_plans_and_babies(home, baby, plan, name):
    call, _ = CALLS[plan]
    for value in HOSTILE:
        if not (plan in ("inference", "chat") and name == "seed" and value is None):
            try:
                refused(name, value, lambda: call(home, baby, **{name: value}))                  # noqa: B023
            except AssertionError as error:
                assert plan == "Baby" and "needs a vocabulary" in str(error)                     # vocab_size None
    with pytest.raises(lb.BadInput, match=f"^{name} is"):
        call(home, baby, **{name: nan})
    with pytest.raises(lb.BadInput, match=f"^{name} is"):
        call(home, baby, **{name: -1})


def test_no_number_of_a_signature_is_left_out():
    """A parameter with a number as its default stands in CALLS: a new one cannot be forgotten"""
    tried = {name for _, names in CALLS.values() for name in names}
    plans = [getattr(lb, name) for name in lb.__all__ if inspect.isfunction(getattr(lb, name))]
    methods = [each for name, each in inspect.getmembers(lb.Baby, inspect.isfunction) if not name.startswith("_")]
    for call in [*plans, *methods]:
        for name, parameter in inspect.signature(call).parameters.items():
            default = parameter.default
            if isinstance(default, int | float) and not isinstance(default, bool) and name != "least":
                assert name in tried, f"{call.__name__}({name}={default})"


COMMANDS = {"inference": ["inference", *(f"--{name}" for name in [*SETTINGS, "samples"])], "nursery": ["nursery", "--seed", "--size"],
            "evaluate": ["evaluate", "--limit", "--overlap"], "prepare": ["prepare tale", "--workers", "--s_vocabulary"],
            "chat": ["chat", *(f"--{name}" for name in SETTINGS)], "preflight": ["preflight tale --quick", "--n_layers", "--r_split"]}


@pytest.mark.parametrize("value", ["-1", "-1e30", "1" + 30 * "0", "9" * 5000, "nan", "-inf", "true", "x", "", "0x10"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line(home, capsys, command, value):
    words, *options = COMMANDS[command]
    for option in options:
        if (option, value) in (("--top_k", "1"),):
            continue
        more = ["--input", "tale"] if command == "evaluate" else []
        code = cli.main([*words.split(), f"{option}={value}", *more, "--path", str(home)])
        said = capsys.readouterr()
        assert code == 2 and said.out == "" and said.err.startswith(f"{option[2:]} is ") and "allowed" in said.err, (option, said)


def test_extreme_settings_that_are_allowed_give_probabilities():
    from littlebaby.inference.sampling import probabilities

    z = np.array([[0.0, 1.0, 700.0, -700.0]], np.float32)
    for name, (least, most, _, _) in ALLOWED.items():
        for value in (least, most):
            p = probabilities(z, [[0, 2]], Sampling(**{name: value}))
            assert np.isfinite(p).all() and p.sum() == pytest.approx(1)
    assert probabilities(z, [[]], Sampling(temperature=5e-324))[0].tolist() == [0, 0, 1, 0]
