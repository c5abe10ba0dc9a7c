"""What the manual's page widgets share: the traits, numbered answers, and a still picture for readers without a kernel."""

from __future__ import annotations

import os
from typing import Any

import anywidget
import traitlets

from glmcalc.present.picture import still

STILL = '<p class="gm-cap">A still picture. Run this cell (Shift+Enter) in Jupyter, and it can be used.</p>'


class PageWidget(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget has no types
    """A page as a widget. Answers go out as messages of their own, in a quick and a later half.

    Attributes:
        frame: the page's skeleton.
        view, later: the last answers, for pages that are opened again.
        standalone: a page by itself, rather than a part of a chapter.
    """

    frame = traitlets.Unicode().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    later = traitlets.Dict().tag(sync=True)
    standalone = traitlets.Bool(False).tag(sync=True)
    _serial = 0

    def _numbered(self, data: dict[str, Any]) -> dict[str, Any]:
        """With a number that never repeats, so that an unchanged answer is still an answer."""
        self._serial += 1
        return {**data, "serial": self._serial}

    def _should_send_property(self, key: str, value: Any) -> bool:
        """Answers go out as messages of their own, which are quicker; the traits are for pages opened again."""
        return key not in ("view", "later") and super()._should_send_property(key, value)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and a still picture of it for readers without a kernel (a code host, nbconvert)."""
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:
            return None
        data, metadata = made if isinstance(made, tuple) else (made, {})
        return {**data, "text/html": STILL + still(self._still()), "text/plain": self._plain()}, metadata

    def _still(self) -> str:
        """HTML of the page as it stands, without its controls."""
        raise NotImplementedError

    def _plain(self) -> str:
        """One sentence of it."""
        raise NotImplementedError


def asked_of(query: str | None, embedded: bool) -> tuple[str, bool]:
    """The address's query string, and whether this is a page by itself.

    Args:
        query: given by hand; None takes the one that Voila was asked with.
        embedded: one part of a chapter, which keeps its own text and address.
    """
    served = not embedded and os.environ.get("SERVER_SOFTWARE", "").startswith("voila")
    return (query if query is not None else os.environ.get("QUERY_STRING", "") if served else ""), served
