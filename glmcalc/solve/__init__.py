"""From a deployment that does not fit to the nearest that does."""
