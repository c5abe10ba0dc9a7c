"""The one error that a user can cause."""

from __future__ import annotations


class InputError(ValueError):
    """A value that cannot be used, said so that it can be mended.

    Args:
        field: the flag, column or field as the user knows it (``max_model_len``).
        value: what was given.
        allowed: what would have been accepted, as a phrase ("1 to 1,048,576 tokens").
        message: the whole sentence; built from the other three when left out.
    """

    def __init__(self, field: str, value: object, allowed: str, message: str | None = None) -> None:
        self.field = field
        self.value = value
        self.allowed = allowed
        self.message = message or f"{field} must be {allowed} (got {_shown(value)})."
        super().__init__(self.message)

    def _render_traceback_(self) -> list[str]:
        """What Jupyter and papermill show in place of a traceback: the sentence, and no places of this machine."""
        return [self.message]

    def to_dict(self) -> dict[str, object]:
        """The error as scripts read it: ``field``, ``value``, ``allowed``, ``message``; the value always as text or number."""
        value = self.value
        if isinstance(value, float) and not (float("-inf") < value < float("inf")):
            value = str(value)
        if not isinstance(value, (str, int, float, bool, type(None))):
            value = str(value)
        return {"field": self.field, "value": value, "allowed": self.allowed, "message": self.message}


def _shown(value: object, limit: int = 80) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
