"""Masking of keys and tokens: :mod:`glmcalc.facts.secrets`, under the name that readers of logs know."""

from __future__ import annotations

from glmcalc.facts.secrets import MASK, mask

__all__ = ["MASK", "mask"]
