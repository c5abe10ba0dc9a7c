"""The same flags on two releases of the engine: which component moves, by how much, and whether it still fits."""

from __future__ import annotations

from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.engines import parse_version, rules_that_differ
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.model.deployment import Deployment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class Upgrade:
    """One deployment, budgeted by the rules of two releases."""

    before: Plan
    after: Plan

    def to_dict(self) -> dict[str, Any]:
        """What ``glmcalc diff --json`` prints."""
        old, new = (made.resolved.version for made in (self.before, self.after))
        return {
            "from_version": old.text,
            "to_version": new.text,
            "components": [self._component(name) for name in self._names()],
            "kv": self._kv(),
            "rules": rules_that_differ(old, new),
            "verdicts": {
                "from": _verdict(self.before),
                "to": _verdict(self.after),
                "still_fits": self.after.verdict.status == "fits",
            },
            "commands": {"from": self.before.command, "to": self.after.command},
            "warnings": list(dict.fromkeys((*self.before.resolved.warnings, *self.after.resolved.warnings))),
        }

    def _names(self) -> list[str]:
        return list(dict.fromkeys(part.name for made in (self.before, self.after) for part in made.components))

    def _component(self, name: str) -> dict[str, Any]:
        """One component on both sides; null where a release has none of that name."""
        old, new = (
            next((part for part in made.components if part.name == name), None) for made in (self.before, self.after)
        )
        part = new or old
        assert part is not None
        row: dict[str, Any] = {"name": name, "label": part.label, "inside_utilization": part.inside_utilization}
        for side, one in (("from", old), ("to", new)):
            row[f"{side}_bytes"] = one.band.likely if one else None
            row[f"{side}_low_bytes"] = one.band.low if one else None
            row[f"{side}_high_bytes"] = one.band.high if one else None
        row["moved_bytes"] = (new.band.likely if new else 0) - (old.band.likely if old else 0)
        row["source"] = part.source
        return row

    def _kv(self) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for side, made in (("from", self.before), ("to", self.after)):
            kv = made.kv
            data[side] = {
                "record": kv.record, "bytes_per_token": kv.bytes_per_token, "available_bytes": kv.available.likely,
                "available_low_bytes": kv.available.low, "available_high_bytes": kv.available.high, "tokens": kv.pool.tokens,
                "max_concurrency": kv.pool.max_concurrency,
            }  # fmt: skip
        return data


def upgrade(deployment: Deployment, from_version: str, to_version: str) -> Upgrade:
    """Budget a deployment by the rules of two releases.

    A default that differs between them (utilization) moves too, unless the deployment states it: that is what the same
    flags do on another release.

    Raises:
        InputError: a version without a release number, or as :func:`glmcalc.plan`.
    """
    for name, text in (("from_version", from_version), ("to_version", to_version)):
        try:
            parse_version(text)
        except InputError as error:
            raise InputError(name, text, error.allowed) from error
    old, new = (plan(deployment.changed(engine_version=text)) for text in (from_version, to_version))
    return Upgrade(old, new)


def _verdict(made: Plan) -> dict[str, Any]:
    return {"status": made.verdict.status, "stage": made.verdict.stage, "reason": made.verdict.reason}
