"""One door for every engine: the budget of a deployment under the rules of the engine that it names."""

from __future__ import annotations

from glmcalc.budget import plan as vllm
from glmcalc.budget.result import Plan
from glmcalc.facts.engines import known_engine
from glmcalc.model.deployment import Deployment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.budget.other_result import OtherPlan


def plan(deployment: Deployment) -> Plan | OtherPlan:
    """Budget ``deployment`` on one of its GPUs and say whether it fits.

    Args:
        deployment: flags under their engine's names (vLLM's where engines share a setting); None stands for the default.

    Returns:
        Components, KV cache and verdict; ``to_dict()`` is what ``glmcalc budget --json`` prints.

    Raises:
        InputError: a value that neither the model nor the engine takes, or an engine that is not known.
    """
    engine = known_engine(deployment.engine)
    if engine == "sglang":
        from glmcalc.budget.sglang import plan_sglang

        return plan_sglang(deployment)
    if engine == "llama.cpp":
        from glmcalc.budget.llamacpp import plan_llamacpp

        return plan_llamacpp(deployment)
    return vllm.plan(deployment)
