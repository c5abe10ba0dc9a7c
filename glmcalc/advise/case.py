"""What is known of a server that died: its log, its flags, its machine, and the budget of all that."""

from __future__ import annotations

import re
import shlex

from glmcalc.advise.measure import measure, printed_lines
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.commands import ParsedCommand, read_command
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import device, devices
from glmcalc.facts.quantity import GIB, engine_gib
from glmcalc.facts.secrets import mask_value, without_secrets
from glmcalc.logs.arguments import as_flags
from glmcalc.logs.match import Death
from glmcalc.logs.read import LogFacts
from glmcalc.logs.secrets import MASK
from glmcalc.model.calibration import Calibration
from glmcalc.model.checkpoint import read_as
from glmcalc.model.deployment import Deployment
from glmcalc.model.pasted import settings_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


_NEAR_TOTAL = 0.35 * GIB  # how far a printed total may be from a device's


@record
class Case:
    """One death, or one start.

    Attributes:
        deployment: the flags, or None where the text does not say enough.
        plan: their budget, or None where model or GPU is not known here.
        inferred: what was not stated, and from what it was taken.
        missing: what would make the answer better.
        measured: what the log itself measured of this machine, or None.
        environment: variables that the command sets, as ``NAME=value`` words, secrets masked.
        unknown: flags of the command that are none of the engine's, as sentences with the nearest name.
    """

    facts: LogFacts
    death: Death
    deployment: Deployment | None
    plan: Plan | None
    inferred: tuple[str, ...]
    missing: tuple[str, ...]
    measured: Calibration | None = None
    environment: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def shown(self, made: Plan) -> Plan:
        """A budget by this log's own figures where it printed them, for what is shown.

        Changes are chosen by the budget without them: a command that goes into another start must fit there too.
        """
        if self.measured is None:
            return made
        return plan(made.resolved.asked.changed(calibration=self.measured))

    def value(self, name: str) -> int | float | None:
        """The last printed figure called ``name``, at the deciding line or before it."""
        line = self.death.lines[0].number if self.death.lines else None
        row = self.facts.last_value(name, line) or self.facts.last_value(name)
        return row.value if row else None


def open_case(
    facts: LogFacts, death: Death, command: str | None = None, stated: Mapping[str, Any] | None = None
) -> Case:
    """A case from a log and what stands beside it.

    Args:
        command: a launch command, which wins over the flags in the log.
        stated: settings given as options (``gpu``, ``gpus``, ``engine_version`` …), which win over both.

    Raises:
        InputError: a command or an option that cannot be read.
    """
    inferred: list[str] = []
    missing: list[str] = []
    settings = _settings(facts, command, inferred)
    if facts.engine == "vllm" and facts.engine_version:
        settings.pop(
            "engine_version", None
        )  # what the log prints is what ran; an image's tag is only what was asked for
    settings.update({name: value for name, value in (stated or {}).items() if value is not None})
    if "engine_version" not in settings and facts.engine == "vllm" and facts.engine_version:
        settings["engine_version"] = facts.engine_version
        inferred.append(f"vLLM {facts.engine_version}: line {facts.version_line}")
    if facts.engine not in (None, "vllm") and not settings.get("model"):
        missing.append(
            f"a budget: {facts.engine} is not modelled here; what is proposed rests on the log's own figures"
        )
        return Case(facts, death, None, None, tuple(inferred), tuple(missing))
    if not settings.get("model"):
        missing.append("the model and flags: paste the command too, or the line `non-default args`")
        return Case(facts, death, None, None, tuple(inferred), tuple(missing))
    told = read_as(str(settings["model"]))
    if told is not None:
        inferred.append(told)
    _add_gpu(facts, settings, inferred, missing)
    _add_parallel(settings, inferred)
    environment = _carried(command, inferred)
    try:
        deployment = Deployment.from_settings(settings)
    except InputError as error:
        if command:
            raise
        Deployment.from_settings(
            {name: value for name, value in (stated or {}).items() if value is not None}
        )  # theirs may raise
        missing.append(f"a budget: the log's own flags say {error.message}")
        return Case(facts, death, None, None, tuple(inferred), tuple(missing))
    measured = _measured(deployment, facts, inferred)
    made = _planned(deployment, missing)
    unknown = _unknown_flags(command)
    return Case(facts, death, deployment, made, tuple(inferred), tuple(missing), measured, environment, unknown)


def _carried(command: str | None, inferred: list[str]) -> tuple[str, ...]:
    """Variables of a command, for the new one; what is not carried over is told."""
    if not command:
        return ()
    parsed = read_command(command)
    if parsed.image:
        inferred.append(f"not carried over: the container around the command ({parsed.image})")
    kept = without_secrets(parsed.environment, parsed.kept)
    return tuple(f"{name}={shlex.quote(mask_value(name, value))}" for name, value in kept.items())


def _unknown_flags(command: str | None) -> tuple[str, ...]:
    """What a command says that is no flag of its engine: it stays in the new command, and is said."""
    rows = read_command(command).unknown if command else []
    return tuple(
        f"{row['flag']} is not a flag that is known here{_meant(row)}; it stands in the command as it was given."
        for row in rows
    )


def _meant(row: Mapping[str, str | None]) -> str:
    return f" (did you mean {row['nearest']}?)" if row["nearest"] else ""


def _measured(asked: Deployment, facts: LogFacts, inferred: list[str]) -> Calibration | None:
    """What the log itself measured, where it printed its pool."""
    lines = printed_lines(facts)
    pool = lines.get("available_kv_bytes")
    if pool is None or asked.gpu is None:
        return None
    try:
        made = measure(asked, {name: row.value for name, row in lines.items()})
    except InputError:  # a pool set by hand, a model or a device that is not known
        return None
    inferred.append(f"memory terms as this log printed them: line {pool.line}")
    return made.calibration


def _settings(facts: LogFacts, command: str | None, inferred: list[str]) -> dict[str, Any]:
    if command:
        return _read(read_command(command))
    if facts.engine not in (None, "vllm"):
        return {}
    if facts.arguments.get("model"):
        words = ["vllm", "serve", str(facts.arguments["model"]), *as_flags(facts.arguments)]
        inferred.append(f"flags: line {facts.argument_lines[0]}")
        try:
            return _read(read_command(shlex.join(words)))
        except InputError:  # a flag of a fork
            return {}
    for line in facts.lines[:200]:
        if "vllm serve" in line.text or "api_server" in line.text:
            try:
                found = _read(read_command(_whole_command(facts, line.number)))
            except InputError:
                continue
            if found.get("model"):
                inferred.append(f"flags: line {line.number}")
                return found
    if facts.resolved.get("model"):
        inferred.append(f"flags: line {facts.argument_lines[0]}, where defaults stand among them")
        kept = {name: value for name, value in facts.resolved.items() if value is not False and name != "quantization"}
        return {name: value for name, value in kept.items() if not (name.endswith("_size") and value == 1)}
    return {}


def _whole_command(facts: LogFacts, first: int) -> str:
    """A command over several lines, each but the last ending in a backslash."""
    taken = []
    for line in facts.lines:
        if line.number >= first:
            taken.append(line.text)
            if not line.text.endswith("\\"):
                break
    return "\n".join(taken)


def _read(parsed: ParsedCommand) -> dict[str, Any]:
    if parsed.engine != "vllm":
        return {}
    return settings_of(parsed)


def _add_gpu(facts: LogFacts, settings: dict[str, Any], inferred: list[str], missing: list[str]) -> None:
    total = facts.last_value("gpu_total_bytes")
    if settings.get("gpu") is None:
        named, why = _named_gpu(facts, int(total.value) if total else None, total.line if total else None)
        if named is None:
            missing.append("the GPU: give --gpu, or the line with `total capacity`")
            return
        settings["gpu"] = named
        inferred.append(f"{named}: {why}")
    parallel = [settings.get(f"{kind}_parallel_size") for kind in ("tensor", "pipeline", "data")]
    if settings.get("gpus") is None and all(size is None for size in parallel):
        inferred.append("one GPU: no parallel size is stated")


def _add_parallel(settings: dict[str, Any], inferred: list[str]) -> None:
    """Where only a number of GPUs is stated, the command says it as tensor parallelism, as the budget takes it."""
    gpus = settings.get("gpus")
    stated = any(settings.get(f"{kind}_parallel_size") is not None for kind in ("tensor", "pipeline", "data"))
    if isinstance(gpus, int) and gpus > 1 and not stated:
        settings["tensor_parallel_size"] = gpus
        inferred.append(f"tensor_parallel_size {gpus}: the number of GPUs")


# What drivers and kernels call the devices that come in one size only.
_BY_NAME = (
    ("GB300", "gb300_nvl72"), ("GB200", "gb200_nvl72"), ("B300", "b300_sxm"), ("B200", "b200_sxm"), ("H200 NVL", "h200_nvl"),
    ("H200", "h200_sxm"), ("H20-3e", "h20_141"), ("RTX PRO 6000", "rtx_pro_6000"), ("H100 NVL", "h100_nvl"), ("H100 80GB HBM3", "h100_sxm"),
    ("MI355X", "mi355x"), ("MI325X", "mi325x"), ("MI300X", "mi300x"), ("GB10", "dgx_spark_gb10"),
)  # fmt: skip
_DEVICE_LINE = re.compile(r"device_name=[\w. -]+|NVIDIA[ _][\w. -]+|AMD[ _]Instinct[\w. -]+")


def _named_gpu(facts: LogFacts, printed: int | None, line: int | None) -> tuple[str | None, str]:
    """The device by its name in a line of the log, unless the printed memory is another's, else by that; and from what."""
    named, where = _by_name(facts)
    if named is not None and (printed is None or _may_have(named, printed)):
        return named, where
    told = device_of_total(printed) if printed is not None else None
    return (told, f"{engine_gib(printed or 0)} GiB in line {line}") if told is not None else (None, "")


def _by_name(facts: LogFacts) -> tuple[str | None, str]:
    for row in facts.lines[:2000]:
        found = _DEVICE_LINE.search(row.text) if "NVIDIA" in row.text or "Instinct" in row.text else None
        name = found[0].replace("_", " ") if found else ""
        for words, device_id in _BY_NAME:
            if found and re.search(rf"\b{words}\b", name):
                return device_id, f"named in line {row.number}"
    return None, ""


def _may_have(gpu: str, total: int) -> bool:
    """Whether a device may report that many bytes; one that shares memory with its host may report anything."""
    memory = device(gpu).memory()
    return memory is None or memory.low_bytes - _NEAR_TOTAL <= total <= memory.high_bytes + _NEAR_TOTAL


def device_of_total(total: int) -> str | None:
    """The id of the device whose memory a log printed, in bytes; None when no known device is near."""
    best: tuple[float, str] | None = None
    for chip in devices():
        memory = chip.memory()
        if memory is None or memory.basis != "measured":
            continue
        off = abs(memory.bytes - total)
        if off <= _NEAR_TOTAL and (best is None or off < best[0]):
            best = (off, chip.id)
    return best[1] if best else None


def _planned(deployment: Deployment, missing: list[str]) -> Plan | None:
    if deployment.gpu is None:
        return None
    try:
        return plan(deployment)
    except InputError as error:
        missing.append(f"a budget: {error.message}")
        return None


def masked_words(command: str) -> int:
    """How many secrets of a command were masked, and must be put back by hand."""
    return command.count(MASK)
