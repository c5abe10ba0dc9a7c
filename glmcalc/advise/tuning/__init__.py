"""Progressive tuning: evidence of a running server, a gate, and the next safe step, which a person takes.

``tune.tune`` decides; ``account.tuning_log`` is the log of its steps; ``stress.stress_plan`` forces the worst shapes;
``file.load`` and ``file.save`` keep the state; ``simulate`` is a server that does not exist, for tests and plots.
"""
