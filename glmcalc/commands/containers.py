"""Launch commands of containers: which word is the image, what runs in it, and what its options set."""

from __future__ import annotations

import re

from glmcalc.commands.images import image_engine
from glmcalc.commands.parsed import Launch
from glmcalc.commands.variables import expand
from glmcalc.facts.frozen import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, Sequence


ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_DOCKER = ("docker", "podman", "nerdctl", "nvidia-docker", "docker-compose", "podman-compose")
_SIF = ("apptainer", "singularity")
_SWITCH = re.compile(
    r"-[ditPT]+$|--(rm|init|privileged|detach|interactive|tty|read-only|no-healthcheck|no-TTY|no-deps|service-ports|use-aliases"
    r"|build|nv|writable-tmpfs|cleanenv|contain|containall|no-home)$"
)
_IMAGE = re.compile(r"(?:[\w.-]+:\d+/)?[\w.-]+(?:/[\w.-]+)*(?::[\w.-]+)?(?:@sha256:\w+)?")


@record
class Place:
    """Where a line names its image.

    Attributes:
        at: the word; None where the line has a runner but no image.
        after: the first word of what runs in it.
        image: its name, variables not put in; None where the word is the service of a compose file.
        runner: whether something runs it; without one the line begins with the image.
    """

    at: int | None
    after: int
    image: str | None
    runner: bool


def place_of(words: Sequence[str]) -> Place:
    """Where the image of ``docker run`` and its like stands; without a runner, the first word."""
    for start, word in enumerate(words):
        name = word.rsplit("/", 1)[-1]
        if name in _DOCKER:
            return _docker(words, start)
        if name in _SIF:
            return _sif(words, start)
        if name == "kubectl" and "run" in words[start : start + 2]:
            return _kubectl(words, start)
    return Place(0, 1, words[0], False) if words else Place(None, 0, None, False)


def _docker(words: Sequence[str], runner: int) -> Place:
    verb = next((at for at in range(runner + 1, len(words)) if _runs(words, runner, at)), None)
    if verb is None:
        return Place(None, 0, None, True)
    at = verb + 1
    while at < len(words) and words[at].startswith("-"):
        at += 1 if "=" in words[at] or _SWITCH.fullmatch(words[at]) else 2
    if at >= len(words):
        return Place(None, 0, None, True)
    service = "compose" in words[runner:verb] or words[runner].endswith("-compose")
    return Place(at, at + 1, None if service else words[at], True)


def _runs(words: Sequence[str], runner: int, at: int) -> bool:
    """``docker run``, and ``create`` where it makes a container or a service (there are networks and volumes too)."""
    before = words[at - 1]
    return words[at] == "run" or (words[at] == "create" and (at == runner + 1 or before in ("container", "service")))


def _sif(words: Sequence[str], runner: int) -> Place:
    for at in range(runner + 1, len(words)):
        scheme, mark, image = words[at].partition("://")
        if mark and scheme in ("docker", "oras", "library"):
            return Place(at, at + 1, image, True)
    return Place(None, 0, None, True)


def _kubectl(words: Sequence[str], runner: int) -> Place:
    end = words.index("--") if "--" in words else len(words)
    for at in range(runner, end):
        name, equals, value = words[at].partition("=")
        if name == "--image" and (equals or at + 1 < end):
            return Place(at, end + 1, value if equals else words[at + 1], True)
    return Place(None, 0, None, True)


def with_entrypoint(words: Sequence[str]) -> list[str]:
    """``words`` with what ``--entrypoint`` names where the container runs it: before the arguments."""
    place = place_of(words)
    if place.at is None or not place.runner:
        return list(words)
    for at in range(place.at):
        name, equals, value = words[at].partition("=")
        if name == "--entrypoint":
            program = value if equals else words[at + 1]
            rest = words[at + 1 if equals else at + 2 : place.after]
            return [*words[:at], *rest, *([program] if program else []), *words[place.after :]]
    return list(words)


def launch_in(words: Sequence[str], variables: Mapping[str, str]) -> Launch | None:
    """Arguments after the image of ``docker run``, or of a fragment that begins with the image."""
    place = place_of(words)
    if place.at is None:
        return None
    image = expand(place.image or words[place.at], variables)[0]
    if not _IMAGE.fullmatch(image):
        return None
    engine = image_engine(image)
    if engine is None or (not place.runner and "/" not in image and ":" not in image):
        return None
    launch = Launch(engine, list(words[place.after :]), container_environment(words[: place.after], variables))
    if not place.runner:
        launch.warnings.append("The text begins at the container image; what stood before it is missing.")
    return launch


def image_of(words: Sequence[str]) -> str | None:
    """The image that a line names, if it does; a program or a service in its place is none."""
    place = place_of(words)
    image = place.image
    if image is None or not _IMAGE.fullmatch(image) or image.startswith("sha256:"):
        return None
    return image if place.runner or (image_engine(image) and "/" in image and ":" in image) else None


def container_environment(words: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that options such as ``-e NAME=value`` set."""
    found: dict[str, str] = {}
    for at, word in enumerate(words):
        stated = None
        if word in ("-e", "--env") and at + 1 < len(words):
            stated = words[at + 1]
        elif word.startswith("--env="):
            stated = word[6:]
        match = ASSIGNMENT.fullmatch(stated) if stated else None
        if match:
            value, still_open = expand(match[2], variables)
            if not still_open:
                found[match[1]] = value
    return found
