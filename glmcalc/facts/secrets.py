"""Masking of keys and tokens in whatever is shown or written."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

MASK = "[masked]"

# Formats that name themselves. Sources: the issuers' own pages on their token formats.
_FORMS = (
    r"hf_[A-Za-z0-9]{16,}",  # Hugging Face
    r"(?:sk|pk|rk)-(?:[A-Za-z]{2,12}-)?[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic and those who copied the form
    r"gh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"glpat-[A-Za-z0-9_-]{16,}",  # GitLab
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS key id
    r"AIza[A-Za-z0-9_-]{30,}",  # Google
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"nvapi-[A-Za-z0-9_-]{20,}",  # NVIDIA
    r"npm_[A-Za-z0-9]{30,}",
    r"dckr_pat_[A-Za-z0-9_-]{20,}",  # Docker
    r"r8_[A-Za-z0-9]{30,}",  # Replicate
    r"gsk_[A-Za-z0-9]{20,}",  # Groq
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",  # JSON web tokens
)
# What a value is called, wherever the value itself has no form: wandb keys, passwords, an --api-key.
_NAMES = (
    r"(?:[\w-]*(?:api|access|account|secret|private|auth|signing|encryption)[_-]?(?:access[_-]?)?keys?|[\w-]*passw(?:or)?d|passwd|[\w-]*secret"
    r"|(?:[\w-]+[_-])?token(?!i)|[\w-]*credentials?|aws_secret_access_key|WANDB_API_KEY|HF_TOKEN)"
)
_NAME = re.compile(_NAMES, re.IGNORECASE)
_VALUE = r"[^\s\"',;}\])&]{4,}"
# What stands there when no secret does: nothing, a number, or the mask itself.
_NOT = r"(?!None\b|null\b|true\b|false\b|\[?masked|[\d.,]+(?:\s|[^\w\s]|$))"
_PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_FORMS)})"),
    re.compile(r"(?i)(?P<keep>\b(?:bearer|basic)\s+)(?!(?:auth|tier|model)\w*\b)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@]{1,64}:)[^\s/@]{1,200}(?=@)"),
    re.compile(rf"(?i)(?P<keep>(?<![A-Za-z0-9]){_NAMES}[\"']?\s*(?:=>|[:=])\s*[\[(]?\s*[\"']?){_NOT}{_VALUE}"),
    re.compile(rf"(?i)(?P<keep>(?<!\S)--{_NAMES}\s+[\"']?){_NOT}{_VALUE}"),
)
_HINT = re.compile(
    r"(?i)key|token|secret|passw|credential|bearer|basic|://|hf_|sk-|pk-|rk-|gh[pousr]_|github_pat|glpat|AKIA|ASIA|AIza|ya29|xox|nvapi|npm_|dckr|r8_|gsk_|eyJ"
)


# Flags of ``vllm serve`` whose values are secrets, whatever they look like.
_SECRET_FLAGS = ("--api-key", "--hf-token")


def mask_value(name: str, value: str) -> str:
    """The value of a variable called ``name``, masked where the name or its own form says that it is a secret.

    >>> mask_value("HF_TOKEN", "hf_x y"), mask_value("NCCL_DEBUG", "INFO"), mask_value("MAX_TOKENS", "8192")
    ('[masked]', 'INFO', '8192')
    """
    if _NAME.fullmatch(name) and value.strip() and value.lower() not in ("none", "null", "true", "false"):
        return MASK
    return mask(value)[0]


def mask_words(words: Iterable[str]) -> list[str]:
    """Words of a command with the values of secret flags, and what else looks like a secret, replaced.

    >>> mask_words(["--api-key", "one", "two", "--port", "8000"])
    ['--api-key', '[masked]', '[masked]', '--port', '8000']
    """
    out, hidden = [], False
    for word in words:
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            hidden = name.replace("_", "-") in _SECRET_FLAGS
            out.append(f"{name}={MASK}" if hidden and equals else mask(word)[0])
        else:
            out.append(MASK if hidden else mask(word)[0])
    return out


def mask(text: str) -> tuple[str, int]:
    """``text`` with secrets replaced by ``[masked]``, and how many there were.

    Known token formats are found by their form, other secrets by the name before them. A name that only resembles one
    (``tokens``, ``tokenizer``) and plain numbers stay.

    >>> mask("HF_TOKEN=hf_abcdefghijklmnopqrstuv vllm serve m --max-num-batched-tokens 8192")
    ('HF_TOKEN=[masked] vllm serve m --max-num-batched-tokens 8192', 1)
    """
    if not _HINT.search(text):
        return text, 0
    count = 0
    for pattern in _PATTERNS:
        text, found = pattern.subn(_masked, text)
        count += found
    return text, count


def _masked(match: re.Match[str]) -> str:
    return (match.groupdict().get("keep") or "") + MASK
