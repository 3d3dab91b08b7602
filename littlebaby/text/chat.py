"""chat: how a conversation is formatted as text, and which of its tokens are targets.

A conversation is a list of messages, {"role": "user", "content": "..."}: an optional system message, then user and assistant in turn.
A template puts a mark before and after each message. The targets are the tokens of the assistant's messages and of the mark that ends
them, so the model learns to answer and to stop, but not to write questions.

    kodalite   <|user|>⏎ Q ⏎<|assistant|>⏎ A ⏎<|end|>        the marks of KodaLite, as ordinary text
    chatml     <|im_start|>user⏎ Q <|im_end|>⏎ <|im_start|>assistant⏎ A <|im_end|>
    plain      User: Q ⏎⏎ Assistant: A ⏎⏎ User:              only names as marks, for small vocabularies
    line       User: Q ⏎ Assistant: A ⏎⏎                     an answer ends at an empty line, as the documents of the nursery do: a model
                                                             that learns to answer so does not learn to begin a document with User:

Every mark and every message is tokenized separately, in training and in generation, so no token crosses the border of a mark. Deviation:
KodaLite ends a conversation with <|end|>, littlebaby ends every answer with it.
"""
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from littlebaby.errors import BadInput, nearest
from littlebaby.text.tokenizer_helpers import jsonl_rows, unknown_fields

if TYPE_CHECKING:
    from littlebaby.text import Tokenizer

Message = dict[str, str]                         # {"role": one of ROLES, "content": text}
Piece = tuple[str, bool]                         # a part of a conversation as text, and whether its tokens are targets

ROLES = ("system", "user", "assistant")
OTHER_ROLE_NAMES = dict(human="user", prompter="user", instruction="user", gpt="assistant", bot="assistant", model="assistant")


class Template(NamedTuple):
    """The marks (before, after) of the messages of each role, the text between an answer and the next turn, and the texts that end an
    answer"""
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
    plain=Template(("System: ", "\n\n"), ("User: ", "\n\n"), ("Assistant: ", "\n\nUser: "), "", ("\n\nUser:", "\n\nAssistant:")),
    line=Template(("System: ", "\n"), ("User: ", "\n"), ("Assistant: ", "\n\n"), "", ("\n\n",)))


def template(name: str) -> Template:
    """The template of this name. BadInput for an unknown name"""
    if name not in TEMPLATES:
        raise BadInput(nearest("c_template", name, TEMPLATES))
    return TEMPLATES[name]


# --- messages -> pieces of text ---

def pieces(messages: Iterable[Message], form: Template) -> list[Piece]:
    """[(text, whether its tokens are targets), ...]: together the whole conversation in the Template `form`"""
    out: list[Piece] = []
    last, answered = "", False
    for message in messages:
        before, after = getattr(form, message["role"])
        out.append((form.between if answered else "", False))
        out.append(("" if last.endswith(before) else before, False))        # plain: the mark that ends an answer begins the next question
        last, answered = after, message["role"] == "assistant"
        out += [(message["content"], answered), (after, answered)]
    return [(text, target) for text, target in out if text]


def question(messages: Iterable[Message], form: Template) -> list[Piece]:
    """The pieces of a conversation and the mark that begins the assistant's next answer"""
    return [*pieces(messages, form), (form.assistant[0], False)]


def ids_of(pieces: list[Piece], tokenizer: "Tokenizer") -> tuple[np.ndarray, np.ndarray]:
    """(ids (n,), whether each is a target (n,)) of the pieces, after the prefix of the tokenizer"""
    ids = [np.array(tokenizer.special_tokens.prefix, np.int32), *(tokenizer.encode(text) for text, _ in pieces)]
    return np.concatenate(ids), np.repeat([False, *(target for _, target in pieces)], [len(each) for each in ids])


def exchanges(messages: list[Message]) -> tuple[list[Message], list[list[Message]]]:
    """([the system's message] or [], the other messages split before every question that follows an answer)"""
    system, parts = [each for each in messages[:1] if each["role"] == "system"], list[list[Message]]()
    for i, each in enumerate(messages[len(system):], len(system)):
        if not parts or messages[i - 1]["role"] == "assistant" != each["role"]:
            parts.append([])
        parts[-1].append(each)
    return system, parts


def as_text(pieces: Iterable[Piece]) -> str:
    """The text of all pieces"""
    return "".join(text for text, _ in pieces)


# --- foreign files -> messages ---

def conversations(text: str) -> list[list[Message]]:
    """The conversations of a JSONL text, each a list of messages that ends with an answer. Rows may be

        {"messages": [{"role": ..., "content": ...}, ...]}         the roles system, user, assistant; "conversations" with from, value
        {"instruction": ..., "context": ..., "response": ...}      Dolly: the context is appended to the question
        {"prompt": {"role", "text", "replies": [...]}, ...}        OASST trees: one conversation for each path that ends in an answer
        {"message_id", "parent_id", "role", "text"}                OASST messages, one a row, in any order

    BadInput where a line is none of these, and where the file has no answer at all.
    """
    found = list[list[Message]]()
    single_messages = []
    for number, row in jsonl_rows(text):
        if "message_id" in row and "text" in row:
            single_messages.append((number, row))
        else:
            found += of_row(row, number)
    found += tree_paths(trees_by_parent(single_messages))
    found = [messages for messages in map(up_to_the_last_answer, found) if messages]
    if not found:
        raise BadInput("the file has no conversation in which an assistant answers")
    return found


def of_row(row: dict[str, Any], number: int) -> list[list[Message]]:
    """The conversations of one row. number: that of its line, which the errors name"""
    if "messages" in row or "conversations" in row:
        turns = row.get("messages", row.get("conversations"))
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise BadInput(f"line {number}: 'messages' must be a list of objects with 'role' and 'content'")
        return [[message(turn, number) for turn in turns]]
    if "instruction" in row:
        answer = row.get("response", row.get("output"))
        instruction = checked_content(row["instruction"], "instruction", number)
        if context := row.get("context") or row.get("input") or "":
            instruction += f"\n\nContext:\n{checked_content(context, 'context', number)}"
        return [[dict(role="user", content=instruction), dict(role="assistant", content=checked_content(answer, "response", number))]]
    if isinstance(row.get("prompt"), dict):
        return tree_paths([reply_tree(row["prompt"], number)])
    raise BadInput(unknown_fields(number, row, "'messages', with 'instruction' and 'response', and those of OASST with 'prompt' or "
                                               "'message_id'"))


def message(turn: dict[str, Any], number: int) -> Message:
    """The message of one turn. BadInput for an unknown role, or a content that is no text"""
    role = str(turn.get("role", turn.get("from", ""))).lower()
    role = OTHER_ROLE_NAMES.get(role, role)
    if role not in ROLES:
        raise BadInput(f"line {number}: " + nearest("role", role, ROLES))
    content = next((turn[name] for name in ("content", "value", "text") if name in turn), None)
    return dict(role=role, content=checked_content(content, "content", number))


def checked_content(content: Any, name: str, number: int) -> str:
    """The text of a message, trimmed. BadInput where it is no text"""
    if not isinstance(content, str):
        raise BadInput(f"line {number}: {name!r} must be a text, not {type(content).__name__}")
    return trimmed(content)


def trimmed(text: str) -> str:
    """A message without empty lines before it and white space after it

    Its first line keeps its indentation, for code; a single space does not count as indentation.
    """
    return re.sub(r"\A(?:[^\S\n]*\n)*(?: (?=\S))?", "", text).rstrip()


class Branch(NamedTuple):
    """A message and the branches that reply to it"""
    message: Message
    replies: list["Branch"]


def reply_tree(tree: dict[str, Any], number: int) -> Branch:
    """The Branch of an object with nested 'replies'. BadInput where these are not a list of objects"""
    replies = tree.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise BadInput(f"line {number}: 'replies' must be a list of objects")
    return Branch(message(tree, number), [reply_tree(reply, number) for reply in replies])


def trees_by_parent(rows: list[tuple[int, dict[str, Any]]]) -> list[Branch]:
    """The roots of the trees of messages that name their parents; a message without its parent is omitted, with all replies to it

    rows: (line number, object)
    """
    known = {row["message_id"]: Branch(message(row, number), []) for number, row in rows}
    roots = list[Branch]()
    for _, row in rows:
        parent = row.get("parent_id")
        siblings = known[parent].replies if parent in known else roots if parent is None else []
        siblings.append(known[row["message_id"]])
    return roots


def tree_paths(roots: list[Branch]) -> list[list[Message]]:
    """The messages of every path from a root to an answer after which there is no other answer"""
    found = []
    paths = [[root] for root in reversed(roots)]
    while paths:
        path = paths.pop()
        replies = path[-1].replies
        if path[-1].message["role"] == "assistant" and not any(reply.replies for reply in replies):
            found.append([branch.message for branch in path])
        paths += [[*path, reply] for reply in reversed(replies)]
    return found


def up_to_the_last_answer(messages: list[Message]) -> list[Message]:
    """The conversation without the messages after its last answer; [] where it has no answer"""
    last = max((i for i, each in enumerate(messages) if each["role"] == "assistant" and each["content"]), default=-1)
    return messages[:last + 1]
