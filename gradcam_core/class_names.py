"""Names of classes, in whatever form people keep them -> a list in the order of the outputs."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcam_core.types import UserError

COUNTED = re.compile(r"(\d+)[\s:.,;=]+(\S.*)")  # "0 Mug", "0: Mug", "0. Mug"
UNREADABLE_NAMES = "The labels file cannot be read; give a text file in UTF-8."
NO_NAMES = (
    "The class names make no sense as they are; give a text file with one name a line, a CSV with "
    "numbers and names, or JSON: a list of names, or numbers and names."
)


def read_names(path: str | Path) -> list[str]:
    """Class names from a text file, a CSV or a JSON file. Raises a UserError."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(UNREADABLE_NAMES) from error
    return names_in(text)


def names_in(text: str) -> list[str]:
    """One name a line, "0 Mug" or "Mug"; a CSV of numbers and names, with a heading or without; or
    JSON: a list, {"0": "Mug"}, or {"Mug": 0} as Keras's class_indices. Raises a UserError.
    """
    text = text.strip()
    if text[:1] in ("[", "{"):
        return _from_json(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _from_csv(lines) or _without_numbers(lines)


def _from_json(text: str) -> list[str]:
    try:
        said: Any = json.loads(text)
        if isinstance(said, list) and all(isinstance(name, str) for name in said):
            return said
        if isinstance(said, Mapping):
            if all(type(number) is int for number in said.values()):
                said = {number: name for name, number in said.items()}
            return _in_order({int(number): name for number, name in said.items()})
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(NO_NAMES) from error
    raise UserError(NO_NAMES)


def _in_order(names: Mapping[int, str]) -> list[str]:
    """Of {0: .., 1: ..} the names. Raises ValueError where a number is missing."""
    if sorted(names) != list(range(len(names))):
        raise ValueError
    return [str(names[number]).strip() for number in range(len(names))]


def _from_csv(lines: list[str]) -> list[str]:
    """The names where every line has a number and a name; [] where not."""
    try:
        between = next((d for d in ",;\t" if d in "".join(lines)), ",")
        rows = list(csv.reader(lines, delimiter=between))
    except csv.Error:
        return []
    for heading in (0, 1):
        for number, name in ((0, 1), (1, 0)):
            try:
                found = {int(row[number]): row[name] for row in rows[heading:] if len(row) == 2}
                if len(found) == len(rows) - heading > 0:
                    return _in_order(found)
            except ValueError:
                continue
    return []


def _without_numbers(lines: list[str]) -> list[str]:
    """The lines, without the numbers before them where those count the lines from 0."""
    found = [COUNTED.fullmatch(line) for line in lines]
    if all(f and int(f[1]) == n for n, f in enumerate(found)):
        return [f[2] for f in found if f]
    return lines
