"""Numbers and facts in words."""

import pytest
from visitor import SPEC

from demo import words


@pytest.mark.parametrize(
    ("p", "text"),
    [(0, "0 %"), (9e-5, "below 0.01 %"), (1e-4, "0.01 %"), (5e-3, "0.50 %"), (0.01, "1.0 %"),
     (0.0994, "9.9 %"), (0.0996, "10 %"), (0.456, "46 %"), (0.994, "99 %"), (0.996, "99.60 %"),
     (0.99995, "above 99.99 %"), (1, "100 %")],
)  # fmt: skip
def test_a_percentage(p: float, text: str) -> None:
    assert words.percent(p) == text


def test_the_output_of_a_regression_is_no_percentage() -> None:
    choices = words.class_choices(("temperature",), [(0, 36.77)], in_percent=False)
    assert choices == [("temperature · 36.8 · 0", 0)]


def test_the_class_choices() -> None:
    likeliest = [(7, 0.5), (3, 0.2), (999, 0.1), (500, 0.05), (0, 0.0125)]
    labels = SPEC.labels
    for choices in (words.class_choices(labels, likeliest), words.class_choices(labels)):
        names, numbers = zip(*choices, strict=True)
        assert sorted(numbers) == list(range(1000))
        assert len(set(names)) == 1000
        assert all(
            name.startswith(SPEC.labels[i]) and name.endswith(f"· {i}") for name, i in choices
        )
    first = words.class_choices(labels, likeliest)[:5]
    assert [i for _, i in first] == [7, 3, 999, 500, 0]
    assert "50" in first[0][0].split("·")[1]
    assert [i for _, i in words.class_choices(labels)] == list(range(1000))
