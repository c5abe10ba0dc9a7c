"""What stands inside utilization beside weights and pool: each term of ``runtime`` as a named component."""

from __future__ import annotations

from glmcalc.budget import runtime, workspaces
from glmcalc.budget.result import Component
from glmcalc.facts.quantity import Band
from glmcalc.model.resolved import Resolved


def inside_terms(r: Resolved) -> list[Component]:
    """What stands inside utilization beside weights and pool, in the order in which the engine comes to it."""
    printed = r.asked.weights_bytes is not None
    if r.version.fork:
        note = "forked engine: measured range of all that is not weights or KV, not derived"
        kind = "fork_overhead_printed" if printed else "fork_overhead_predicted"
        return [_listed("fork_overhead", "Fork's overhead", kind, note)]
    return stock_terms(r, printed)


def stock_terms(r: Resolved, printed: bool) -> list[Component]:
    """The terms of an engine built from its own sources; ``printed``: the weights are as a log printed them."""
    terms = (
        [] if printed else [_listed("load_extras", "Load extras", "load_extras", "rope tables, top-k buffers, repacks")]
    )
    terms.append(_workspaces(r, printed))
    peak, source = runtime.activation_peak(r), runtime.term("activation_per_token").source
    note = "larger of forward and sampler pass"
    terms.append(Component("activation_peak", "Activation peak", peak, True, "estimated", source, note))
    if r.mtp:
        terms.append(_listed("mtp_runtime", "MTP run time", "mtp_runtime", "the drafter's buffers"))
    else:
        terms.append(Component("mtp_runtime", "MTP run time", Band.exact(0), True, "exact", "no MTP"))
    driver = "non_torch_many" if r.tp > 1 else "non_torch_one"
    terms.append(_listed("non_torch", "Driver, after baseline", driver, "grows while loading and profiling"))
    graphs, each = runtime.cuda_graphs(r), runtime.graph_term(r)
    basis = "exact" if graphs.nothing else each.kind
    terms.append(Component("cuda_graphs", "CUDA graphs", graphs, True, basis, each.source, "the engine's estimate"))
    return terms


def _listed(name: str, label: str, row: str, note: str) -> Component:
    """A component whose bytes are a row of ``data/memory_terms.json``."""
    term = runtime.term(row)
    return Component(name, label, term.band, True, term.kind, term.source, note)


def _workspaces(r: Resolved, printed: bool) -> Component:
    size, share = runtime.workspace_bytes(r), runtime.term("workspace_share")
    if printed and runtime.workspace_in_printed_weights(r):
        band, note = Band(0, 0, size // 2), "reserved while loading: already in the printed weights"
    else:
        band, note = Band.exact(size).scaled(share.low, share.high), "shared workspace of the sparse kernels"
    return Component("workspaces", "Workspaces", band, True, "estimated", workspaces.SOURCE, note)
