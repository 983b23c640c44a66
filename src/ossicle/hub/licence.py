"""What a folder says about the licence of its weights.

Knows the front matter of a README, the first line of a licence file, and the one release whose licence is published
elsewhere; does not judge what a licence allows. Where nothing is said, nothing is claimed.
"""

from pathlib import Path

import yaml

UNSAID = "not stated in the folder"
FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE")


def licence_of(folder: Path, *, origin: str | None = None, published: dict[str, str] | None = None) -> str:
    """The licence of a folder's weights, and where it is stated.

    Args:
        folder: with a README.md whose front matter has ``license`` (and ``license_name`` where that is "other"), or
            with a licence file.
        origin: the repository that the folder says it is.
        published: licences by repository, as published beside the weights.
    """
    said = _front_matter(folder / "README.md")
    name = said.get("license_name") if said.get("license") in (None, "other") else said.get("license")
    if isinstance(name, str | list) and name:
        return f"{name if isinstance(name, str) else ', '.join(map(str, name))} (README.md)"
    for file in (folder / one for one in FILES):
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n") if file.is_file() else []
        first = next((line.strip(" #\t\r") for line in lines if line.strip(" #\t\r")), None)
        if first is not None:
            return f"{first} ({file.name})"
    if origin in (published or {}):
        return f"{(published or {})[origin]} (as published with {origin}; the folder itself says nothing)"
    return UNSAID


def _front_matter(readme: Path) -> dict[str, object]:
    """The YAML between the two lines of dashes that a README may begin with; nothing where there is none."""
    if not readme.is_file():
        return {}
    parts = readme.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        said = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}  # a README that is no YAML says nothing
    return said if isinstance(said, dict) else {}
