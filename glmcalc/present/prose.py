"""From plain sentences to safe HTML: everything escaped, flags and quoted names set as code, addresses as links."""

from __future__ import annotations

import re
from html import escape

_CODE = re.compile(r"`([^`]+)`|((?<![\w-])--[a-z][\w-]+(?: (?:[0-9](?:[\w.]*\w)?|auto|bfloat16|fp8\w*))?)")
_URL = re.compile(r"https?://[^\s<>\"'`()]*[^\s<>\"'`().,;:]")


def prose(text: str) -> str:
    """A sentence as HTML: escaped; `quoted` words and ``--flags`` as code; addresses as links.

    >>> prose("Add `--max-num-seqs 64` & <b>, or --block-size 64.")
    'Add <code>--max-num-seqs 64</code> &amp; &lt;b&gt;, or <code>--block-size 64</code>.'
    """
    parts, last = [], 0
    for match in _CODE.finditer(text):
        parts.append(_linked(text[last : match.start()]))
        parts.append(f"<code>{escape(match[1] or match[2])}</code>")
        last = match.end()
    return "".join(parts) + _linked(text[last:])


def _linked(text: str) -> str:
    parts, last = [], 0
    for match in _URL.finditer(text):
        parts.append(escape(text[last : match.start()]))
        parts.append(link(match[0], short_address(match[0])))
        last = match.end()
    return "".join(parts) + escape(text[last:])


def link(address: str, words: str) -> str:
    """A link that opens beside the page; ``address`` must be http or https."""
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{escape(words)}</a>'


def source(text: str) -> str:
    """A source cell: what stands in brackets after the first address is its words, else the address shortened.

    >>> source("config.json")
    'config.json'
    """
    found = _URL.search(text)
    if found is None:
        return escape(text)
    said = re.search(r"\(([^()]*)\)", text[found.end() :])
    return link(found[0], said[1] if said else short_address(found[0]))


def short_address(address: str) -> str:
    """A readable name of an address: ``vllm#46074`` for an issue, the last part of the path else.

    >>> short_address("https://github.com/vllm-project/vllm/issues/46074")
    'vllm#46074'
    >>> short_address("https://huggingface.co/zai-org/GLM-5.2-FP8")
    'GLM-5.2-FP8'
    """
    issue = re.fullmatch(r"https?://github\.com/[\w.-]+/([\w.-]+)/(?:issues|pull)/(\d+)\S*", address)
    if issue:
        return f"{issue[1]}#{issue[2]}"
    path = re.sub(r"[?#].*", "", re.sub(r"^https?://", "", address)).rstrip("/")
    tail = path.rsplit("/", 1)[-1]
    return tail if len(tail) > 2 else path
