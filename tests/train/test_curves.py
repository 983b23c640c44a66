"""The picture of a sweep: well-formed, with every bridge, rate and interval in it."""

import re
from xml.etree import ElementTree

import pytest

from ossicle.train.curves import _round_span, svg

from .test_ranking import found, result

SVG = "{http://www.w3.org/2000/svg}"


def test_every_row_is_a_point_with_its_interval_inside_its_panel() -> None:
    cells = [result(name, k, share) for name, share in (("mean", 0.5), ("a<b", 0.6)) for k in (4, 8, 16)]
    wer = [result("written", k, 0.3, task="transcribe", metric="wer") for k in (4, 8)]
    several = found(*cells, result("mean", 4, 0.9, double=True))
    picture = ElementTree.fromstring(svg(several))
    (panel,) = picture.findall(f"{SVG}g")
    told = [title.text for title in panel.iter(f"{SVG}title")]
    assert len(told) == 6 and "a<b: 60.0 % (53.5 to 66.5)" in [re.sub(r"\(.*", "(53.5 to 66.5)", t) for t in told]
    for circle in panel.iter(f"{SVG}circle"):
        assert 46 <= float(circle.get("cx")) <= 306 and 30 <= float(circle.get("cy")) <= 200
    assert len(panel.findall(f"{SVG}polyline")) == 2
    words = [one.text for one in picture.iter(f"{SVG}text")]
    assert {"sounds: accuracy, %", "12.5", "6.25", "3.12", "mean", "a<b"} <= set(words)
    assert len(ElementTree.fromstring(svg(found(*cells, *wer))).findall(f"{SVG}g")) == 2


def test_a_long_legend_has_several_lines_and_nothing_is_no_picture() -> None:
    names = [f"a-bridge-with-a-long-name-{i}" for i in range(9)]
    picture = ElementTree.fromstring(svg(found(*(result(name, 4, 0.5) for name in names))))
    lines = {one.get("y") for one in picture.findall(f"{SVG}text")}
    assert len(lines) == 3
    assert svg(found()) == ""


@pytest.mark.parametrize(
    ("values", "span"),
    [((3.2, 6.9), (3, 7)), ((0, 100), (0, 100)), ((12, 49), (10, 50)), ((10, 900), (0, 1000)), ((0, 5000), (0, 5000))],
)
def test_an_axis_holds_all_values_in_round_steps(values: tuple[float, float], span: tuple[float, float]) -> None:
    assert _round_span(values) == span
