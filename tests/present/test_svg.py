"""Labels keep their distance and their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glmcalc.present.svg import spread

LABELS = st.lists(st.tuples(st.floats(0, 900), st.floats(10, 90)), min_size=1, max_size=9)


@given(LABELS, st.floats(0, 12))
def test_labels_never_overlap_and_stay_inside(labels: list[tuple[float, float]], gap: float) -> None:
    labels = sorted(labels)
    anchors, sizes = [a for a, _ in labels], [s for _, s in labels]
    places = spread(anchors, sizes, gap, 0, 960)
    for place, size, after in zip(places, sizes, places[1:]):
        assert place + size + gap <= after + 1e-6
    if sum(sizes) + gap * (len(sizes) - 1) <= 960:
        assert places[0] >= -1e-6
        assert places[-1] + sizes[-1] <= 960 + 1e-6


@given(st.floats(100, 800))
def test_a_lone_label_stands_over_its_anchor(anchor: float) -> None:
    assert abs(spread([anchor], [50], 4, 0, 960)[0] + 25 - anchor) < 1e-9
