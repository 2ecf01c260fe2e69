"""How the scope of a request is read."""

import re
from typing import Final
from urllib.parse import urljoin, urlsplit

import pytest

from pets.asgi import header_values, path_as_sent

# The rule `path-absolute` of RFC 3986, section 3.3.
_CHARACTER: Final = r"(%[0-9A-Fa-f]{2}|[\w.~!$&'()*+,;=:@-])"
PATH_ABSOLUTE: Final = re.compile(f"/({_CHARACTER}+(/{_CHARACTER}*)*)?", re.ASCII)


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (b"/", "/"),
        (b"/pets/?name=x", "/pets/"),
        (b"/pets/%C3%A9", "/pets/%C3%A9"),
        (b"/pets//1", "/pets//1"),
        (b"//evil.example/x", "/.//evil.example/x"),
        (b"///evil.example", "/.///evil.example"),
        (b"//", "/.//"),
        (b"/%zz", "/%25zz"),
        (b"/%", "/%25"),
        (b"/a%2", "/a%252"),
        (b"/%%41", "/%25%41"),
        (b"/\\evil.example", "/%5Cevil.example"),
        (b'/\xff<>"', "/%FF%3C%3E%22"),
    ],
)
def test_a_path_as_it_was_sent_stays_on_its_host(sent: bytes, path: str) -> None:
    assert path_as_sent(sent) == path
    assert PATH_ABSOLUTE.fullmatch(path)
    assert urlsplit(urljoin("http://pets.example/pets/1", path)).netloc == "pets.example"


def test_a_header_has_a_value_for_each_time_that_it_was_sent() -> None:
    scope = {"headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3, 4")]}
    assert header_values(scope, b"a") == [b"1", b"3, 4"]
    assert header_values(scope, b"c") == []
