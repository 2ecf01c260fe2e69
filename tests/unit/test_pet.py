"""The rules of a pet."""

import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pets.domain.errors import InvalidPet
from pets.domain.pet import NewPet, Pet, PetChange, PetType, composed
from tests.factories import CHANGEABLE, MEMBERS, TEXTS, NewPetFactory

# Python counts these four as white space, and Unicode does not.
SEPARATORS = "\x1c\x1d\x1e\x1f"
CHARACTERS = map(chr, range(0x110000))
WHITE_SPACE = "".join(c for c in CHARACTERS if c.isspace() and c not in SEPARATORS)

white_space = st.text(WHITE_SPACE)
plain = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=100)


def new_pet(**values: Any) -> NewPet:  # Any: some tests pass values of wrong types
    """Make a valid pet, except for the values given here."""
    members: dict[str, Any] = {"name": "boy", "age": 7, "type": PetType.DOG}
    return NewPet(**members | values)


@given(before=white_space, name=plain, after=white_space)
def test_a_name_loses_the_white_space_at_its_ends(before: str, name: str, after: str) -> None:
    kept = unicodedata.normalize("NFC", name.strip(WHITE_SPACE))
    assume(1 <= len(kept) <= 100)
    assert new_pet(name=before + name + after).name == kept


@given(name=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=101))
def test_a_name_of_over_100_characters_is_rejected(name: str) -> None:
    assume(len(unicodedata.normalize("NFC", name.strip(WHITE_SPACE))) > 100)
    with pytest.raises(InvalidPet, match="name must be"):
        new_pet(name=name)


@given(name=white_space)
def test_a_name_of_white_space_only_is_rejected(name: str) -> None:
    with pytest.raises(InvalidPet, match="name must be"):
        new_pet(name=name)


@given(before=plain, control=st.characters(categories=["Cc"]), after=plain)
def test_a_control_character_within_a_name_is_rejected(
    before: str, control: str, after: str
) -> None:
    assume(before.strip(WHITE_SPACE))
    assume(after.strip(WHITE_SPACE))
    assert unicodedata.category(control) == "Cc"
    with pytest.raises(InvalidPet, match="name must be"):
        new_pet(name=before + control + after)


@given(age=st.integers(0, 100))
def test_an_age_from_0_to_100_is_kept(age: int) -> None:
    assert new_pet(age=age).age == age


@given(age=st.integers(max_value=-1) | st.integers(min_value=101))
def test_an_age_outside_0_to_100_is_rejected(age: int) -> None:
    with pytest.raises(InvalidPet, match="age must be"):
        new_pet(age=age)


@pytest.mark.parametrize(
    "created_at",
    [
        datetime.fromisoformat("2021-05-18T19:10:17.000001"),
        datetime(2021, 5, 18, 19, 10, 17, tzinfo=UTC),
        datetime(2021, 5, 18, 19, 10, 17, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_time_has_no_zone_and_whole_seconds(created_at: datetime) -> None:
    with pytest.raises(
        InvalidPet, match=r"^created_at must be in whole seconds, without a time zone$"
    ):
        new_pet(created_at=created_at)


@pytest.mark.parametrize("created_at", ["0001-01-02T00:00:00", "9999-12-31T23:59:59"])
def test_the_first_and_the_last_time_are_kept(created_at: str) -> None:
    time = datetime.fromisoformat(created_at)
    assert new_pet(created_at=time).created_at == time


@pytest.mark.parametrize("created_at", ["0001-01-01T00:00:00", "0001-01-01T23:59:59"])
def test_the_first_day_of_all_is_rejected(created_at: str) -> None:
    """Many languages write a time that was never set as a moment of this day."""
    rule = "^created_at must be from 0001-01-02T00:00:00 to 9999-12-31T23:59:59$"
    with pytest.raises(InvalidPet, match=rule):
        new_pet(created_at=datetime.fromisoformat(created_at))


def test_a_new_pet_is_created_now() -> None:
    before = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    assert before <= new_pet().created_at <= datetime.now(UTC).replace(tzinfo=None)


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock of the machine shows another hour than that of UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_a_new_pet_is_created_now_in_utc() -> None:
    assert abs(new_pet().created_at - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)


def test_a_pet_is_a_new_pet_with_an_id() -> None:
    new = NewPetFactory.build()
    assert Pet._fields == ("id", *MEMBERS)
    assert new.with_id(1) == Pet(1, *(getattr(new, name) for name in MEMBERS))


def test_every_member_but_the_time_can_be_changed() -> None:
    assert [name for name in MEMBERS if name != "created_at"] == CHANGEABLE


@pytest.mark.parametrize("member", CHANGEABLE)
def test_a_change_of_one_member_keeps_the_others(member: str) -> None:
    pet = NewPetFactory.build()
    value = getattr(NewPetFactory.unlike(pet), member)
    changed = pet.with_id(1).changed(PetChange(**{member: value}))
    assert changed == replace(pet, **{member: value}).with_id(1)


@pytest.mark.parametrize("member", CHANGEABLE)
def test_a_pet_is_unlike_one_that_differs_in_a_member(member: str) -> None:
    pet = NewPetFactory.build()
    assert pet.is_like(pet.with_id(1))
    other = replace(pet, **{member: getattr(NewPetFactory.unlike(pet), member)})
    assert not other.is_like(pet.with_id(1))


@pytest.mark.parametrize("member", TEXTS)
@pytest.mark.parametrize("make", [new_pet, PetChange])
def test_every_text_obeys_the_rules_of_a_text(member: str, make: Callable[..., Any]) -> None:
    assert getattr(make(**{member: "\u3000x "}), member) == "x"
    for bad in ("a\nb", "\x00", "x" * 1000):
        with pytest.raises(InvalidPet, match=f"^{member} must be"):
            make(**{member: bad})


def test_a_name_has_one_form_of_unicode_however_it_is_typed() -> None:
    assert new_pet(name="Zoe\u0308") == new_pet(name="Zo\u00eb")
    assert PetChange(name="Zoe\u0308") == PetChange(name="Zo\u00eb")


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        ("e\u0301" * 100, True),
        ("e\u0301" * 101, False),
        ("\ufb2d" * 33, True),  # Each becomes three characters.
        ("\ufb2d" * 34, False),
    ],
)
def test_the_length_of_a_name_is_that_of_its_composed_form(name: str, *, is_valid: bool) -> None:
    if is_valid:
        assert 99 <= len(new_pet(name=name).name) <= 100
    else:
        with pytest.raises(InvalidPet, match="name must be"):
            new_pet(name=name)


def test_a_very_long_text_is_not_composed() -> None:
    """That would take seconds."""
    text = "a" + "\u0301\u0316" * 50_000
    assert composed(text) is text


def test_a_pet_is_like_one_whose_name_an_older_version_stored_in_another_form() -> None:
    new = new_pet(name="Zoe\u0308")
    assert new.is_like(new.with_id(1)._replace(name="Zoe\u0308"))
