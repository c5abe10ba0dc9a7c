"""From a budget or a log to what to do: causes, changes, ladders, next steps."""
