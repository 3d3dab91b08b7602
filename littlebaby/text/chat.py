"""chat: how a conversation becomes text, and whose text is learned.

A conversation is a list of messages, {"role": "user", "content": "..."}: an optional system message, then user and assistant by turns.
A template puts a mark before and after each. Only what the assistant says is a target, and the mark that ends it: it learns to answer
and to stop, not to ask.

    kodalite   <|user|>⏎ Q ⏎<|assistant|>⏎ A ⏎<|end|>        the marks of KodaLite, spelled as ordinary text
    chatml     <|im_start|>user⏎ Q <|im_end|>⏎ <|im_start|>assistant⏎ A <|im_end|>
    plain      User: Q ⏎⏎ Assistant: A ⏎⏎ User:              nothing but names, for small vocabularies

Every piece is tokenized alone, in learning and in speaking, so no token reaches over a mark. Deviation: KodaLite ends a conversation
with <|end|>, we end every answer with it.
"""
import re
from typing import NamedTuple

import numpy as np

from littlebaby.errors import BadInput, nearest
from littlebaby.text.tokenizer_helpers import jsonl_rows

ROLES = ("system", "user", "assistant")
CALLED = dict(human="user", prompter="user", instruction="user", gpt="assistant", bot="assistant", model="assistant")     # by others


class Template(NamedTuple):
    """What stands before and after what each role says, what between an answer and the next turn, and what ends an answer"""
    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    between: str
    stops: tuple[str, ...]


TEMPLATES = dict(
    kodalite=Template(("<|system|>\n", "\n"), ("<|user|>\n", "\n"), ("<|assistant|>\n", "\n<|end|>"), "\n",
                      ("\n<|end|>", "<|end|>", "\n<|user|>")),
    chatml=Template(("<|im_start|>system\n", "<|im_end|>\n"), ("<|im_start|>user\n", "<|im_end|>\n"),
                    ("<|im_start|>assistant\n", "<|im_end|>"), "\n", ("<|im_end|>", "<|im_start|>")),
    plain=Template(("System: ", "\n\n"), ("User: ", "\n\n"), ("Assistant: ", "\n\nUser: "), "", ("\n\nUser:", "\n\nAssistant:")))


def template(name):
    """The template of this name. BadInput for a name that is none"""
    if name not in TEMPLATES:
        raise BadInput(nearest("c_template", name, TEMPLATES))
    return TEMPLATES[name]


# --- messages -> pieces of text ---

def pieces(messages, form):
    """[(text, whether it is learned), ...]: together the whole conversation in the Template `form`"""
    out, last, answered = [], "", False
    for message in messages:
        before, after = getattr(form, message["role"])
        out.append((form.between if answered else "", False))
        out.append(("" if last.endswith(before) else before, False))        # plain: an answer's end calls the user itself
        last, answered = after, message["role"] == "assistant"
        out += [(message["content"], answered), (after, answered)]
    return [(text, learned) for text, learned in out if text]


def question(messages, form):
    """The pieces up to where the assistant is to speak"""
    return [*pieces(messages, form), (form.assistant[0], False)]


def ids_of(pieces, tokenizer):
    """ids (n,), after those that the tokenizer puts before every text, and whether each is learned (n,)"""
    spelled = [np.array(tokenizer.special_tokens.prefix, np.int32), *(tokenizer.encode(text) for text, _ in pieces)]
    return np.concatenate(spelled), np.repeat([False, *(learned for _, learned in pieces)], [len(ids) for ids in spelled])


def exchanges(messages):
    """The system's message if there is one, [] or [it], and the rest cut before every question that follows an answer"""
    head, parts = [each for each in messages[:1] if each["role"] == "system"], []
    for i, each in enumerate(messages[len(head):], len(head)):
        if not parts or messages[i - 1]["role"] == "assistant" != each["role"]:
            parts.append([])
        parts[-1].append(each)
    return head, parts


def as_text(pieces):
    return "".join(text for text, _ in pieces)


# --- the files of others -> messages ---

def conversations(text):
    """The conversations of a JSONL text, each a list of messages that ends with an answer. Rows may be

        {"messages": [{"role": ..., "content": ...}, ...]}         the roles system, user, assistant; "conversations" with from, value
        {"instruction": ..., "context": ..., "response": ...}      Dolly: a context goes under the question
        {"prompt": {"role", "text", "replies": [...]}, ...}        OASST trees: one conversation for each path that ends in an answer
        {"message_id", "parent_id", "role", "text"}                OASST messages, one a row, in any order

    BadInput names the line that is none of these, and a file that has no answer at all.
    """
    found = []
    loose = []
    for number, row in jsonl_rows(text):
        if "message_id" in row and "text" in row:
            loose.append((number, row))
        else:
            found += of_row(row, number)
    found += tree_paths(trees_by_parent(loose))
    found = [messages for messages in map(up_to_the_last_answer, found) if messages]
    if not found:
        raise BadInput("the file has no conversation in which an assistant answers")
    return found


def of_row(row, number):
    """The conversations of one row"""
    if "messages" in row or "conversations" in row:
        turns = row.get("messages", row.get("conversations"))
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise BadInput(f"line {number}: 'messages' must be a list of objects with 'role' and 'content'")
        return [[message(turn, number) for turn in turns]]
    if "instruction" in row:
        answer = row.get("response", row.get("output"))
        context = row.get("context") or row.get("input") or ""
        asked = checked_content(row["instruction"], "instruction",
                                number) + (f"\n\nContext:\n{checked_content(context, 'context', number)}" if context else "")
        return [[dict(role="user", content=asked), dict(role="assistant", content=checked_content(answer, "response", number))]]
    if isinstance(row.get("prompt"), dict):
        return tree_paths([reply_tree(row["prompt"], number)])
    raise BadInput(f"line {number} has {', '.join(map(repr, [*row][:6])) or 'nothing'}; known are rows with 'messages', with 'instruction' "
                   f"and 'response', and OASST's with 'prompt' or 'message_id'")


def message(turn, number):
    role = str(turn.get("role", turn.get("from", ""))).lower()
    role = CALLED.get(role, role)
    if role not in ROLES:
        raise BadInput(f"line {number}: " + nearest("role", role, ROLES))
    content = next((turn[name] for name in ("content", "value", "text") if name in turn), None)
    return dict(role=role, content=checked_content(content, "content", number))


def checked_content(content, name, number):
    if not isinstance(content, str):
        raise BadInput(f"line {number}: {name!r} must be a text, not {type(content).__name__}")
    return trimmed(content)


def trimmed(text):
    """A message without empty lines before and white space behind it. Its first line keeps an indentation, as code needs it; a single
    space is none"""
    return re.sub(r"\A(?:[^\S\n]*\n)*(?: (?=\S))?", "", text).rstrip()


class Branch(NamedTuple):
    message: dict
    replies: list


def reply_tree(tree, number):
    """A tree of nested replies"""
    replies = tree.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise BadInput(f"line {number}: 'replies' must be a list of objects")
    return Branch(message(tree, number), [reply_tree(reply, number) for reply in replies])


def trees_by_parent(loose):
    """The trees of messages that name their parents; one whose parent is missing is left out with all that follows from it"""
    known = {row["message_id"]: Branch(message(row, number), []) for number, row in loose}
    roots = []
    for _, row in loose:
        parent = row.get("parent_id")
        siblings = known[parent].replies if parent in known else roots if parent is None else []
        siblings.append(known[row["message_id"]])
    return roots


def tree_paths(roots):
    """Every way from a root to an answer that none follows"""
    found = []
    open_ways = [[root] for root in reversed(roots)]
    while open_ways:
        way = open_ways.pop()
        onward = way[-1].replies
        if way[-1].message["role"] == "assistant" and not any(then.replies for then in onward):
            found.append([branch.message for branch in way])
        open_ways += [[*way, reply] for reply in reversed(onward)]
    return found


def up_to_the_last_answer(messages):
    """The conversation without what nobody answered; [] where there is no answer"""
    last = max((i for i, each in enumerate(messages) if each["role"] == "assistant" and each["content"]), default=-1)
    return messages[:last + 1]
