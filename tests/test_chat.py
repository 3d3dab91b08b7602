"""Conversations: how they are spelled, whose words are learned, and what comes of a finetune on them."""
import io
import json
from importlib import import_module

import numpy as np
import pytest

import littlebaby as lb
from littlebaby import cli
from littlebaby.arrays import tree
from littlebaby.cli.run_commands import print_answer
from littlebaby.errors import BadInput
from littlebaby.inference.baby import Baby
from littlebaby.inference.chat import Conversation
from littlebaby.inference.sampling import Sampling
from littlebaby.model import gpt
from littlebaby.model.context import Context
from littlebaby.plans.training_data import load_input
from littlebaby.runs.settings import Config, allowed
from littlebaby.runs.store import Workspace
from littlebaby.text import char, nursery
from littlebaby.text.chat import TEMPLATES, as_text, conversations, exchanges, ids_of, pieces, question, template
from littlebaby.text.word import Word
from littlebaby.training.chat_data import ChatBatches, conversation_rows, pad_rows, split_conversations

USER, BABY, SYSTEM = (lambda text, role=role: dict(role=role, content=text) for role in ("user", "assistant", "system"))
TALK = [SYSTEM("Be kind."), USER("Hi"), BABY("Hello."), USER("Who?"), BABY("Me.")]


# how a conversation is spelled

@pytest.mark.parametrize("name, text, learned", [
    ("kodalite", "<|system|>\nBe kind.\n<|user|>\nHi\n<|assistant|>\nHello.\n<|end|>\n<|user|>\nWho?\n<|assistant|>\nMe.\n<|end|>",
     "Hello.\n<|end|>Me.\n<|end|>"),
    ("chatml", "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
     "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nMe.<|im_end|>", "Hello.<|im_end|>Me.<|im_end|>"),
    ("plain", "System: Be kind.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: Who?\n\nAssistant: Me.\n\nUser: ",
     "Hello.\n\nUser: Me.\n\nUser: "),
    ("line", "System: Be kind.\nUser: Hi\nAssistant: Hello.\n\nUser: Who?\nAssistant: Me.\n\n", "Hello.\n\nMe.\n\n")])
def test_templates(name, text, learned):
    form = template(name)
    assert as_text(pieces(TALK, form)) == text
    assert "".join(piece for piece, counts in pieces(TALK, form) if counts) == learned
    asked = as_text(question(TALK[:4], form))
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

@pytest.mark.parametrize("said, kept", [
    ("    return 1\n", "    return 1"), ("\n \n\tif x:\n\t\tgo()\n\n", "\tif x:\n\t\tgo()"), (" Hello. ", "Hello."),
    ("  a\n  b", "  a\n  b"), ("\r\n  a", "  a")])
def test_the_first_indentation_of_an_answer_stays(said, kept):
    rows = [dict(messages=[USER("Code?"), BABY(said)]), dict(instruction="Code?", response=said),
            dict(prompt=dict(role="prompter", text="Code?", replies=[dict(role="assistant", text=said, replies=[])]))]
    for row in rows:
        assert conversations(lines(row)) == [[USER("Code?"), BABY(kept)]]
    assert conversations(lines(dict(instruction="  Why?", context=said, response="x")))[0][0]["content"] == f"  Why?\n\nContext:\n{kept}"


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
    ("{", "line 1 is not JSON"), (lines(dict(messages=TALK)) + "[1]", "line 3 holds a value of type list"),
    (lines(dict(text="x")), "line 1 has the field 'text'"),
    (lines(dict(messages=[dict(role="asistant", content="")])), "role is 'asistant'; .*did you mean assistant"),
    (lines(dict(messages="hi")), "must be a list"), (lines(dict(instruction="x")), "'response' must be a text, not NoneType"),
    (lines(dict(messages=[USER("x")])), "no conversation in which an assistant answers"), ("", "no conversation"),
    ('{"messages": ' + "[" * 5000 + "]" * 5000 + "}", "line 1"),
    (lines(dict(prompt=dict(role="prompter", text="x", replies=3))), "'replies'")])
def test_what_is_no_conversation_is_told(text, sentence):
    with pytest.raises(BadInput, match=sentence):
        conversations(text)


# rows and batches

def speaker(text="".join(as_text(pieces(TALK, form)) for form in TEMPLATES.values())):
    return char.Char(sorted(set(text)), "\n")


def test_rows_count_the_answers_alone():
    tokenizer, form = speaker(), template("kodalite")
    (x, y), = conversation_rows(TALK, form, tokenizer, 500)
    text = as_text(pieces(TALK, form))
    assert tokenizer.decode(x) == text[:-1] and tokenizer.decode(y[y >= 0]) == "Hello.\n<|end|>Me.\n<|end|>"
    assert all(y[i] == tokenizer.encode(text[i + 1])[0] for i in np.flatnonzero(y >= 0))


def test_long_conversations_are_cut_between_exchanges():
    tokenizer, form = speaker(), template("plain")
    length = len(as_text(pieces(TALK, form)))
    assert len(conversation_rows(TALK, form, tokenizer, length - 1)) == 1
    two = [tokenizer.decode(x) + tokenizer.decode(y[-1:]) for x, y in conversation_rows(TALK, form, tokenizer, length - 2)]
    assert two == ["System: Be kind.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: ",
                   "System: Be kind.\n\nUser: Who?\n\nAssistant: Me.\n\nUser: "]
    (x, y), = conversation_rows(TALK[1:3], form, tokenizer, 24)             # one exchange: loses its end
    assert len(x) == 24 and tokenizer.decode(y[y >= 0]) == "Hello"[:25 - len("User: Hi\n\nAssistant: ")]
    assert conversation_rows(TALK[1:3], form, tokenizer, 10) == []          # nothing left that counts
    with pytest.raises(BadInput, match="within its first n_ctx, 10, tokens"):
        ChatBatches([], Config(n_ctx=10), 0)


def test_exchanges():
    assert exchanges(TALK) == ([TALK[0]], [TALK[1:3], TALK[3:]])
    assert exchanges([USER("a"), USER("b"), BABY("c"), BABY("d"), USER("e")]) == ([], [[USER("a"), USER("b"), BABY("c"), BABY("d")],
                                                                                       [USER("e")]])


def test_every_epoch_shows_every_row_once():
    parts = [(np.full(n, n, np.int32), np.full(n, n, np.int32)) for n in range(1, 8)]
    lessons = ChatBatches(parts, Config(batch_size=7), 3)
    first, second = (lessons.batch(i)[0].max(1) for i in (0, 1))
    assert sorted(first) == sorted(second) == [*range(1, 8)] and first.tolist() != second.tolist()
    assert lessons.steps(3) == 3 and ChatBatches(parts, Config(batch_size=2), 3).steps(1) == 4
    assert np.array_equal(lessons.batch(5)[1], ChatBatches(parts, Config(batch_size=7), 3).batch(5)[1])
    x, y = pad_rows(parts[:3])
    assert x.tolist() == [[1, 0, 0], [2, 2, 0], [3, 3, 3]] and y.tolist() == [[1, -1, -1], [2, 2, -1], [3, 3, 3]]


def test_division():
    talks = [[i] for i in range(10)]
    assert split_conversations(talks, Config(r_split=0.8)) == (talks[:8], talks[8:])
    assert split_conversations(talks[:1], Config(r_split=0.1)) == (talks[:1], [])
    trained, held_out = split_conversations(talks, Config(r_split=0.8, c_shuffle="documents", seed=1))
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
    x, y = pad_rows([row for talk in talks for row in conversation_rows(talk, form, tokenizer, 128)])
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
                    c_position="rope", n_completion=0, n_sample=0, s_eval=20, r_eval_overlap=0.0, c_device="cpu")


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


def test_first_words_of_messages_become_tokens(tmp_path):
    """The mark before a message ends with a space, but message and mark are tokenized apart: the first word has no space before it"""
    (tmp_path / "talks.jsonl").write_text(lines(*[dict(messages=[USER("Tell me."), BABY("Hello.")])] * 3))
    tokenizer = Word.train("me. Hello. " * 3)
    _, extended = load_input(Workspace(tmp_path), str(tmp_path / "talks.jsonl"), lb.Config(c_template="line"), tokenizer, chat=True)
    ids, learned = ids_of(pieces([USER("Tell me."), BABY("Hello.")], TEMPLATES["line"]), extended)
    assert [extended.decode([i]) for i in ids] == ["User", ":", " ", "Tell", " me", ".", "\n", "Assistant", ":", " ", "Hello", ".", "\n\n"]
    assert learned.tolist() == [False] * 10 + [True] * 3


def test_adapters_learn_to_answer(home):
    """A base that knows every mark, so that its tables may stay frozen"""
    (home / "inputs" / "marks.txt").write_text((nursery.corpus(10_000, 1)[0] + as_text(pieces(TALK, TEMPLATES["plain"])) + "W?") * 2)
    base = lb.train("marks", path=home, progress=False, seed=1, n_layers=2, n_emb=48, n_heads=4, n_ctx=80, batch_size=8, n_steps=40,
                    n_completion=0, n_sample=0, s_eval=20, c_device="cpu")
    run = lb.finetune(base.guid, chat=home / "talks.jsonl", path=home, progress=False, n_steps=60, s_eval=20, lora_rank=4,
                      lora_targets="*.att.* *.net.*", c_template="plain", r_split=0.75, r_learn=1e-2)
    losses = [row.valid_loss for row in run.report.evaluations]
    assert losses[-1] < 0.8 * losses[0] and run.report.figures.parameters.frozen > 0
    old, new = lb.load(base.guid, home), lb.load(run.guid, home)
    assert np.array_equal(old.weights()["token"], new.weights()["token"])


def test_wrong_use_of_finetune(home, base):
    with pytest.raises(BadInput, match="finetune needs either a text, .*, or conversations"):
        lb.finetune(base.guid, path=home)
    with pytest.raises(BadInput, match="finetune needs either a text, .*, or conversations"):
        lb.finetune(base.guid, "tale", chat="talks.jsonl", path=home)
    with pytest.raises(BadInput, match="tale.txt: line 1 is not JSON"):
        lb.finetune(base.guid, chat="tale", path=home)
    with pytest.raises(BadInput, match="tokens of talks.jsonl are not in .*'<'.*lora_rank"):
        lb.finetune(base.guid, chat=home / "talks.jsonl", path=home, lora_rank=4)
    for wrong in (dict(n_emb=24), dict(n_emb=8), dict(n_layers=9), dict(c_network="swi"), dict(c_tokenizer="word")):
        name, value = next(iter(wrong.items()))
        with pytest.raises(BadInput, match=f"^{name} is {value!r}; allowed in finetune is "):
            lb.finetune(base.guid, "tale", path=home, **wrong)
    assert Workspace(home).resolve(base.guid) == base.guid


# talking

@pytest.fixture(scope="module")
def talker(home, tuned):
    return lb.load(tuned.guid, home)


def test_it_answers(home, tuned):
    talk = lb.chat(tuned.guid, path=home, temperature=0, seed=1)
    assert [talk(f"What is the {animal}?") for animal in COLOURS] == [f"The {animal} is {colour}." for animal, colour in COLOURS.items()]
    assert talk.messages[:2] == ASKED[0] and len(talk.messages) == 8
    assert "".join(talk.stream("What is the owl?")) == "The owl is green."


def test_the_oldest_exchanges_leave_the_view_whole(home, talker):
    """80 tokens in view, 30 of them kept for the answer: an exchange and the next question have more than 50"""
    talk = Conversation(talker, "kodalite", Sampling(temperature=0), 30, 1)
    for animal, gone in zip(("cat", "dog", "fox"), (0, 2, 4)):
        assert talk(f"What is the {animal}?") == f"The {animal} is {COLOURS[animal]}." and talk.forgotten == gone
    assert len(talk.messages) == 6 and talker.decode(talk.visible_ids()).startswith("<|user|>\nWhat is the fox?\n")
    talk = Conversation(talker, "kodalite", Sampling(temperature=0), 30, 1, system="B")
    talk("What is the cat?"), talk("What is the dog?")
    talk.messages.append(USER("x"))
    assert talker.decode(talk.visible_ids()) == "<|system|>\nB\n<|user|>\nx\n<|assistant|>\n" and talk.forgotten == 4
    talk.messages.append(USER("y" * 200))                                   # nothing to leave out: the model sees its newest part
    assert len(talk.visible_ids()) > 200
    talk.reset()
    assert talk.messages == [SYSTEM("B")] and talk.forgotten == 0


class Parrot:
    """Stands for a model that says these bytes, whatever it is asked"""

    def __init__(self, monkeypatch, text):
        from littlebaby.inference import chat
        from littlebaby.text.bpe import BPE
        self.tokenizer, self.config, self.p = BPE.train("x" * 300, 257), Config(n_ctx=200), None
        said = [np.array([i]) for i in self.tokenizer.encode(text)]
        monkeypatch.setattr(chat, "generate", lambda p, cfg, ids, n, sampling, rng: iter(said[:n]))


def test_streaming_holds_back_marks_and_half_characters(monkeypatch):
    """A byte at a time: no piece holds half a character, nothing of a mark shows, what only looked like one does"""
    talk = Conversation(Parrot(monkeypatch, "ά <|e… 😀\n<|end|> never"), "kodalite", Sampling(), 100, 0)
    pieces = list(talk.stream("?"))
    assert "".join(pieces) == "ά <|e… 😀" and pieces == ["ά", " ", "<|e…", " ", "😀", ""] and talk.messages[-1] == BABY("ά <|e… 😀")
    talk = Conversation(Parrot(monkeypatch, "One.<|endoftext|> Two."), "chatml", Sampling(), 100, 0)
    assert talk("?") == "One."                                              # a special token ends an answer as well
    talk = Conversation(Parrot(monkeypatch, "It is late."), "plain", Sampling(), 100, 0)
    for piece in talk.stream("?"):
        if piece == "s":
            break
    assert talk.messages == [USER("?"), BABY("It is")]                      # who stops listening keeps what was heard


def test_what_is_saved_can_be_learned_from(home, tuned):
    talk = lb.chat(tuned.guid, path=home, temperature=0, seed=1, system="Hi")
    talk("What is the cat?")
    path, second = talk.save(), talk.save()
    assert path != second and path.parent == home / "outputs"
    assert conversations(path.read_text()) == [[SYSTEM("Hi"), USER("What is the cat?"), BABY(talk.messages[-1]["content"])]]
    kept = json.loads(path.read_text())
    assert kept["seed"] == 1 and kept["template"] == "kodalite" and kept["settings"]["temperature"] == 0 and kept["guid"] == tuned.guid
    assert path in [file.path for file in Workspace(home).files(tuned.guid)]
    with pytest.raises(BadInput, match="has no workspace to be saved in"):
        Conversation(talk.baby, "plain", Sampling(), 9, 0).save()


def test_a_shell_says_that_a_baby_has_never_seen_a_conversation(home, tuned):
    from littlebaby.plans.text_output import chat_note

    assert chat_note(tuned.guid, home) == ""
    base = tuned.report.base
    assert chat_note(base, home) == (f"{base[:8]} was trained on a text, not on conversations, so it continues the text instead of "
                                     "answering; `littlebaby finetune` with --chat makes a run that answers")


def test_chat_from_a_shell(home, tuned, monkeypatch, capsys):
    """Lines from a pipe: answers on stdout, all else on stderr"""
    said = "What is the cat?\n/temp 0\n\n/temp warm\n/rest\n/save\n/reset\nWhat is the dog?\n/quit\nnever read\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    assert cli.main(["chat", tuned.guid, "--path", str(home), "--temperature", "0"]) == 0
    out = capsys.readouterr()
    assert out.out == "The cat is red.\nThe dog is blue.\n"
    lines = out.err.splitlines()
    assert lines[0] == "temperature 0.0" and "temperature is 'warm'" in lines[1] and "did you mean /reset?" in lines[2]
    assert lines[3].startswith("saved as ") and lines[4] == "a new conversation begins" and len(lines) == 5

    monkeypatch.setattr("sys.stdin", io.StringIO("What is the owl? ß"))
    assert cli.main(["chat", tuned.guid, "--path", str(home), "--json", "--temperature", "0", "--system", "S"]) == 0
    out = capsys.readouterr()
    assert [each["role"] for each in json.loads(out.out)["messages"]] == ["system", "user", "assistant"] and "ß was read as SS" in out.err


def test_an_interrupted_answer_is_kept(home, talker, monkeypatch, capsys):
    def three(p, cfg, ids, n, sampling, rng):
        yield from talker.encode("The")[:, None]
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("littlebaby.inference.chat"), "generate", three)
    talk = Conversation(talker, "kodalite", Sampling(), 9, 0)
    print_answer(talk, "What is the cat?", False)
    out = capsys.readouterr()
    assert out.out == "The\n" and out.err == " ...\n" and talk.messages[-1] == BABY("The")


@pytest.mark.parametrize("settings, sentence", [(dict(template="chatlm"), "did you mean chatml"), (dict(max_tokens=0), "max_tokens is 0"),
                                                (dict(temperature=-1), "temperature is -1")])
def test_wrong_use_of_chat(home, tuned, settings, sentence):
    with pytest.raises(BadInput, match=sentence):
        lb.chat(tuned.guid, path=home, **settings)
