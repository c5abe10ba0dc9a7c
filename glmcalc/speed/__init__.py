"""How fast: decode and prefill of a deployment, with bands, from measured stacks."""
