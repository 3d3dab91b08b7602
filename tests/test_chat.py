"""Conversations: how they are spelled, whose words are learned, and what comes of a finetune on them."""
import json

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.arrays import tree
from littlebaby.errors import BadInput
from littlebaby.learning.baby import Baby
from littlebaby.learning.dialogue import Dialogues, divide, filled, rows
from littlebaby.model import gpt
from littlebaby.model.context import Context
from littlebaby.runs.records import Config, allowed
from littlebaby.runs.store import Workspace
from littlebaby.text import char, nursery
from littlebaby.text.chat import TEMPLATES, conversations, exchanges, ids_of, pieces, question, spelled, template

USER, BABY, SYSTEM = (lambda text, role=role: dict(role=role, content=text) for role in ("user", "assistant", "system"))
TALK = [SYSTEM("Be kind."), USER("Hi"), BABY("Hello."), USER("Who?"), BABY("Me.")]


# how a conversation is spelled

@pytest.mark.parametrize("name, text, learned", [
    ("kodalite", "<|system|>\nBe kind.\n<|user|>\nHi\n<|assistant|>\nHello.\n<|end|>\n<|user|>\nWho?\n<|assistant|>\nMe.\n<|end|>",
     "Hello.\n<|end|>Me.\n<|end|>"),
    ("chatml", "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
     "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nMe.<|im_end|>", "Hello.<|im_end|>Me.<|im_end|>"),
    ("plain", "System: Be kind.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: Who?\n\nAssistant: Me.\n\nUser: ",
     "Hello.\n\nUser: Me.\n\nUser: ")])
def test_templates(name, text, learned):
    form = template(name)
    assert spelled(pieces(TALK, form)) == text
    assert "".join(piece for piece, counts in pieces(TALK, form) if counts) == learned
    asked = spelled(question(TALK[:4], form))
    assert text.startswith(asked) and text[len(asked):].startswith("Me.")
    assert any(text[len(asked):] in ("Me." + stop, "Me." + stop + " ") for stop in form.stops)


def test_no_symbol_reaches_over_a_mark():
    """Pieces are tokenized alone: what is asked has the same ids in learning and in speaking"""
    from littlebaby.text.bpe import BPE
    tokenizer = BPE.train("Who? Me.\n\nUser: Hi\n\nAssistant: Hello.\n\n" * 20, 300)
    for form in TEMPLATES.values():
        whole, learned = ids_of(pieces(TALK, form), tokenizer)
        asked, before = ids_of(question(TALK[:4], form), tokenizer)
        assert whole[:len(asked)].tolist() == asked.tolist() and np.array_equal(learned[:len(asked)], before) and learned[len(asked):].all()


# the files of others

def lines(*rows):
    return "\n".join(json.dumps(row) for row in rows) + "\n\n"


def test_dolly_rows():
    found = conversations(lines(dict(instruction="Sum up.", context="A cat.", response="Cat.", category="x"),
                                dict(instruction="Say hi", context="", response=" Hi ")))
    assert found == [[USER("Sum up.\n\nContext:\nA cat."), BABY("Cat.")], [USER("Say hi"), BABY("Hi")]]


def test_message_rows_end_with_an_answer():
    share = dict(conversations=[{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}, {"from": "human", "value": "Bye"}])
    assert conversations(lines(dict(messages=TALK, source="x"), share)) == [TALK, [USER("Hi"), BABY("Hello.")]]


def test_oasst_trees_and_loose_rows_give_the_same_paths():
    """Every way that ends in an answer which none follows; what nobody answered and orphans are left out"""
    leaf = lambda role, text, *replies: dict(role=role, text=text, replies=[*replies])
    second = leaf("prompter", "Q2", leaf("assistant", "A3"))
    tree_row = dict(message_tree_id="1", prompt=leaf("prompter", "Q", leaf("assistant", "A1", second),
                                                     leaf("assistant", "A2", leaf("prompter", "unanswered"))))
    flat = [("a3", "q2", "assistant", "A3"), ("q", None, "prompter", "Q"), ("a1", "q", "assistant", "A1"), ("a2", "q", "assistant", "A2"),
            ("q2", "a1", "prompter", "Q2"), ("u", "a2", "prompter", "unanswered"), ("o", "gone", "assistant", "orphan")]
    loose = [dict(message_id=i, parent_id=p, role=role, text=text) for i, p, role, text in flat]
    right = [[USER("Q"), BABY("A1"), USER("Q2"), BABY("A3")], [USER("Q"), BABY("A2")]]
    assert conversations(lines(tree_row)) == right == conversations(lines(*loose))


@pytest.mark.parametrize("text, sentence", [
    ("{", "line 1 is no JSON"), (lines(dict(messages=TALK)) + "[1]", "line 3 holds list"), (lines(dict(text="x")), "line 1 has 'text'"),
    (lines(dict(messages=[dict(role="asistant", content="")])), "role is 'asistant'; .*did you mean assistant"),
    (lines(dict(messages="hi")), "must be a list"), (lines(dict(instruction="x")), "'response' must be a text, not NoneType"),
    (lines(dict(messages=[USER("x")])), "no conversation in which an assistant answers"), ("", "no conversation"),
    ('{"messages": ' + "[" * 5000 + "]" * 5000 + "}", "line 1"),
    (lines(dict(prompt=dict(role="prompter", text="x", replies=3))), "'replies'")])
def test_what_is_no_conversation_is_told(text, sentence):
    with pytest.raises(BadInput, match=sentence):
        conversations(text)


# rows and batches

def speaker(text="".join(spelled(pieces(TALK, form)) for form in TEMPLATES.values())):
    return char.Char(sorted(set(text)), "\n")


def test_rows_count_the_answers_alone():
    tokenizer, form = speaker(), template("kodalite")
    (x, y), = rows(TALK, form, tokenizer, 500)
    text = spelled(pieces(TALK, form))
    assert tokenizer.decode(x) == text[:-1] and tokenizer.decode(y[y >= 0]) == "Hello.\n<|end|>Me.\n<|end|>"
    assert all(y[i] == tokenizer.encode(text[i + 1])[0] for i in np.flatnonzero(y >= 0))


def test_long_conversations_are_cut_between_exchanges():
    tokenizer, form = speaker(), template("plain")
    length = len(spelled(pieces(TALK, form)))
    assert len(rows(TALK, form, tokenizer, length - 1)) == 1
    two = [tokenizer.decode(x) + tokenizer.decode(y[-1:]) for x, y in rows(TALK, form, tokenizer, length - 2)]
    assert two == ["System: Be kind.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: ",
                   "System: Be kind.\n\nUser: Who?\n\nAssistant: Me.\n\nUser: "]
    (x, y), = rows(TALK[1:3], form, tokenizer, 24)                          # one exchange: loses its end
    assert len(x) == 24 and tokenizer.decode(y[y >= 0]) == "Hello"[:25 - len("User: Hi\n\nAssistant: ")]
    assert rows(TALK[1:3], form, tokenizer, 10) == []                       # nothing left that counts
    with pytest.raises(BadInput, match="within n_ctx, 10 tokens"):
        Dialogues([], Config(n_ctx=10), 0)


def test_exchanges():
    assert exchanges(TALK) == ([TALK[0]], [TALK[1:3], TALK[3:]])
    assert exchanges([USER("a"), USER("b"), BABY("c"), BABY("d"), USER("e")]) == ([], [[USER("a"), USER("b"), BABY("c"), BABY("d")],
                                                                                       [USER("e")]])


def test_every_epoch_shows_every_row_once():
    parts = [(np.full(n, n, np.int32), np.full(n, n, np.int32)) for n in range(1, 8)]
    lessons = Dialogues(parts, Config(batch_size=7), 3)
    first, second = (lessons.batch(i)[0].max(1) for i in (0, 1))
    assert sorted(first) == sorted(second) == [*range(1, 8)] and first.tolist() != second.tolist()
    assert lessons.steps(3) == 3 and Dialogues(parts, Config(batch_size=2), 3).steps(1) == 4
    assert np.array_equal(lessons.batch(5)[1], Dialogues(parts, Config(batch_size=7), 3).batch(5)[1])
    x, y = filled(parts[:3])
    assert x.tolist() == [[1, 0, 0], [2, 2, 0], [3, 3, 3]] and y.tolist() == [[1, -1, -1], [2, 2, -1], [3, 3, 3]]


def test_division():
    talks = [[i] for i in range(10)]
    assert divide(talks, Config(r_split=0.8)) == (talks[:8], talks[8:]) and divide(talks[:1], Config(r_split=0.1)) == (talks[:1], [])
    trained, held_out = divide(talks, Config(r_split=0.8, c_shuffle="documents", seed=1))
    assert sorted(trained + held_out) == talks and trained != talks[:8]


# the law: only answers move weights

@pytest.mark.parametrize("attention", allowed("c_attention"))
def test_gradients_are_those_of_a_loss_masked_by_hand(attention):
    """A filled-up batch against every conversation alone, unpadded, its logits' gradient written down here"""
    tokenizer, form = speaker(), template("kodalite")
    cfg = Config(c_attention=attention, n_ctx=128, n_emb=8, n_heads=2, n_layers=1, d_type="fp64", n_vocab=tokenizer.size, s_window=8)
    baby = Baby(cfg, seed=1)
    baby.flat += 0.1 * np.random.default_rng(0).standard_normal(baby.flat.size)
    talks = [TALK, TALK[1:3], [USER("Be"), BABY("kind.")]]
    x, y = filled([row for talk in talks for row in rows(talk, form, tokenizer, 128)])
    loss, grads = baby.loss_and_grads(x, y)

    total, by_hand, counted = 0.0, np.zeros(baby.flat.size), 0
    for talk in talks:
        ids, learned = ids_of(pieces(talk, form), tokenizer)
        counted += learned.sum()
        logits, backward = gpt.forward(baby.p, ids[None, :-1], Context(cfg))
        chance = np.exp(logits - logits.max(-1, keepdims=True))
        chance /= chance.sum(-1, keepdims=True)
        at, target = np.flatnonzero(learned[1:]), ids[1:][learned[1:]]
        total -= np.log(chance[0, at, target]).sum()
        d = np.zeros_like(chance)
        d[0, at] = chance[0, at]
        d[0, at, target] -= 1
        backward(d, tree.views(baby.spec, by_hand))
    assert loss == pytest.approx(total / counted, rel=1e-12) and counted == (y >= 0).sum()
    for name, g in tree.named(baby.spec, by_hand / counted).items():
        np.testing.assert_allclose(grads[name], g, rtol=1e-9, atol=1e-12, err_msg=name)
    silent, nothing = baby.loss_and_grads(x, np.full_like(y, -1))           # what the user says, alone, teaches nothing
    assert silent == 0 and all(not g.any() for g in nothing.values())


# a finetune from end to end

COLOURS = dict(cat="red", dog="blue", owl="green", fox="white")
ASKED = [[USER(f"What is the {animal}?"), BABY(f"The {animal} is {colour}.")] for animal, colour in COLOURS.items()] * 3


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with a small baby, and a dozen conversations"""
    path = tmp_path_factory.mktemp("home")
    (path / "inputs").mkdir()
    (path / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    (path / "talks.jsonl").write_text(lines(*(dict(messages=talk) for talk in ASKED)))
    return path


@pytest.fixture(scope="module")
def base(home):
    return lb.train("tale", path=home, progress=False, seed=1, n_layers=2, n_emb=48, n_heads=4, n_ctx=80, batch_size=8, n_steps=40,
                    c_position="rope", n_completion=0, n_sample=0, s_eval=20, r_overlap=0.0, c_device="cpu")


@pytest.fixture(scope="module")
def tuned(home, base):
    return lb.finetune(base.guid, chat=home / "talks.jsonl", path=home, progress=False, n_steps=120, r_learn=1e-2, s_eval=30, r_split=0.75,
                       n_sample=20, n_completion=60)


def test_a_dozen_conversations_teach_the_template(tuned):
    losses = [row.valid_loss for row in tuned.report.evaluations]
    assert losses[0] > 3 * losses[-1] and losses[-1] < 0.2
    assert tuned.report.input.name == "talks.jsonl" and tuned.config.c_template == "kodalite"
    assert tuned.completion.prompt == "<|user|>\nWhat is the cat?\n<|assistant|>\n" and tuned.completion.text == "The cat is red."
    assert tuned.completion.settings.stop == list(TEMPLATES["kodalite"].stops) and tuned.report.nursery_floor is None
    assert tuned.report.figures.longest_overlap == len("The cat is red.")


def test_resumed_is_never_stopped(home, base, tuned):
    seen = iter(range(1000))
    settings = dict(path=home, progress=False, n_steps=120, r_learn=1e-2, s_eval=30, r_split=0.75, n_sample=20, n_completion=60)
    half = lb.finetune(base.guid, chat=home / "talks.jsonl", stop=lambda: next(seen) == 50, **settings)
    assert half.report.stop_reason == "interrupted"
    whole = lb.train(resume=half.guid, path=home, progress=False)
    assert np.array_equal(lb.load(whole.guid, home).flat, lb.load(tuned.guid, home).flat)


def test_adapters_learn_to_answer(home):
    """A base that knows every mark, so that its tables may stay frozen"""
    (home / "inputs" / "marks.txt").write_text((nursery.corpus(10_000, 1)[0] + spelled(pieces(TALK, TEMPLATES["plain"])) + "W?") * 2)
    base = lb.train("marks", path=home, progress=False, seed=1, n_layers=2, n_emb=48, n_heads=4, n_ctx=80, batch_size=8, n_steps=40,
                    n_completion=0, n_sample=0, s_eval=20, c_device="cpu")
    run = lb.finetune(base.guid, chat=home / "talks.jsonl", path=home, progress=False, n_steps=60, s_eval=20, lora_rank=4,
                      lora_targets="*.att.* *.net.*", c_template="plain", r_split=0.75, r_learn=1e-2)
    losses = [row.valid_loss for row in run.report.evaluations]
    assert losses[-1] < 0.8 * losses[0] and run.report.figures.parameters.frozen > 0
    old, new = lb.load(base.guid, home), lb.load(run.guid, home)
    assert np.array_equal(old.weights()["token"], new.weights()["token"])


def test_wrong_use_of_finetune(home, base):
    with pytest.raises(BadInput, match="one of the two"):
        lb.finetune(base.guid, path=home)
    with pytest.raises(BadInput, match="one of the two"):
        lb.finetune(base.guid, "tale", chat="talks.jsonl", path=home)
    with pytest.raises(BadInput, match="tale.txt: line 1 is no JSON"):
        lb.finetune(base.guid, chat="tale", path=home)
    with pytest.raises(BadInput, match="symbols of talks.jsonl are new .*'<'.*lora_rank"):
        lb.finetune(base.guid, chat=home / "talks.jsonl", path=home, lora_rank=4)
    assert Workspace(home).resolve(base.guid) == base.guid
