"""Conversations in the forms that programs for fine-tuning read. Pure.

- `chatml`: `text`, as OpenAI's "Chat Markup Language" has it (openai-python, chatml.md, version 0)
- `qwen`: `text` by the chat template of Qwen2.5-Instruct (in its tokenizer_config.json): ChatML, with a system prompt
  of its own where there is none
- `llama3`: `text` by the chat template of Meta-Llama-3-8B-Instruct (in its tokenizer_config.json), which strips each
  message
- `alpaca`: `instruction`, `input` and `output`, as in Stanford Alpaca's alpaca_data.json; `system` and `history` beside
  these, as LLaMA-Factory reads them
- `sharegpt`: `conversations` of `from` (system, human, gpt) and `value`, as FastChat and LLaMA-Factory read them
- `openai`: `messages` of `role` and `content`, as in OpenAI's files for fine-tuning; TRL calls that conversational

In the three that are texts, a message that holds a special token would end, or forge, a turn. Tokenisers know no way to
escape one, so that such a conversation is refused. The other three keep a message as it is, token and all: whoever
trains on them must not let the tokeniser read special tokens in messages.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from overnight.base.errors import UserMistake

Turn = Mapping[str, str]
"""A message: `role` (system, user or assistant) and `content`."""
Conversation = Sequence[Turn]
Record = dict[str, Any]  # Any: JSON

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
QWEN_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
_SPECIAL = re.compile(r"<\|[A-Za-z0-9_]+\|>")
_SHAREGPT = {SYSTEM: "system", USER: "human", ASSISTANT: "gpt"}


def formatted(name: str, conversation: Conversation) -> Record:
    """Return the conversation as a row of this format, one of `FORMATS`.

    Raises:
        UserMistake: it cannot be written so; the message says why, in words that many conversations share.
    """
    _check(conversation)
    return FORMATS[name](conversation)


def _check(conversation: Conversation) -> None:
    roles = [turn["role"] for turn in conversation]
    rest = roles[1:] if roles[:1] == [SYSTEM] else roles
    if not rest or len(rest) % 2 or rest != [USER, ASSISTANT] * (len(rest) // 2):
        raise UserMistake("the turns are not those of a user and an assistant, who has the last word")
    for turn in conversation:
        if turn["role"] != SYSTEM and not turn["content"].strip():
            raise UserMistake(f"a message of the {turn['role']} is empty")
        try:
            turn["content"].encode()
        except UnicodeEncodeError:
            raise UserMistake("a message holds half a surrogate pair, which is no text") from None


def _chatml(conversation: Conversation) -> Record:
    _without_tokens(conversation)
    return {"text": "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in conversation)}


def _qwen(conversation: Conversation) -> Record:
    named = conversation[0]["role"] == SYSTEM
    return _chatml(conversation if named else [{"role": SYSTEM, "content": QWEN_SYSTEM}, *conversation])


def _llama3(conversation: Conversation) -> Record:
    _without_tokens(conversation)
    turns = (
        f"<|start_header_id|>{turn['role']}<|end_header_id|>\n\n{turn['content'].strip()}<|eot_id|>"
        for turn in conversation
    )
    return {"text": f"<|begin_of_text|>{''.join(turns)}"}


def _without_tokens(conversation: Conversation) -> None:
    for turn in conversation:
        if found := _SPECIAL.search(turn["content"]):
            raise UserMistake(f"a message holds the special token {found[0]}")


def _alpaca(conversation: Conversation) -> Record:
    system = conversation[0]["content"] if conversation[0]["role"] == SYSTEM else ""
    said = [turn["content"] for turn in conversation if turn["role"] != SYSTEM]
    pairs = list(zip(said[::2], said[1::2], strict=True))
    instruction, output = pairs.pop()
    return {
        "instruction": instruction,
        "input": "",
        "output": output,
        "system": system,
        "history": [list(pair) for pair in pairs],
    }


def _sharegpt(conversation: Conversation) -> Record:
    return {"conversations": [{"from": _SHAREGPT[turn["role"]], "value": turn["content"]} for turn in conversation]}


def _openai(conversation: Conversation) -> Record:
    return {"messages": [{"role": turn["role"], "content": turn["content"]} for turn in conversation]}


FORMATS: Mapping[str, Callable[[Conversation], Record]] = {
    "chatml": _chatml,
    "qwen": _qwen,
    "llama3": _llama3,
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "openai": _openai,
}

_TEXT = {"text": "VARCHAR"}
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "chatml": _TEXT,
    "qwen": _TEXT,
    "llama3": _TEXT,
    "alpaca": {
        **dict.fromkeys(("instruction", "input", "output", "system"), "VARCHAR"),
        "history": "VARCHAR[][]",
    },
    "sharegpt": {"conversations": 'STRUCT("from" VARCHAR, "value" VARCHAR)[]'},
    "openai": {"messages": "STRUCT(role VARCHAR, content VARCHAR)[]"},
}
"""The columns of each format, with their types in the words of DuckDB: never guessed from what texts look like."""
