"""Masking of keys and tokens in whatever is shown or written."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Mapping

MASK = "[masked]"

# Formats that name themselves. Sources: the issuers' own pages on their token formats.
_FORMS = (
    r"hf_[A-Za-z0-9]{16,}|api_org_[A-Za-z0-9]{20,}",  # Hugging Face
    r"(?:sk|pk|rk)-(?:[A-Za-z]{2,12}-)?[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic and those who copied the form
    r"(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}",  # Stripe
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}",  # GitHub
    r"gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent)-[A-Za-z0-9_.-]{16,}",  # GitLab
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS key id
    r"AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}",  # Google
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}",  # Slack
    r"nvapi-[A-Za-z0-9_-]{20,}",  # NVIDIA
    r"npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}",
    r"dckr_[po]at_[A-Za-z0-9_-]{20,}",  # Docker
    r"r8_[A-Za-z0-9]{30,}",  # Replicate
    r"gsk_[A-Za-z0-9]{20,}",  # Groq
    r"xai-[A-Za-z0-9]{30,}|pplx-[A-Za-z0-9]{30,}|fw_[A-Za-z0-9]{20,}",  # xAI, Perplexity, Fireworks
    r"wandb_v\d_[A-Za-z0-9_]{20,}",
    r"dop_v1_[a-f0-9]{40,}|dapi[a-f0-9]{32}|hv[bs]\.[A-Za-z0-9_-]{20,}|tskey-[A-Za-z0-9-]{16,}",  # DigitalOcean, Databricks, Vault, Tailscale
    r"gl(?:sa|c)_[A-Za-z0-9_+/=]{20,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|lin_api_[A-Za-z0-9]{20,}",  # Grafana, SendGrid, Linear
    r"\d{8,10}:AA[A-Za-z0-9_-]{32,}",  # Telegram
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    r"ms-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|rpa_[A-Za-z0-9]{20,}",  # ModelScope, RunPod
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",  # JSON web tokens
)
# What a value is called, wherever the value itself has no form: wandb keys, passwords, an --api-key. Words before it
# stay out of the pattern: a run of a million of them would be tried from each of its places.
_KINDS = (
    r"(?:api|access|account|secret|private|auth|signing|encryption|master|admin|service|subscription|license|shared)"
)
_NAMES = (
    rf"(?:{_KINDS}[_-]?(?:access[_-]?)?keys?|passw(?:or)?d|passphrase|pwd|secret(?:[_-]?id)?|token|credentials?|auth)"
)
# Of a variable ``KEY`` is enough: that is how people name the one that --api-key is given.
_NAME = re.compile(rf"[\w-]{{0,100}}(?:{_NAMES}|authorization|key)", re.IGNORECASE)
# Tokens that a model reads, and words that only stand before such a value.
_ORDINARY = re.compile(
    r"(?i)(?:eos|bos|pad|unk|sep|cls|mask|image|video|audio|stop|start|end|think|special|draft|next|new|last|first|prompt|per|output|input|begin|placeholder"
    r"|unexpected|invalid|each|every|this|any|one|no|fim|eot|eog|lf|role|chunk|decode)[ _-]?$"
)
_QUOTED = r"\"(?:[^\"\\\n]|\\.){1,4000}\"?|'(?:[^'\\\n]|\\.){1,4000}'?"
_VALUE = rf"(?:\[[^\]\n]{{1,4000}}\]?|\\[\"'][^\"'\\\n]{{1,4000}}(?:\\[\"'])?|{_QUOTED}|[^\s\"'`]{{2,4000}})"
_SIGN = r"\\?[\"']?\s{0,8}(?:=>|[:=])\s{0,8}"
# What stands there when no secret does: nothing, a variable, or the mask itself.
_NOT = r"(?![\"'\[(\\]{0,3}(?:(?:None|null|true|false|yes|no|required|optional)\b|\[?masked|\$[\w{(]|\*{3}|<[\w/|]))"
_NUMBER = re.compile(r"[\d.,]{1,40}[a-zA-Z%/]{0,6}[.,;)}\]]{0,3}")
_PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_FORMS)})"),
    re.compile(r"(?P<keep>://[^\s/:@]{0,64}:)(?!\[masked)[^\s/]{1,200}(?=@)"),
    re.compile(r"(?P<keep>://)[A-Za-z0-9_-]{16,200}(?=@)"),
    re.compile(r"(?i)(?P<keep>hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/)[\w/-]{8,200}"),
    re.compile(
        r"(?i)(?P<keep>[?&](?:key|sig|signature|code|x-amz-(?:signature|credential|security-token))=)(?!\[masked)[^\s&\"'#]{4,1000}"
    ),
    re.compile(
        r"(?i)(?P<keep>\bauthorization"
        + _SIGN
        + r"[\"'\\]{0,2}(?!(?:(?:bearer|basic|token|digest|apikey)\s{1,8})?\[masked)(?:(?:bearer|basic|token|digest|apikey)\s{1,8})?)[^\s\"'\\]{2,4000}"
    ),
    re.compile(r"(?i)(?P<keep>\b(?:set-)?cookie:\s{0,8})(?!\s|\[masked)[^\"'\n]{4,4000}"),
    re.compile(
        r"(?P<keep>\b(?i:bearer)\s{1,8})(?!(?i:auth|tier|model|token|scheme|header|format)\w{0,20}\b)[A-Za-z0-9._~+/=-]{8,4000}"
    ),
    re.compile(
        r"(?P<keep>\b(?i:basic)\s{1,8})(?=[a-z._~+/-]{0,200}[A-Z0-9=])(?=[A-Za-z0-9+/]{8})[A-Za-z0-9._~+/=-]{8,4000}"
    ),
    re.compile(
        r"(?P<keep>\b(?i:(?:x-)?api-?key)\s{1,8})(?=[A-Za-z._~+/=-]{0,200}\d)(?=[\d._~+/=-]{0,200}[A-Za-z])[A-Za-z0-9._~+/=-]{12,4000}"
    ),
    re.compile(rf"(?P<keep>(?<![\w-])[A-Z0-9_]{{0,60}}KEY=){_NOT}(?P<value>{_VALUE})"),
    re.compile(rf"(?i)(?P<keep>{_NAMES}{_SIGN}){_NOT}(?P<value>{_VALUE})"),
    re.compile(
        rf"(?i)(?P<keep>{_NAMES}[\"']?,?\s{{1,40}}(?:-\s)?[\"']?value[\"']?\s{{0,8}}:\s{{0,8}}){_NOT}(?P<value>{_VALUE})"
    ),
    re.compile(rf"(?i)(?P<keep>--[\w-]{{0,30}}{_NAMES}[\"']?,?\s{{1,40}}){_NOT}(?P<value>{_VALUE})"),
    re.compile(rf"(?i)(?P<keep>\blogin\s{{1,8}}\S{{1,100}}\s{{1,8}}password\s{{1,8}}){_NOT}(?P<value>{_VALUE})"),
)
_HINT = re.compile(
    r"(?i)key|token|secret|passw|passphrase|pwd|credential|auth|cookie|bearer|basic|://|hf_|api_org|sk[-_]|pk[-_]|rk[-_]|whsec|gh[pousr]_|github_pat|gl[a-z]{1,5}[-_]"
    r"|AKIA|ASIA|AIza|ya29|GOCSPX|xox|xapp|nvapi|npm_|pypi-|dckr|r8_|gsk_|xai-|pplx|fw_|wandb|dop_v1|dapi|hv[bs]\.|SG\.|lin_api|:AA|eyJ|ms-|rpa_"
)
_TRAILING = ",;)}]&"


# Flags of ``vllm serve`` whose values are secrets, whatever they look like.
_SECRET_FLAGS = ("--api-key", "--hf-token")
_GIVEN = re.compile(r"--(?:api[-_]key|hf[-_]token)[=\s]\s{0,8}[\"']?\$\{?([A-Za-z_]\w{0,80})")


def mask_value(name: str, value: str) -> str:
    """The value of a variable called ``name``, masked where the name or its own form says that it is a secret.

    >>> mask_value("HF_TOKEN", "hf_x y"), mask_value("NCCL_DEBUG", "INFO"), mask_value("MAX_TOKENS", "8192")
    ('[masked]', 'INFO', '8192')
    """
    if _NAME.fullmatch(name) and value.strip() and value.lower() not in ("none", "null", "true", "false"):
        return MASK
    return mask(value)[0]


def mask_environment(environment: Mapping[str, str], words: Iterable[str]) -> dict[str, str]:
    """The variables of a command, masked; also those that its secret flags were given, whatever they are called.

    Args:
        environment: names and values.
        words: the command's words, variables put in.

    >>> mask_environment({"K": "Qx7Plm29", "NCCL_DEBUG": "INFO"}, ["--api-key", "Qx7Plm29"])
    {'K': '[masked]', 'NCCL_DEBUG': 'INFO'}
    """
    secret = secret_values(words)
    return {name: MASK if _is_within(value, secret) else mask_value(name, value) for name, value in environment.items()}


def without_secrets(environment: Mapping[str, str], words: Iterable[str]) -> dict[str, str]:
    """The variables of a command without those that its secret flags were given: the command holds their values itself."""
    secret = secret_values(words)
    return {name: value for name, value in environment.items() if not _is_within(value, secret)}


def secret_values(words: Iterable[str]) -> list[str]:
    """The values of the secret flags of a command.

    >>> secret_values(["--api-key", "one", "two", "--hf-token=three", "--port", "8000"])
    ['one', 'two', 'three']
    """
    found, secret = [], False
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            secret = name.replace("_", "-") in _SECRET_FLAGS
            if secret and equals:
                found.append(value)
        elif secret:
            found.append(word)
    return found


def _is_within(value: str, secret: list[str]) -> bool:
    return bool(value.strip()) and any(value == one or (len(value) >= 4 and value in one) for one in secret)


def mask_words(words: Iterable[str]) -> list[str]:
    """Words of a command with the values of secret flags, and what else looks like a secret, replaced.

    >>> mask_words(["--api-key", "one", "two", "--port", "8000"])
    ['--api-key', '[masked]', '[masked]', '--port', '8000']
    """
    out, hidden = [], False
    words = list(words)
    secret = [value for value in secret_values(words) if len(value) >= 8]
    for word in words:
        for value in secret:  # the same value behind another flag
            word = word.replace(value, MASK)
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

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        made = _masked(match)
        count += made != match[0]
        return made

    for name in set(_GIVEN.findall(text)):
        set_before = re.compile(rf"(?P<keep>(?<![\w$]){re.escape(name)}=){_NOT}(?P<value>{_VALUE})")
        text = set_before.sub(replaced, text)
    for pattern in _PATTERNS:
        text = pattern.sub(replaced, text)
    return text, count


def _masked(match: re.Match[str]) -> str:
    """The match with the mask for its secret; quotes and what closes a list or a call stay where they were."""
    parts = match.groupdict()
    keep, value = parts.get("keep") or "", parts.get("value")
    if value is None:
        return keep + MASK
    if _is_ordinary(keep, value, match.string[max(match.start() - 20, 0) : match.start()]):
        return match[0]
    if value[0] in "\"'" or value[:2] in ('\\"', "\\'"):
        quote = value[: 2 if value[0] == "\\" else 1]
        return keep + quote + MASK + (quote if len(value) > len(quote) and value.endswith(quote) else "")
    if value[0] == "[":
        return keep + "[" + MASK + ("]" if value.endswith("]") else "")
    end = len(value.rstrip(_TRAILING + "\\"))
    return keep + MASK + value[end:] if end else match[0]


def _is_ordinary(keep: str, value: str, before: str) -> bool:
    """Whether a name and what follows are a figure, or a token that a model reads, and no secret."""
    name = keep.rstrip(" \t\"'\\:=>,").lower()
    bare = value.strip("\"'")
    if _NUMBER.fullmatch(bare) and (len(bare) < 6 or name.endswith("token")):
        return True
    if name.endswith("token"):
        before += keep[: len(name) - 5]
        return bool(_ORDINARY.search(before)) or (before[-1:] not in ("_", "-") and len(bare) < 8)
    return name.endswith("auth") and len(bare) < 8
