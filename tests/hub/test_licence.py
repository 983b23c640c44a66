"""What a folder says about its licence, and what is not claimed."""

import pytest

from ossicle.hub.licence import UNSAID, licence_of

RELEASE = {"them/large": "CC-BY-NC 4.0"}


@pytest.mark.parametrize(
    ("readme", "told"),
    [
        ("---\nlicense: mit\n---\n# A model\n", "mit (README.md)"),
        ("---\nlicense: other\nlicense_name: seamless\n---\n", "seamless (README.md)"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0 (README.md)"),
        ("---\nlicense: other\n---\n", UNSAID),
        ("---\ntags: [a]\n---\nlicense: mit\n", UNSAID),
        ("---\n- a\n---\n", UNSAID),
        ("---\na: [\n---\n", UNSAID),
        ("# license: mit\n", UNSAID),
    ],
)
def test_the_front_matter_of_a_readme_counts(tmp_path, readme, told):
    (tmp_path / "README.md").write_text(readme)
    assert licence_of(tmp_path) == told


def test_else_a_licence_file_else_what_is_published_else_nothing(tmp_path):
    assert licence_of(tmp_path) == UNSAID
    assert licence_of(tmp_path, origin="you/small", published=RELEASE) == UNSAID
    told = licence_of(tmp_path, origin="them/large", published=RELEASE)
    assert told == "CC-BY-NC 4.0 (as published with them/large; the folder itself says nothing)"
    (tmp_path / "LICENSE").write_text("\n# Licence of their own\nmore\n")
    assert licence_of(tmp_path, origin="them/large", published=RELEASE) == "Licence of their own (LICENSE)"
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert licence_of(tmp_path, origin="them/large", published=RELEASE) == "mit (README.md)"
    (tmp_path / "README.md").write_text("---\nlicense: other\n---\n")
    (tmp_path / "LICENSE").write_text("\n \n")
    assert licence_of(tmp_path) == UNSAID
