"""Progressive tuning: evidence of a running server, a gate, and the next safe step, which a person takes."""
