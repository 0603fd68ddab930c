"""Names of classes in every form that people keep them in."""

import pytest

from gradcam_core.class_names import names_in, read_names
from gradcam_core.types import UserError

NAMES = ["cat", "Käfer", "a, b"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat\n\n  Käfer \n", ["cat", "Käfer"]),
        ("0 cat\n1 Käfer\n2 a, b\n", NAMES),
        ("0: cat\n1: Käfer", ["cat", "Käfer"]),
        ("0. cat\r\n1. Käfer\r\n", ["cat", "Käfer"]),
        ("1 cat\n2 dogs", ["1 cat", "2 dogs"]),  # they do not count from 0: a part of the names
        ("7 eleven\n3 points", ["7 eleven", "3 points"]),
        ("0,cat\n1,Käfer", ["cat", "Käfer"]),
        ("cat,0\nKäfer,1", ["cat", "Käfer"]),
        ('1,Käfer\n0,cat\n2,"a, b"', NAMES),
        ("index,name\n0,cat\n1,Käfer", ["cat", "Käfer"]),
        ("0;cat\n1;Käfer", ["cat", "Käfer"]),
        ('"cat\ndog', ['"cat', "dog"]),
        ("0\tcat\n1\tKäfer", ["cat", "Käfer"]),
        ("cat, tabby\ndog, hound", ["cat, tabby", "dog, hound"]),
        ('["cat", "Käfer", "a, b"]', NAMES),
        ('{"0": "cat", "1": "Käfer"}', ["cat", "Käfer"]),
        ('{"cat": 0, "Käfer": 1}', ["cat", "Käfer"]),
        ('{"Käfer": 1, "cat": 0}', ["cat", "Käfer"]),
        ("", []),
    ],
)
def test_names(text, names, tmp_path):
    assert names_in(text) == names
    path = tmp_path / "names"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_bytes(text.encode(encoding))
        assert read_names(path) == names


@pytest.mark.parametrize(
    "text",
    ["{", "[1, 2]", '{"0": "a", "2": "b"}', '{"a": "b"}', '[["a"]]', "[" * 5000, '{"a": null}'],
)
def test_what_makes_no_sense(text, sentence):
    with pytest.raises(UserError) as error:
        names_in(text)
    sentence(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\xff", None])
def test_what_cannot_be_read(content, tmp_path, sentence):
    if content is not None:
        (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(UserError, match="UTF-8") as error:
        read_names(tmp_path / "names.txt")
    sentence(error.value)


def test_a_quotation_mark_in_a_long_list_is_a_part_of_a_name():
    """Python's reader of CSV gives up where a field has more than 131,072 letters."""
    many = [f"name {n}" for n in range(20_000)]
    assert names_in("\n".join(['"name', *many])) == ['"name', *many]
