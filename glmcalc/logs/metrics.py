"""A scrape of vLLM's ``/metrics``, or a Prometheus range of them, as named figures.

Names and meanings: https://github.com/vllm-project/vllm/blob/v0.33.0/vllm/v1/metrics/loggers.py. Counters are kept as they
stand since the process began; of a histogram, how many observations lie above each edge, which is a counter too.
"""

from __future__ import annotations

import json
import math

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Mapping

    Sample = tuple[str, Mapping[str, str], float]


_ALLOWED = "a scrape of vLLM's /metrics, or the JSON of Prometheus' /api/v1/query_range over them"
_COUNTERS = {
    "vllm:num_preemptions_total": "preemptions",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generation_tokens",
    "vllm:request_prompt_tokens_sum": "finished_prompt_tokens",
    "vllm:request_generation_tokens_sum": "finished_generation_tokens",
    "vllm:request_prompt_tokens_count": "finished_counted",
    "vllm:admission_rejections_total": "rejections",
}
_FINISHED = {"abort": "aborted", "error": "errors"}  # every other reason is a request that was served
_HISTOGRAMS = {
    "vllm:request_prompt_tokens_bucket": "prompt",
    "vllm:request_generation_tokens_bucket": "generation",
    "vllm:iteration_tokens_total_bucket": "step",
}
_BEGAN = ("process_start_time_seconds", "vllm:num_preemptions_created")


@record
class Reading:
    """One moment of one server.

    Attributes:
        time: seconds since the epoch at which it was taken, or None where that is not known.
        began: when the server's process began, seconds since the epoch: two readings of one process agree in it.
        counters: name to value since the process began, over all engines; ``prompt_above_1000`` and the like count
            observations above an edge of a histogram. A name that the scrape does not hold is absent, not 0.
        running, waiting: requests; running is that of the fullest engine. None where not exported.
        kv_usage: share of the KV blocks in use, 0 to 1, of the fullest engine; None where it is no such share.
        free_bytes: least ``DCGM_FI_DEV_FB_FREE`` of any GPU in it; None where it is not part of the scrape.
        config: labels of ``vllm:cache_config_info``.
        model: ``model_name`` as the server calls it.
    """

    time: float | None
    began: float | None
    counters: Mapping[str, float]
    running: float | None
    waiting: float | None
    kv_usage: float | None
    free_bytes: int | None
    config: Mapping[str, str]
    model: str | None

    def setting(self, name: str) -> float | None:
        """A number among the labels of ``cache_config_info``; None where it is absent or the word None."""
        try:
            value = float(self.config.get(name, "None"))
        except ValueError:
            return None
        return value if math.isfinite(value) else None


def read_metrics(text: str, time: float | None = None) -> list[Reading]:
    """Readings of a scrape (one) or of a Prometheus range (one for each instant, the oldest first).

    Args:
        text: what ``/metrics`` or ``/api/v1/query_range`` answered.
        time: when a scrape was taken, in seconds since the epoch; a range says so itself.

    Raises:
        InputError: empty, a web page, no Prometheus text, another program's metrics, or several servers at once.
    """
    body = text.strip().lstrip("\ufeff")
    if not body:
        raise _refused("", "is empty")
    if body.startswith("<"):
        raise _refused(body, "is a web page")
    if body.startswith(("{", "[")):
        return _read_range(body)
    return [_reading(_samples_of_text(body), time)]


def _refused(text: str, why: str) -> InputError:
    start = text.lstrip().splitlines()[0][:60] if text.strip() else ""
    from glmcalc.logs.secrets import mask

    return InputError("metrics", mask(start)[0], _ALLOWED, f"metrics: this {why}. Allowed: {_ALLOWED}.")


def _samples_of_text(body: str) -> list[Sample]:
    from prometheus_client.parser import text_string_to_metric_families

    found: list[Sample] = []
    try:
        for family in text_string_to_metric_families(body + "\n"):
            found += [(sample.name, sample.labels, float(sample.value)) for sample in family.samples]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _refused(body, "is no Prometheus text") from error
    return found


def _read_range(body: str) -> list[Reading]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _refused(body, f"is neither Prometheus text nor whole JSON ({error})") from error
    if isinstance(data, dict) and data.get("status") == "error":
        raise _refused(body, f"is Prometheus' own error: {str(data.get('error'))[:200]}")
    moments: dict[float, list[Sample]] = {}
    servers: set[str] = set()
    try:
        for series in data["data"]["result"]:
            labels = dict(series["metric"])
            name = str(labels.pop("__name__", ""))
            if not name:
                raise _refused(body, "names no metrics: query the metrics themselves, not an expression over them")
            if name.startswith("vllm:"):
                servers.add(str(labels.get("instance") or labels.get("pod") or ""))
            for when, value in series.get("values") or [series["value"]]:
                moments.setdefault(float(when), []).append((name, labels, float(value)))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refused(body, "is JSON, and no answer of Prometheus' query_range") from error
    if len(servers) > 1:
        raise _refused(body, f'holds {len(servers)} servers; a step is of one: add {{instance="…"}} to the query')
    readings = [_moment(samples, when) for when, samples in sorted(moments.items())]
    kept = [reading for reading in readings if reading is not None]
    if not kept:
        raise _nothing_of_vllm({name for samples in moments.values() for name, _, _ in samples})
    return kept


def _moment(samples: list[Sample], when: float) -> Reading | None:
    """One instant of a range; None while the server was not there."""
    return _reading(samples, when) if any(name.startswith("vllm:") for name, _, _ in samples) else None


def _nothing_of_vllm(names: Iterable[str]) -> InputError:
    engines = sorted({name.split(":")[0] for name in names if ":" in name})
    other = f"it has those of {', '.join(engines[:3])}" if engines else "it has none of an inference engine"
    return InputError(
        "metrics",
        ", ".join(sorted(names)[:3]),
        _ALLOWED,
        "metrics: no vllm:* metrics are in this, such as vllm:num_requests_running, vllm:kv_cache_usage_perc and "
        f"vllm:num_preemptions_total; {other}. Allowed: {_ALLOWED}.",
    )


def _reading(samples: list[Sample], time: float | None) -> Reading:
    sound = [row for row in samples if math.isfinite(row[2])]
    if not any(name.startswith("vllm:") for name, _, _ in samples):
        raise _nothing_of_vllm({name for name, _, _ in samples})
    gauges: dict[str, list[float]] = {}
    config: dict[str, str] = {}
    model = None
    for name, labels, value in sound:
        gauges.setdefault(name, []).append(value)
        model = model or labels.get("model_name")
        if name == "vllm:cache_config_info":
            config = {str(key): str(label) for key, label in labels.items()}
    free = gauges.get("DCGM_FI_DEV_FB_FREE")
    began = next((max(gauges[name]) for name in _BEGAN if name in gauges), None)
    return Reading(
        time, began, _counters(sound), _most(gauges, "vllm:num_requests_running"),
        sum(gauges["vllm:num_requests_waiting"]) if "vllm:num_requests_waiting" in gauges else None,
        _share(_most(gauges, "vllm:kv_cache_usage_perc")), int(min(free) * MIB) if free else None, config, model,
    )  # fmt: skip


def _most(gauges: Mapping[str, list[float]], name: str) -> float | None:
    return max(gauges[name]) if name in gauges else None


def _share(value: float | None) -> float | None:
    return value if value is not None and 0 <= value <= 1 else None


def _counters(samples: list[Sample]) -> dict[str, float]:
    """Counters over all engines; those of histograms as observations above each edge."""
    found: dict[str, float] = {}
    below: dict[tuple[str, float], float] = {}
    for name, labels, value in samples:
        if value < 0:
            continue
        key = _COUNTERS.get(name)
        if name == "vllm:request_success_total":
            key = _FINISHED.get(labels.get("finished_reason", ""), "finished")
        if key is not None:
            found[key] = found.get(key, 0.0) + value
        elif name in _HISTOGRAMS:
            edge = (_HISTOGRAMS[name], _edge(labels.get("le", "")))
            below[edge] = below.get(edge, 0.0) + value
    for (kind, edge_value), value in below.items():
        total = below.get((kind, math.inf))
        if total is not None and math.isfinite(edge_value):
            found[f"{kind}_above_{edge_value:.0f}"] = max(total - value, 0.0)
    return found


def _edge(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def longest(counters: Mapping[str, float], kind: str) -> int | None:
    """The highest edge of a histogram that an observation lies above: a lower bound of the longest one, in tokens.

    Args:
        counters: as in :class:`Reading`, or their difference over a while.
        kind: ``prompt``, ``generation`` or ``step``.

    Returns:
        None where the scrape holds no such histogram; 0 where nothing was observed.
    """
    prefix = f"{kind}_above_"
    edges = [int(name.removeprefix(prefix)) for name in counters if name.startswith(prefix)]
    if not edges:
        return None
    return max((edge for edge in edges if counters[f"{prefix}{edge}"] > 0), default=0)
