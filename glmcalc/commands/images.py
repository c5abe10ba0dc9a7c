"""Container images: which engine one runs, and which release of it."""

from __future__ import annotations

import re

from glmcalc.facts.engines import NEWEST
from glmcalc.facts.frozen import record

# What a build adds to its release: CUDA, architecture, base system, packaging.
_RELEASE = re.compile(r"v?(\d{1,3}\.\d{1,3}\.\d{1,3}(?:\.post\d+)?)((?:rc\d+|\.?dev\d+)?)(?:[-+_.][\w.+-]*)?")
_INSIDE = re.compile(r"(?<![\d.])v?(\d{1,3}\.\d{1,3}\.\d{1,3})(?![\d.])")
_LONGEST_NAME = 100


@record
class Image:
    """A container image as a text names it.

    Attributes:
        name: the whole name.
        engine_version: the engine's release as its tag states it; for a fork's image or a development build a version
            that says so; None where the name does not tell.
        warning: what a reader should know of it, or None.
    """

    name: str
    engine_version: str | None
    warning: str | None


def image_engine(image: str) -> str | None:
    """The engine that a container image runs, by its name."""
    name = image.lower()
    if "vllm" in name:
        return "vllm"
    if "sglang" in name:
        return "sglang"
    return "llama.cpp" if "llama" in name and "server" in name else None


def read_image(image: str, engine: str) -> Image:
    """What the name of an image says about the engine's release.

    ``v0.26.0-cu129`` is release 0.26.0. ``nightly``, and a tag of the engine's own repository that is no release, is a
    development build; ``latest``, a digest and no tag at all leave the release open; another repository's image is a fork's.
    """
    name = image.strip()[:_LONGEST_NAME]
    repository, tag = _split(name.partition("@")[0])
    match = _RELEASE.fullmatch(tag)
    release = (match[1] + match[2]) if match else None
    if engine != "vllm":
        return Image(name, release, None)
    unless = f"unless it is given, the rules of vLLM {NEWEST} are used"
    if not _upstream(repository):
        inside = _INSIDE.search(tag)
        stated = release or (inside[1] if inside else None)
        left = "" if stated else f" and does not state the release; {unless}, as for a fork"
        version = f"{stated} (fork)" if stated else f"fork ({name})"
        return Image(name, version, f"The image {name} is not the vLLM project's{left}.")
    if release is not None:
        return Image(name, release, None)
    if tag in ("", "latest") or re.search(r"[${}<>]|__", tag):
        return Image(name, None, f"The image {name} does not state the release; {unless}.")
    version = "nightly" if tag == "nightly" else f"{tag} (development build)"
    return Image(name, version, f"The image {name} does not state the release; {unless}, as for a development build.")


def _split(path: str) -> tuple[str, str]:
    """Repository and tag; the colon of a registry's port is neither."""
    head, slash, last = path.rpartition("/")
    name, _, tag = last.partition(":")
    return head + slash + name, tag


def _upstream(repository: str) -> bool:
    parts = repository.lower().split("/")
    return parts[-1].startswith("vllm-openai") or (
        len(parts) > 1 and parts[-2] == "vllm" and parts[-1].startswith("vllm")
    )
