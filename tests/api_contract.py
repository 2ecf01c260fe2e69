"""The promises of the API."""

import csv
import io
import re
import time
from codecs import BOM_UTF8
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from typing import Any, Final
from urllib.parse import urljoin

import httpx
import msgspec
import pytest
from litestar.testing import TestClient

from pets.api.application import Application
from pets.domain.pet import MAX_ID, NewPet
from tests.factories import CHANGEABLE, NewPetFactory, PetCreateFactory
from tests.hostile import (
    JSON,
    BadRequest,
    bad_queries_and_keys,
    bad_requests,
    bad_requests_to_one_pet,
)

TITLES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    413: "Content Too Large",
    415: "Unsupported Media Type",
}
BOY = b'{"name": "boy", "age": 7, "type": "dog"}'
NDJSON = "application/x-ndjson"
NEW_PETS = f"application/json, {NDJSON}, text/csv"
Client = TestClient[Application]
Pets = list[dict[str, Any]]
NOT_FOUND = "Pet with the matching ID was not found."


def create(client: Client, **members: object) -> dict[str, Any]:
    body = msgspec.to_builtins(PetCreateFactory.build()) | members
    response = client.post("/pets/", json=body)
    assert response.status_code == 201, response.text
    pet: dict[str, Any] = response.json()
    return pet


def members_of(pet: NewPet) -> dict[str, Any]:
    """Return what a client sends to create this pet."""
    return {name: getattr(pet, name) for name in CHANGEABLE}


def delete(client: Client, ids: list[int]) -> dict[str, Any]:
    response = client.request("DELETE", "/pets/", json={"ids": ids})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def listed(client: Client, query: str = "") -> dict[str, Any]:
    response = client.get(f"/pets/{query}")
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def empty(client: Client) -> Client:
    """Delete every pet, because a new application for each test would take too long."""
    while items := listed(client, "?limit=1000")["items"]:
        delete(client, [pet["id"] for pet in items])
    return client


class CreatingAPet:
    def test_answers_201_with_the_pet_and_its_location(self, client: Client) -> None:
        response = client.post("/pets/", json={"name": "boy", "age": 7, "type": "dog"})
        assert response.status_code == 201
        assert response.headers["content-type"] == "application/json"
        pet = response.json()
        assert response.headers["location"] == f"/pets/{pet['id']}"
        assert response.headers["etag"] == tag_of(client, pet["id"])
        assert pet == {
            "id": pet["id"],
            "name": "boy",
            "age": 7,
            "type": "dog",
            "created_at": pet["created_at"],
        }

    def test_writes_the_members_in_the_documented_order(self, client: Client) -> None:
        assert list(create(client)) == ["id", "name", "age", "type", "created_at"]

    def test_writes_the_time_in_whole_seconds_without_offset(self, client: Client) -> None:
        created_at = create(client)["created_at"]
        assert len(created_at) == len("2021-05-18T19:10:17")
        assert created_at[10] == "T"

    @pytest.mark.parametrize("name", [" boy", "boy ", "\t\n boy\u00a0\u2003\u3000\r\n"])
    def test_strips_white_space_at_both_ends_of_the_name(self, client: Client, name: str) -> None:
        assert create(client, name=name)["name"] == "boy"

    @pytest.mark.parametrize(
        "name",
        ["x", "x" * 100, " " * 999 + "x" * 100 + " " * 999, "小白", "🐕‍🦺", "\u200b", "a  b"],
    )
    def test_accepts_names_of_1_to_100_characters_of_any_script(
        self, client: Client, name: str
    ) -> None:
        assert create(client, name=name)["name"] == name.strip(" ")

    @pytest.mark.parametrize(
        ("name", "kept"),
        [
            ("Zoe\u0308", "Zo\u00eb"),
            ("\u212b", "\u00c5"),
            ("e\u0301" * 100, "\u00e9" * 100),
            ("\u03b1\u0314\u0300\u0345" * 100, "\u1f83" * 100),
            (" " * 500 + "e\u0301" * 100 + " ", "\u00e9" * 100),
            ("\ufb2d" * 33, "\u05e9\u05bc\u05c2" * 33),
        ],
    )
    def test_keeps_a_name_in_the_composed_form_of_unicode(
        self, client: Client, name: str, kept: str
    ) -> None:
        """Its length is that of this form."""
        pet = create(client, name=name)
        assert pet["name"] == kept
        changed = client.patch(f"/pets/{pet['id']}", json={"name": name})
        assert (changed.status_code, changed.json()) == (200, pet)

    @pytest.mark.parametrize("age", [0, 1, 99, 100])
    def test_accepts_ages_from_0_to_100(self, client: Client, age: int) -> None:
        assert create(client, age=age)["age"] == age

    @pytest.mark.parametrize("media_type", ["application/json", "Application/JSON ; charset=utf-8"])
    def test_accepts_every_spelling_of_the_media_type_of_json(
        self, client: Client, media_type: str
    ) -> None:
        body = b'{"name": "boy", "age": 7, "type": "dog"}'
        assert (
            client.post("/pets/", content=body, headers={"content-type": media_type}).status_code
            == 201
        )

    @pytest.mark.parametrize(
        "first",
        [
            '"name": 7',
            '"age": "x"',
            '"age": 101',
            '"type": "bird"',
            '"type": null',
            '"name": {"a": [1]}',
        ],
    )
    def test_uses_the_last_value_of_a_repeated_member(self, client: Client, first: str) -> None:
        body = f'{{{first}, "name": "boy", "age": 7, "type": "dog"}}'
        response = client.post("/pets/", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 201
        assert [response.json()[name] for name in ("name", "age", "type")] == ["boy", 7, "dog"]

    @pytest.mark.parametrize("last", ['"name": 7', '"age": "x"', '"type": "bird"'])
    def test_validates_the_last_value_of_a_repeated_member(self, client: Client, last: str) -> None:
        body = f'{{"name": "boy", "age": 7, "type": "dog", {last}}}'
        response = client.post("/pets/", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 400
        assert [error["pointer"] for error in response.json()["errors"]] == [
            f"#/{last.split(chr(34))[1]}"
        ]

    @pytest.mark.parametrize("coding", ["gzip", "identity, gzip", "br", "GZIP", "nonsense"])
    def test_rejects_a_body_with_a_content_coding(self, client: Client, coding: str) -> None:
        body = {"name": "boy", "age": 7, "type": "dog"}
        response = client.post("/pets/", json=body, headers={"content-encoding": coding})
        assert (response.status_code, response.headers["accept-encoding"]) == (415, "identity")
        assert response.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("coding", ["identity", "Identity", ""])
    def test_accepts_a_body_without_a_content_coding(self, client: Client, coding: str) -> None:
        body = {"name": "boy", "age": 7, "type": "dog"}
        assert (
            client.post("/pets/", json=body, headers={"content-encoding": coding}).status_code
            == 201
        )


class CreatingSeveralPets:
    def test_answers_201_with_the_pets_in_the_order_in_which_they_were_sent(
        self, client: Client
    ) -> None:
        sent = [members_of(pet) for pet in NewPetFactory.batch(12)]
        response = client.post("/pets/", json=sent)
        assert response.status_code == 201
        pets = response.json()
        assert [{name: pet[name] for name in CHANGEABLE} for pet in pets] == sent
        assert "location" not in response.headers
        assert listed(client) == {"count": 12, "items": pets}

    def test_of_an_array_of_one_pet_answers_an_array(self, client: Client) -> None:
        response = client.post("/pets/", content=b" \t\r\n[" + BOY + b"]", headers=JSON)
        assert response.status_code == 201
        assert [pet["name"] for pet in response.json()] == ["boy"]

    def test_takes_1000_pets_and_no_more(self, client: Client) -> None:
        for number, status in ((1000, 201), (1001, 400)):
            response = client.post(
                "/pets/", content=b"[" + b",".join([BOY] * number) + b"]", headers=JSON
            )
            assert response.status_code == status
        assert response.json()["errors"] == [
            {"pointer": "#", "detail": "must be an array of 1 to 1,000 pets"}
        ]
        assert listed(client, "?limit=0")["count"] == 1000

    def test_with_a_bad_pet_creates_none(self, client: Client) -> None:
        body = b"[" + BOY + b', {"name": "", "age": 7}, 1, ' + BOY + b"]"
        response = client.post("/pets/", content=body, headers=JSON)
        assert response.status_code == 400
        pointers = [error["pointer"] for error in response.json()["errors"]]
        assert pointers == ["#/1/name", "#/1/type", "#/2"]
        assert listed(client)["count"] == 0


class CreatingPetsFromLines:
    """`POST /pets/` with NDJSON or CSV."""

    @staticmethod
    def post(client: Client, body: bytes | str, media_type: str, **headers: str) -> httpx.Response:
        sent = {"content-type": media_type} | headers
        return client.post("/pets/", content=body, headers=sent)

    @staticmethod
    def faults(response: httpx.Response) -> list[tuple[str, int | None]]:
        assert response.status_code == 400, response.text
        return [(fault["pointer"], fault.get("line")) for fault in response.json()["errors"]]

    def test_answers_the_array_of_the_pets(self, client: Client) -> None:
        sent = [members_of(pet) for pet in NewPetFactory.batch(12)]
        text = io.StringIO()
        writer = csv.DictWriter(text, CHANGEABLE)
        writer.writeheader()
        writer.writerows(sent)
        bodies: dict[str, bytes | str] = {
            NDJSON: b"".join(msgspec.json.encode(pet) + b"\n" for pet in sent),
            "Text/CSV; charset=utf-8": text.getvalue(),
        }
        for media_type, body in bodies.items():
            response = self.post(client, body, media_type)
            assert response.status_code == 201, response.text
            pets = response.json()
            assert [{name: pet[name] for name in CHANGEABLE} for pet in pets] == sent
            assert "location" not in response.headers
        assert listed(client)["count"] == 24

    @pytest.mark.parametrize(
        "body",
        [
            b"name;age;type\nboy;7;dog",
            BOM_UTF8 + b"Name;AGE; Type \r\nboy;7;dog\r\n;;\r\n",
            b"sep=\t\r\ntype\tage\tname\r\ndog\t7\tboy\r\n\r\n",
            b'"name","age","type"\n"boy","7","dog"\n',
        ],
    )
    def test_reads_csv_as_spreadsheets_write_it(self, client: Client, body: bytes) -> None:
        response = self.post(client, body, "text/csv")
        assert response.status_code == 201, response.text
        (pet,) = response.json()
        assert [pet[name] for name in ("name", "age", "type")] == ["boy", 7, "dog"]

    def test_a_line_may_have_16_kib(self, client: Client) -> None:
        for length, status in ((16 * 1024, 201), (16 * 1024 + 1, 400)):
            body = BOY.ljust(length - 1) + b"\n"
            response = client.post("/pets/", content=body, headers={"content-type": NDJSON})
            assert response.status_code == status
        assert response.json()["errors"] == [
            {"pointer": "#", "line": 1, "detail": "is over 16 KiB"}
        ]

    def test_takes_1000_lines_and_no_more(self, client: Client) -> None:
        for number, status in ((1000, 201), (1001, 400)):
            response = self.post(client, (BOY + b"\n") * number, NDJSON)
            assert response.status_code == status
            csv_ = b"name,age,type\n" + b"boy,7,dog\n" * number
            response = self.post(client, csv_, "text/csv")
            assert response.status_code == status
        assert response.json()["errors"] == [
            {"pointer": "#", "detail": "must have 1 to 1,000 pets"}
        ]
        assert listed(client, "?limit=0")["count"] == 2000

    def test_with_a_bad_line_creates_no_pet_and_says_where_it_is(self, client: Client) -> None:
        body = BOY + b'\n{"name": "", "age": 7}\n1\nx\n\n' + BOY
        faults = self.faults(self.post(client, body, NDJSON))
        assert faults == [("#/1/name", 2), ("#/1/type", 2), ("#/2", 3), ("#/3", 4), ("#", 5)]
        body = b'name,age,type\n"a\nb",101,dog\nx,y\nboy,7.0,dog\n'
        faults = self.faults(self.post(client, body, "text/csv"))
        assert faults == [("#/0/name", 2), ("#/0/age", 2), ("#/1", 4), ("#/2/age", 5)]
        assert listed(client)["count"] == 0

    @pytest.mark.parametrize(
        "header", ["id,name,age,type", "name,age,type,created_at", "boy,7,dog"]
    )
    def test_takes_no_other_members(self, client: Client, header: str) -> None:
        response = self.post(client, f"{header}\n1,boy,7,dog\n", "text/csv")
        assert self.faults(response) == [("#", 1)]
        assert repr(header) in response.json()["errors"][0]["detail"]

    @pytest.mark.parametrize("media_type", [NDJSON, "text/csv"])
    def test_needs_a_pet(self, client: Client, media_type: str) -> None:
        for body in ("\n", " \r\n\r\n", "name,age,type\n" if "csv" in media_type else "\n"):
            assert self.faults(self.post(client, body, media_type)) == [("#", None)]

    def test_with_the_same_key_creates_the_pets_once(self, client: Client) -> None:
        key = {"idempotency-key": token_hex(8)}
        body = "name,age,type\nboy,7,dog\n"
        first, again = (self.post(client, body, "text/csv", **key) for _ in range(2))
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert self.post(client, body * 1 + "a,1,cat", "text/csv", **key).status_code == 422
        assert listed(client)["count"] == 1

    @pytest.mark.parametrize(
        "body",
        [b"\n" * 2**20, b",\n" * 2**19, b'"' * 2**20, b"x\n" * 2**19, b'"\n' * 2**19],
        ids=["line breaks", "separators", "quotes", "lines", "quotes in lines"],
    )
    def test_of_any_text_is_read_quickly(self, client: Client, body: bytes) -> None:
        start = time.process_time()
        for media_type in (NDJSON, "text/csv"):
            assert self.post(client, body, media_type).status_code == 400
        assert time.process_time() - start < 1


class ListingPets:
    def test_of_an_empty_store_returns_no_pets(self, client: Client) -> None:
        assert listed(client) == {"count": 0, "items": []}

    def test_returns_pets_by_ascending_id(self, client: Client) -> None:
        pets = [create(client) for _ in range(3)]
        assert listed(client) == {"count": 3, "items": pets}

    def test_returns_20_pets_by_default_and_counts_all(self, client: Client) -> None:
        pets = [create(client) for _ in range(21)]
        assert listed(client) == {"count": 21, "items": pets[:20]}

    @pytest.mark.parametrize(
        ("limit", "expected"),
        [
            ("0", 0),
            ("1", 1),
            ("3", 3),
            ("1000", 3),
            ("1001", 3),
            ("007", 3),
            ("9" * 30, 3),
            ("9" * 5000, 3),
        ],
    )
    def test_returns_at_most_as_many_pets_as_the_limit(
        self, client: Client, limit: str, expected: int
    ) -> None:
        pets = [create(client) for _ in range(3)]
        assert listed(client, f"?limit={limit}") == {"count": 3, "items": pets[:expected]}

    def test_repeats_the_count_in_a_header(self, client: Client) -> None:
        for _ in range(2):
            create(client)
        assert client.get("/pets/?limit=1").headers["x-total-count"] == "2"

    def test_writes_count_before_items(self, client: Client) -> None:
        assert list(listed(client)) == ["count", "items"]


class DeletingPets:
    def test_reports_how_many_were_deleted_and_which_were_not_found(self, client: Client) -> None:
        first, second, third = (create(client)["id"] for _ in range(3))
        delete(client, [first])
        assert delete(client, [first, second, third]) == {
            "deleted": 2,
            "errors": [{"id": first, "error": NOT_FOUND}],
        }
        assert listed(client) == {"count": 0, "items": []}

    def test_keeps_the_other_pets(self, client: Client) -> None:
        first, second = create(client), create(client)
        delete(client, [first["id"]])
        assert listed(client) == {"count": 1, "items": [second]}

    def test_counts_a_repeated_id_once(self, client: Client) -> None:
        pet = create(client)["id"]
        assert delete(client, [pet, pet]) == {"deleted": 1, "errors": []}
        assert delete(client, [pet, pet]) == {
            "deleted": 0,
            "errors": [{"id": pet, "error": NOT_FOUND}],
        }

    def test_lists_errors_in_the_order_of_the_request(self, client: Client) -> None:
        ids = [9, 3, 7, 3, 1, 9, 8]
        assert [error["id"] for error in delete(client, ids)["errors"]] == [9, 3, 7, 1, 8]

    @pytest.mark.parametrize(
        "id_", [0, -1, MAX_ID, MAX_ID + 1, -MAX_ID - 2, 2**64, -(2**64), 10**400]
    )
    def test_reports_an_impossible_id_as_not_found(self, client: Client, id_: int) -> None:
        assert delete(client, [id_]) == {"deleted": 0, "errors": [{"id": id_, "error": NOT_FOUND}]}

    def test_of_an_empty_list_deletes_nothing(self, client: Client) -> None:
        create(client)
        assert delete(client, []) == {"deleted": 0, "errors": []}
        assert listed(client)["count"] == 1

    def test_is_fast_although_all_ids_have_the_same_hash(self, client: Client) -> None:
        """Python's hash of an integer is its remainder by 2^61-1, which is 0 for each of these."""
        ids = [(2**61 - 1) * n for n in range(1, 10_001)]
        # The service runs in this process, and other processes must not count.
        start = time.process_time()
        assert len(delete(client, ids)["errors"]) == 10_000
        assert time.process_time() - start < 0.5

    def test_accepts_10000_ids(self, client: Client) -> None:
        pet = create(client)["id"]
        answer = delete(client, list(range(pet, pet + 10_000)))
        assert answer["deleted"] == 1
        assert len(answer["errors"]) == 9_999

    def test_never_lets_an_id_be_reused(self, client: Client) -> None:
        pet = create(client)["id"]
        delete(client, [pet])
        assert create(client)["id"] > pet


class OnePet:
    def test_is_found_at_its_location(self, client: Client) -> None:
        created = client.post("/pets/", json={"name": "boy", "age": 7, "type": "dog"})
        response = client.get(created.headers["location"])
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert response.content == created.content

    def test_has_every_member_as_it_was_sent(self, client: Client) -> None:
        old = NewPetFactory.build()
        sent, new = members_of(old), members_of(NewPetFactory.unlike(old))
        pet = create(client, **sent)
        assert pet.items() >= sent.items()
        path = f"/pets/{pet['id']}"
        assert client.get(path).json() == pet
        assert client.patch(path, json=new).json() == pet | new
        assert client.get(path).json() == pet | new

    def test_is_not_found_after_its_deletion(self, client: Client) -> None:
        pet, other = create(client), create(client)
        response = client.delete(f"/pets/{pet['id']}")
        assert (response.status_code, response.content) == (204, b"")
        for method in ("GET", "DELETE", "PATCH"):
            response = client.request(method, f"/pets/{pet['id']}", json={})
            assert (response.status_code, response.json()["detail"]) == (404, NOT_FOUND)
        assert listed(client) == {"count": 1, "items": [other]}

    @pytest.mark.parametrize(
        "media_type", ["application/json", "application/merge-patch+json", "Application/JSON; x=y"]
    )
    @pytest.mark.parametrize("members", [*([name] for name in CHANGEABLE), CHANGEABLE, []], ids=str)
    def test_is_changed_in_the_named_members_only(
        self, client: Client, members: list[str], media_type: str
    ) -> None:
        old = NewPetFactory.build()
        unlike = members_of(NewPetFactory.unlike(old))
        change = {name: unlike[name] for name in members}
        pet, other = create(client, **members_of(old)), create(client)
        response = client.patch(
            f"/pets/{pet['id']}",
            content=msgspec.json.encode(change),
            headers={"content-type": media_type},
        )
        assert (response.status_code, response.json()) == (200, pet | change)
        assert listed(client) == {"count": 2, "items": [pet | change, other]}

    def test_gets_a_new_name_without_white_space_at_its_ends(self, client: Client) -> None:
        pet = create(client)["id"]
        assert client.patch(f"/pets/{pet}", json={"name": " girl\u3000"}).json()["name"] == "girl"

    def test_lists_its_methods_for_options(self, client: Client) -> None:
        response = client.options("/pets/1")
        assert (response.status_code, response.headers["allow"]) == (
            204,
            "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
        )
        assert response.headers["accept-patch"] == "application/json, application/merge-patch+json"


class ReplacingAPet:
    def test_sets_every_member_except_its_id_and_its_time(self, client: Client) -> None:
        old = NewPetFactory.build()
        new = members_of(NewPetFactory.unlike(old))
        pet, other = create(client, **members_of(old)), create(client)
        response = client.put(f"/pets/{pet['id']}", json=new)
        assert (response.status_code, response.json()) == (200, pet | new)
        assert response.headers["etag"] == tag_of(client, pet["id"])
        assert listed(client) == {"count": 2, "items": [pet | new, other]}

    def test_needs_every_member(self, client: Client) -> None:
        pet = create(client, age=7)
        response = client.put(f"/pets/{pet['id']}", json={"age": 8})
        assert response.status_code == 400
        assert [each["pointer"] for each in response.json()["errors"]] == ["#/name", "#/type"]
        assert client.get(f"/pets/{pet['id']}").json() == pet

    def test_creates_no_pet(self, client: Client) -> None:
        response = client.put("/pets/9223372036854775807", content=BOY, headers=JSON)
        assert (response.status_code, response.json()["detail"]) == (404, NOT_FOUND)
        assert listed(client)["count"] == 0


def tag_of(client: Client, pet: int) -> str:
    tag: str = client.get(f"/pets/{pet}").headers["etag"]
    return tag


COMPRESSED: Final = [
    "W/{tag}",
    '"{digest}-gzip"',
    '"{digest}-zstd"',
    '"{digest}-br"',
    '"{digest}--gzip"',
    'W/"{digest}-gzip"',
    '"x", "{digest}-gzip"',
]
"""What becomes of a tag at a proxy that compresses the answer: it still names the pet's state."""


class Conditions:
    def test_a_strong_tag_changes_exactly_when_the_pet_changes(self, client: Client) -> None:
        pet = create(client, name="boy", age=7)["id"]
        first = tag_of(client, pet)
        assert first.startswith('"')
        assert client.patch(f"/pets/{pet}", json={}).headers["etag"] == first
        assert (
            client.patch(f"/pets/{pet}", json={"age": 7, "name": " boy "}).headers["etag"] == first
        )
        second = client.patch(f"/pets/{pet}", json={"age": 8}).headers["etag"]
        assert second == tag_of(client, pet) != first
        assert tag_of(client, create(client, name="boy", age=7)["id"]) != first

    def test_a_matching_if_none_match_gets_304(self, client: Client) -> None:
        pet = create(client)["id"]
        tag = tag_of(client, pet)
        for known in (tag, f"W/{tag}", f'"x", {tag}', f'{tag[:-1]}-gzip"', "*"):
            for method in ("GET", "HEAD"):
                response = client.request(method, f"/pets/{pet}", headers={"if-none-match": known})
                assert (response.status_code, response.content, response.headers["etag"]) == (
                    304,
                    b"",
                    tag,
                )

    @pytest.mark.parametrize("known", ['"x"', 'W/"x"', "", ",", '"x",, "y" ,'])
    def test_another_if_none_match_gets_the_pet(self, client: Client, known: str) -> None:
        pet = create(client)
        response = client.get(f"/pets/{pet['id']}", headers={"if-none-match": known})
        assert (response.status_code, response.json()) == (200, pet)

    @pytest.mark.parametrize(
        "wanted", ["{tag}", '"x", {tag}', '"x" ,W/"y",{tag}', "*", *COMPRESSED]
    )
    def test_a_condition_that_holds_permits_every_method(self, client: Client, wanted: str) -> None:
        pet = create(client, age=7)["id"]
        for method, status in (("GET", 200), ("PATCH", 200), ("PUT", 200), ("DELETE", 204)):
            tag = tag_of(client, pet)
            headers = JSON | {"if-match": wanted.format(tag=tag, digest=tag[1:-1])}
            response = client.request(method, f"/pets/{pet}", content=BOY, headers=headers)
            assert response.status_code == status
        assert listed(client)["count"] == 0

    @pytest.mark.parametrize(
        "condition",
        [
            "if-match: {old}",
            "if-match: W/{old}",
            'if-match: "{old_digest}-gzip"',
            'if-match: "{new_digest}gzip"',
            'if-match: "{new_digest}-"',
            'if-match: "{new_digest}-gzip-x"',
            'if-match: "{new_digest}---gzip"',
            'if-match: "x{new_digest}"',
            'if-match: "x{new_digest}-gzip"',
            'if-match: "x"',
            "if-match: ",
            "if-none-match: {new}",
            "if-none-match: W/{new}",
            'if-none-match: "{new_digest}-gzip"',
        ],
    )
    def test_a_condition_that_fails_leaves_the_pet_unchanged(
        self, client: Client, condition: str
    ) -> None:
        pet = create(client, age=7)
        path = f"/pets/{pet['id']}"
        old, new = tag_of(client, pet["id"]), client.patch(path, json={"age": 8}).headers["etag"]
        name, value = condition.format(
            old=old, new=new, old_digest=old[1:-1], new_digest=new[1:-1]
        ).split(": ")
        for method in ("PATCH", "PUT", "DELETE"):
            response = client.request(method, path, content=BOY, headers=JSON | {name: value})
            assert (response.status_code, response.json()["title"]) == (412, "Precondition Failed")
            assert response.headers["content-type"] == "application/problem+json"
        assert client.get(path).json() == pet | {"age": 8}

    @pytest.mark.parametrize("header", ["if-match", "if-none-match"])
    @pytest.mark.parametrize(
        "tags",
        [
            "x",
            "w/{}",
            '"a"b{}',
            '"a" {}',
            "{}x",
            '"a',
            "W/",
            '*, "x"',
            "*, *",
            '"a b"',
            "'x'",
            "W/ {}",
        ],
    )
    def test_a_malformed_list_of_tags_is_rejected(
        self, client: Client, header: str, tags: str
    ) -> None:
        pet = create(client, age=7)
        path = f"/pets/{pet['id']}"
        headers = {header: tags.format(tag_of(client, pet["id"]))}
        requests = [
            ("GET", path),
            ("PATCH", path),
            ("DELETE", path),
            ("GET", "/pets/"),
            ("DELETE", "/pets/?ids=1"),
        ]
        for method, target in requests:
            body = {"age": 8} if method == "PATCH" else None
            response = client.request(method, target, json=body, headers=headers)
            assert response.status_code == 400
            assert f"`{header.title()}`" in response.json()["detail"]
        assert client.get(path).json() == pet

    def test_a_malformed_header_counts_before_a_failed_condition(self, client: Client) -> None:
        pet = create(client)["id"]
        headers = {"if-match": '"x"', "if-none-match": "nonsense"}
        assert client.get(f"/pets/{pet}", headers=headers).status_code == 400

    def test_a_long_list_of_tags_is_read_quickly(self, client: Client) -> None:
        pet = create(client)["id"]
        start = time.process_time()
        for tags in ('"x", ' * 10_000, '"' * 50_000, ", " * 25_000 + "x", 'W/"x"\t' * 8_000):
            client.get(f"/pets/{pet}", headers={"if-none-match": tags})
        assert time.process_time() - start < 1

    @pytest.mark.parametrize("header", ["if-modified-since", "if-unmodified-since"])
    def test_conditions_with_dates_are_ignored(self, client: Client, header: str) -> None:
        """RFC 9110, 13.1.3 and 13.1.4, require that, because no pet has a date of modification."""
        pet = create(client, age=7)["id"]
        for method, target in (
            ("GET", "/pets/"),
            ("GET", f"/pets/{pet}"),
            ("DELETE", f"/pets/?ids={pet}"),
        ):
            headers = {header: "Tue, 24 Nov 2020 13:00:00 GMT"}
            assert client.request(method, target, headers=headers).status_code == 200

    def test_repeated_headers_form_one_list(self, client: Client) -> None:
        pet = create(client)["id"]
        headers = [("if-match", '"x"'), ("if-match", tag_of(client, pet))]
        assert client.patch(f"/pets/{pet}", json={"age": 8}, headers=headers).status_code == 200

    def test_a_missing_pet_is_not_found_under_any_condition(self, client: Client) -> None:
        pet = create(client)["id"]
        delete(client, [pet])
        for name in ("if-match", "if-none-match"):
            assert client.patch(f"/pets/{pet}", json={}, headers={name: "*"}).status_code == 404

    def test_exactly_one_of_50_changes_from_the_same_tag_succeeds(self, client: Client) -> None:
        pet = create(client, age=100)["id"]
        condition = {"if-match": tag_of(client, pet)}
        with ThreadPoolExecutor(50) as pool:
            responses = list(
                pool.map(
                    lambda age: client.patch(f"/pets/{pet}", json={"age": age}, headers=condition),
                    range(50),
                )
            )
        (done,) = [response for response in responses if response.status_code == 200]
        assert [response.status_code for response in responses].count(412) == 49
        assert client.get(f"/pets/{pet}").content == done.content


class Polling:
    """Listings and statistics, which are not sent again if they are as before."""

    @pytest.fixture(params=["/pets/?limit=1", "/pets/?limit=0", "/pets/stats"])
    def path(self, request: pytest.FixtureRequest) -> str:
        path: str = request.param
        return path

    @pytest.mark.parametrize("known", ["{}", "W/{}", '"x", {}', "*"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_of_what_the_client_has_gets_304(
        self, client: Client, path: str, known: str, method: str
    ) -> None:
        create(client)
        tag = client.get(path).headers["etag"]
        response = client.request(method, path, headers={"if-none-match": known.format(tag)})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag
        assert response.headers["cache-control"] == "no-cache"

    def test_after_a_change_beyond_the_page_gets_the_new_count(
        self, client: Client, path: str
    ) -> None:
        create(client)
        tag = client.get(path).headers["etag"]
        create(client)
        response = client.get(path, headers={"if-none-match": tag})
        assert (response.status_code, response.json()["count"]) == (200, 2)
        assert response.headers["etag"] != tag

    def test_with_another_limit_has_another_tag(self, client: Client) -> None:
        create(client)
        tag = client.get("/pets/?limit=1").headers["etag"]
        response = client.get("/pets/?limit=0", headers={"if-none-match": tag})
        assert response.json() == {"count": 1, "items": []}

    @pytest.mark.parametrize(("wanted", "status"), [("{}", 200), ("W/{}", 200), ('"x"', 412)])
    def test_heeds_if_match(self, client: Client, path: str, wanted: str, status: int) -> None:
        tag = client.get(path).headers["etag"]
        response = client.get(path, headers={"if-match": wanted.format(tag)})
        assert response.status_code == status

    def test_with_a_malformed_tag_is_rejected(self, client: Client, path: str) -> None:
        assert client.get(path, headers={"if-none-match": "x"}).status_code == 400


class ConditionsOnAllPets:
    """The list as a whole always exists and has no tag, so `*` matches and a tag never does.

    The meaning of the conditions is defined in RFC 9110, 13.1.
    """

    @staticmethod
    def change(client: Client, pet: int, headers: dict[str, str]) -> list[int]:
        """Send each request that changes pets, and return the statuses."""
        body = {"name": "boy", "age": 7, "type": "dog"}
        responses = [
            client.post("/pets/", json=body, headers=headers),
            client.delete(f"/pets/?ids={pet}", headers=headers),
            client.request("DELETE", "/pets/", json={"ids": [pet]}, headers=headers),
        ]
        return [response.status_code for response in responses]

    @pytest.mark.parametrize(
        "condition", ["if-match: {}", 'if-match: "x"', "if-match: W/{}", "if-none-match: *"]
    )
    def test_that_fail_prevent_every_change(self, client: Client, condition: str) -> None:
        pet = create(client)
        name, _, value = condition.format(tag_of(client, pet["id"])).partition(": ")
        assert self.change(client, pet["id"], {name: value}) == [412, 412, 412]
        assert listed(client) == {"count": 1, "items": [pet]}

    @pytest.mark.parametrize(
        "condition", ["if-match: *", "if-none-match: {}", 'if-none-match: W/"x"']
    )
    def test_that_hold_do_not_alter_a_request(self, client: Client, condition: str) -> None:
        pet = create(client)["id"]
        name, _, value = condition.format(tag_of(client, pet)).partition(": ")
        assert self.change(client, pet, {name: value}) == [201, 200, 200]

    @pytest.mark.parametrize(
        ("condition", "status"),
        [
            ("if-match: *", 200),
            ('if-match: "x"', 412),
            ("if-none-match: *", 304),
            ('if-none-match: "x"', 200),
        ],
    )
    def test_decide_the_status_of_a_listing(
        self, client: Client, condition: str, status: int
    ) -> None:
        name, _, value = condition.partition(": ")
        for method in ("GET", "HEAD"):
            assert client.request(method, "/pets/", headers={name: value}).status_code == status

    def test_are_evaluated_after_the_checks_of_a_request(self, client: Client) -> None:
        """RFC 9110, 13.2.1, requires this order."""
        stale = {"if-match": '"x"'}
        assert client.get("/pets/?limit=x", headers=stale).status_code == 400
        assert client.post("/pets/", json={}, headers=stale).status_code == 400
        assert client.put("/pets/", headers=stale).status_code == 405
        assert client.options("/pets/", headers=stale).status_code == 204


def walk(client: Client, query: str) -> list[dict[str, Any]]:
    """Follow the links from page to page."""
    url, items = f"/pets/?{query}", []
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.text
        assert list(response.json()) == ["count", "items"]
        items += response.json()["items"]
        url = (
            str(urljoin(url, response.links.get("next", {}).get("url", "")))
            if "next" in response.links
            else ""
        )
    return items


class Pages:
    def test_lead_to_every_pet(self, client: Client) -> None:
        pets = [create(client) for _ in range(7)]
        for limit in (1, 3, 7, 8):
            assert walk(client, f"limit={limit}") == pets

    @pytest.mark.parametrize("sort", ["id", "name", "age", "created_at"])
    @pytest.mark.parametrize("sign", ["", "-"])
    def test_lead_to_every_match_of_a_query_in_its_order(
        self, client: Client, sort: str, sign: str
    ) -> None:
        pets = [create(client, type="dog") for _ in range(7)] + [create(client, type="cat")]
        dogs = sorted(pets[:7], key=lambda pet: (pet[sort], pet["id"]), reverse=bool(sign))
        assert walk(client, f"limit=2&type=dog&sort={sign}{sort}") == dogs

    def test_have_links_without_host_and_with_the_whole_query(self, client: Client) -> None:
        for _ in range(2):
            create(client, name='a %&+;=,<>"é', type="dog", age=7)
        query = (
            "limit=1&type=dog&age_min=7&age_max=7"
            "&name=%20%25%26%2B%3B%3D%2C%3C%3E%22%C3%A9&name_is=a%20%25%26%2B%3B%3D%2C%3C%3E%22%C3%A9"
            "&created_from=2020-01-01T00:00:00&created_to=9999-01-01T00:00:00&sort=-name"
        )
        response = client.get(f"/pets/?{query}")
        assert response.links["first"]["url"] == f"/pets/?{query}"
        assert response.links["next"]["url"].startswith(f"/pets/?{query}&cursor=")
        assert response.json()["count"] == len(walk(client, query)) == 2

    def test_have_no_next_link_on_the_last_page(self, client: Client) -> None:
        for _ in range(2):
            create(client)
        assert set(client.get("/pets/?limit=2").links) == {"first"}
        assert set(client.get("/pets/?limit=0").links) == {"first"}

    def test_may_each_have_their_own_limit(self, client: Client) -> None:
        pets = [create(client) for _ in range(4)]
        next_ = client.get("/pets/?limit=1").links["next"]["url"].replace("limit=1", "limit=2")
        assert client.get(next_).json() == {"count": 4, "items": pets[1:3]}

    @pytest.mark.parametrize(
        "other",
        [
            *("type=cat", "age_min=1", "age_max=99", "name=o", "sort=-id", "sort=age"),
            *("name_is=boy", "created_from=2020-01-01T00:00:00", "created_to=9999-01-01T00:00:00"),
        ],
    )
    def test_of_one_query_reject_the_cursor_of_another(self, client: Client, other: str) -> None:
        for _ in range(2):
            create(client, name="boy", age=7, type="cat")
        cursor = client.get("/pets/?limit=1").links["next"]["url"].partition("cursor=")[2]
        assert client.get(f"/pets/?cursor={cursor}").status_code == 200
        response = client.get(f"/pets/?cursor={cursor}&{other}")
        assert (response.status_code, "`cursor`" in response.json()["detail"]) == (400, True)


class Finding:
    @pytest.fixture
    def pets(self, client: Client) -> dict[str, dict[str, Any]]:
        members = [
            ("Bella", 1, "dog"),
            ("Isabel", 7, "cat"),
            ("100%", 7, "dog"),
            ("a_b", 9, "cat"),
            ("Strauß", 0, "cat"),
        ]
        return {name: create(client, name=name, age=age, type=kind) for name, age, kind in members}

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("type=dog", ["Bella", "100%"]),
            ("type=cat", ["Isabel", "a_b", "Strauß"]),
            ("age_min=7", ["Isabel", "100%", "a_b"]),
            ("age_max=0", ["Strauß"]),
            ("age_min=1&age_max=7", ["Bella", "Isabel", "100%"]),
            ("age_min=9&age_max=1", []),
            ("name=BEL", ["Bella", "Isabel"]),
            ("name=%25", ["100%"]),
            ("name=_", ["a_b"]),
            ("name=STRAUß", ["Strauß"]),
            ("name=*", []),
            ("type=cat&age_min=1&name=b", ["Isabel", "a_b"]),
            ("sort=name", ["100%", "Bella", "Isabel", "Strauß", "a_b"]),
            ("sort=-age", ["a_b", "100%", "Isabel", "Bella", "Strauß"]),
            ("sort=-id&type=dog", ["100%", "Bella"]),
            ("name_is=Bella", ["Bella"]),
            ("name_is=+Bella%E3%80%80", ["Bella"]),
            ("name_is=bella", []),
            ("name_is=Bell", []),
            ("name_is=100%25&type=cat", []),
            ("created_from=0001-01-02T00:00:00&created_to=2020-01-01T00:00:00Z", []),
            ("created_from=2020-01-01T00:00:00Z&type=dog", ["Bella", "100%"]),
            ("created_to=9999-12-31T23:59:59&name_is=a_b&age_min=9", ["a_b"]),
        ],
    )
    def test_returns_and_counts_the_matching_pets(
        self, client: Client, pets: dict[str, dict[str, Any]], query: str, names: list[str]
    ) -> None:
        matches = [pets[name] for name in names]
        assert listed(client, f"?{query}") == {"count": len(matches), "items": matches}
        assert listed(client, f"?{query}&limit=1") == {"count": len(matches), "items": matches[:1]}
        assert listed(client, f"?{query}&limit=0") == {"count": len(matches), "items": []}


class FindingByIds:
    @pytest.fixture
    def three(self, client: Client) -> Pets:
        return [create(client, name=name, age=age) for name, age in (("a", 9), ("b", 7), ("A", 8))]

    @staticmethod
    def named(pets: Pets, *more: object) -> str:
        return "&".join(f"ids={id_}" for id_ in [*(pet["id"] for pet in pets), *more])

    def test_returns_those_that_there_are(self, client: Client, three: Pets) -> None:
        delete(client, [three[1]["id"]])
        for wanted in (three, three[::-1], [three[0], *three]):
            answer = listed(client, f"?{self.named(wanted)}")
            assert answer == {"count": 2, "items": [three[0], three[2]]}

    @pytest.mark.parametrize(
        "id_", [0, -1, MAX_ID, MAX_ID + 1, -MAX_ID - 2, 2**64, -(2**64), 10**400]
    )
    def test_does_not_find_an_integer_that_is_no_id(
        self, client: Client, three: Pets, id_: int
    ) -> None:
        assert listed(client, f"?ids={id_}") == {"count": 0, "items": []}
        assert listed(client, f"?{self.named(three[:1], id_)}") == {"count": 1, "items": three[:1]}

    def test_is_combined_with_filters_and_an_order(self, client: Client, three: Pets) -> None:
        query = f"?{self.named(three[:2])}&sort=age"
        assert listed(client, query)["items"] == [three[1], three[0]]
        assert listed(client, f"{query}&age_min=8") == {"count": 1, "items": [three[0]]}
        assert listed(client, f"{query}&name=A") == {"count": 1, "items": [three[0]]}

    def test_has_pages(self, client: Client, three: Pets) -> None:
        assert walk(client, f"limit=1&sort=-age&{self.named(three[:2], 0)}") == three[:2]

    def test_of_one_query_rejects_the_cursor_of_another(self, client: Client, three: Pets) -> None:
        first = client.get(f"/pets/?limit=1&{self.named(three)}")
        cursor = first.links["next"]["url"].partition("cursor=")[2]
        assert client.get(f"/pets/?cursor={cursor}&{self.named(three[::-1])}").status_code == 200
        for other in (self.named(three[:2]), "limit=1", self.named(three, 0, MAX_ID)):
            assert client.get(f"/pets/?cursor={cursor}&{other}").status_code == 400

    def test_of_no_pet_has_a_link_to_no_pet(self, client: Client) -> None:
        first = client.get("/pets/?ids=-1").links["first"]["url"]
        assert client.get(first).json() == {"count": 0, "items": []}

    def test_takes_1000_of_the_longest_ids(self, client: Client) -> None:
        pet = create(client)
        ids = [*range(MAX_ID - 998, MAX_ID + 1), pet["id"]]
        response = client.get("/pets/?" + "&".join(f"ids={id_}" for id_ in ids))
        assert response.json() == {"count": 1, "items": [pet]}

    def test_of_many_ids_links_to_the_next_page_alone(self, client: Client) -> None:
        pets = [create(client) for _ in range(3)]
        ids = "".join(f"&ids={id_}" for id_ in range(10**17, 10**17 + 100))
        response = client.get(f"/pets/?limit=2&{self.named(pets)}{ids}")
        assert list(response.links) == ["next"]
        response = client.get(response.links["next"]["url"])
        assert response.json() == {"count": 3, "items": pets[2:]}
        assert "link" not in response.headers


class Streaming:
    """`GET /pets/` as NDJSON or CSV."""

    @staticmethod
    def streamed(client: Client, query: str = "", media_type: str = NDJSON) -> httpx.Response:
        response = client.get(f"/pets/{query}", headers={"accept": media_type})
        assert response.status_code == 200, response.text
        return response

    def test_gives_all_pets_as_lines_of_json(self, client: Client) -> None:
        pets = [create(client) for _ in range(21)]
        response = self.streamed(client)
        assert response.headers["content-type"] == "application/x-ndjson"
        assert [msgspec.json.decode(line) for line in response.content.splitlines()] == pets
        assert response.content.endswith(b"\n")

    def test_gives_all_pets_as_csv_below_a_header(self, client: Client) -> None:
        pets = [create(client, name='a, "b"'), create(client, name="=1;2")]
        response = self.streamed(client, media_type="text/csv")
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        header, *records = csv.reader(io.StringIO(response.text))
        assert header == list(pets[0])
        assert records == [[str(value) for value in pet.values()] for pet in pets]

    def test_has_no_limit_unless_one_is_given(self, client: Client) -> None:
        for _ in range(3):
            sent = [members_of(pet) for pet in NewPetFactory.batch(700)]
            assert client.post("/pets/", json=sent).status_code == 201
        first = self.streamed(client).content.splitlines()
        assert len(first) == 2100
        for limit in (0, 1, 999, 1000, 1001, 2100, 2101, "9" * 5000):
            lines = self.streamed(client, f"?limit={limit}").content.splitlines()
            assert lines == first[: int(str(limit)[:9])]

    @pytest.mark.parametrize(
        "query",
        ["type=dog&sort=name", "age_min=3&age_max=60&sort=-age", "name=A&sort=-created_at"],
    )
    def test_has_the_filters_and_the_order_of_a_listing(self, client: Client, query: str) -> None:
        sent = [members_of(pet) for pet in NewPetFactory.batch(30)]
        assert client.post("/pets/", json=sent).status_code == 201
        lines = self.streamed(client, f"?{query}").content.splitlines()
        expected = listed(client, f"?limit=1000&{query}")["items"]
        assert [msgspec.json.decode(line) for line in lines] == expected

    @pytest.mark.parametrize(
        ("media_type", "content"),
        [(NDJSON, b""), ("text/csv", b"id,name,age,type,created_at\n")],
    )
    def test_of_an_empty_store_has_no_pets(
        self, client: Client, media_type: str, content: bytes
    ) -> None:
        assert self.streamed(client, media_type=media_type).content == content

    def test_takes_no_cursor(self, client: Client) -> None:
        for _ in range(2):
            create(client)
        next_ = client.get("/pets/?limit=1").links["next"]["url"]
        response = client.get(next_, headers={"accept": "text/csv"})
        assert (response.status_code, "`cursor`" in response.json()["detail"]) == (400, True)

    @pytest.mark.parametrize(
        ("condition", "status"),
        [
            ("if-match: *", 200),
            ('if-match: "x"', 412),
            ("if-none-match: *", 304),
            ('if-none-match: "x"', 200),
        ],
    )
    def test_heeds_conditions_as_a_listing_does(
        self, client: Client, condition: str, status: int
    ) -> None:
        name, _, value = condition.partition(": ")
        for method in ("GET", "HEAD"):
            headers = {"accept": "text/csv", name: value}
            assert client.request(method, "/pets/", headers=headers).status_code == status

    def test_a_listing_stays_json_for_clients_that_take_anything(self, client: Client) -> None:
        create(client)
        expected = client.get("/pets/", headers={"accept": "application/json"})
        for accept in ("*/*", "", "application/*", "text/html, */*;q=0.1"):
            response = client.get("/pets/", headers={"accept": accept})
            assert response.content == expected.content
            assert response.headers["vary"] == "Accept"

    @pytest.mark.parametrize("accept", ["text/html", "text/csv;q=0", "image/*", "nonsense"])
    def test_of_another_media_type_is_406(self, client: Client, accept: str) -> None:
        response = client.get("/pets/", headers={"accept": accept})
        assert (response.status_code, response.headers["vary"]) == (406, "Accept")
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["title"] == "Not Acceptable"
        assert "application/x-ndjson" in response.json()["detail"]


class CountingPets:
    """The numbers at `/pets/stats`."""

    @staticmethod
    def counted(client: Client, query: str = "") -> dict[str, Any]:
        response = client.get(f"/pets/stats{query}")
        assert response.status_code == 200, response.text
        numbers: dict[str, Any] = response.json()
        return numbers

    def test_of_an_empty_store_has_no_mean_and_no_median(self, client: Client) -> None:
        numbers = self.counted(client)
        assert list(numbers.items()) == [
            ("count", 0),
            ("by_type", {"dog": 0, "cat": 0}),
            ("by_age", []),
            ("mean_age", None),
            ("median_age", None),
        ]

    def test_is_by_type_and_by_age(self, client: Client) -> None:
        for kind, age in (("dog", 9), ("cat", 1), ("dog", 1), ("dog", 4)):
            create(client, type=kind, age=age)
        assert self.counted(client) == {
            "count": 4,
            "by_type": {"dog": 3, "cat": 1},
            "by_age": [
                {"age": 1, "count": 2},
                {"age": 4, "count": 1},
                {"age": 9, "count": 1},
            ],
            "mean_age": 3.75,
            "median_age": 2.5,
        }

    @pytest.mark.parametrize(
        ("query", "count", "median"),
        [
            ("?type=dog", 2, 5),
            ("?age_min=2", 1, 9),
            ("?age_max=1&type=cat", 1, 1),
            ("?age_min=2&age_max=1", 0, None),
        ],
    )
    def test_is_of_the_pets_that_match(
        self, client: Client, query: str, count: int, median: float | None
    ) -> None:
        for kind, age in (("dog", 9), ("cat", 1), ("dog", 1)):
            create(client, type=kind, age=age)
        numbers = self.counted(client, query)
        assert (numbers["count"], numbers["median_age"]) == (count, median)
        assert numbers["count"] == listed(client, query)["count"]

    def test_follows_every_change(self, client: Client) -> None:
        pet = create(client, type="dog", age=7)["id"]
        client.patch(f"/pets/{pet}", json={"type": "cat", "age": 8})
        assert self.counted(client)["by_type"] == {"dog": 0, "cat": 1}
        assert self.counted(client)["by_age"] == [{"age": 8, "count": 1}]
        delete(client, [pet])
        assert self.counted(client)["count"] == 0


class DeletingByQuery:
    def test_answers_as_deletion_by_body_does(self, client: Client) -> None:
        first, second, third = (create(client) for _ in range(3))
        ids = [third["id"], first["id"], third["id"], 10**30, -1]
        response = client.delete("/pets/?" + "&".join(f"ids={id_}" for id_ in ids))
        assert response.status_code == 200
        errors = [{"id": id_, "error": NOT_FOUND} for id_ in (10**30, -1)]
        assert response.json() == {"deleted": 2, "errors": errors}
        assert listed(client) == {"count": 1, "items": [second]}


class SendingAgain:
    BOY = {"name": "boy", "age": 7, "type": "dog"}

    @pytest.fixture
    def key(self) -> str:
        return token_hex(16)

    def test_with_the_same_key_creates_one_pet_and_repeats_the_answer(
        self, client: Client, key: str
    ) -> None:
        first, second, third = (
            client.post(
                "/pets/",
                content=body,
                headers={"content-type": "application/json", "idempotency-key": header},
            )
            for body, header in (
                (b'{"name": "boy", "age": 7, "type": "dog"}', key),
                (b'{"name": "boy", "age": 7, "type": "dog"}', key),
                (b'{"type":"dog","age":7,"name":" boy "}', f'"{key}"'),
            )
        )
        assert first.status_code == 201
        for again in (second, third):
            assert (again.status_code, again.content) == (201, first.content)
            assert again.headers["location"] == first.headers["location"]
        assert listed(client) == {"count": 1, "items": [first.json()]}

    def test_repeats_the_answer_although_the_pet_was_changed(
        self, client: Client, key: str
    ) -> None:
        first = client.post("/pets/", json=self.BOY, headers={"idempotency-key": key})
        client.patch(first.headers["location"], json={"age": 8})
        assert (
            client.post("/pets/", json=self.BOY, headers={"idempotency-key": key}).content
            == first.content
        )
        client.delete(first.headers["location"])
        assert (
            client.post("/pets/", json=self.BOY, headers={"idempotency-key": key}).content
            == first.content
        )
        assert listed(client)["count"] == 0

    @pytest.mark.parametrize("member", CHANGEABLE)
    def test_rejects_another_pet_under_the_same_key(
        self, client: Client, key: str, member: str
    ) -> None:
        new = NewPetFactory.build()
        sent, unlike = members_of(new), members_of(NewPetFactory.unlike(new))
        first = client.post("/pets/", json=sent, headers={"idempotency-key": key})
        other = sent | {member: unlike[member]}
        response = client.post("/pets/", json=other, headers={"idempotency-key": key})
        assert (response.status_code, response.json()["title"]) == (422, "Unprocessable Content")
        assert response.json()["type"] == "/problems/key-reused"
        assert listed(client) == {"count": 1, "items": [first.json()]}

    def test_with_a_bad_body_leaves_the_key_unused(self, client: Client, key: str) -> None:
        assert client.post("/pets/", json={}, headers={"idempotency-key": key}).status_code == 400
        assert (
            client.post("/pets/", json=self.BOY, headers={"idempotency-key": key}).status_code
            == 201
        )

    @pytest.mark.parametrize(
        "form",
        ["{}", '"{}"', '"{} with blanks, commas; \\"quotes\\" and \\\\"', "{}:/?#[]@!$&'()*+;="],
    )
    def test_accepts_keys_in_many_forms(self, client: Client, key: str, form: str) -> None:
        headers = {"idempotency-key": form.format(key)}
        answers = [client.post("/pets/", json=self.BOY, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].content == answers[1].content

    def test_accepts_keys_of_255_characters(self, client: Client, key: str) -> None:
        for form in ("{}", '"{}"'):
            headers = {"idempotency-key": form.format(key.ljust(255, "k"))}
            assert client.post("/pets/", json=self.BOY, headers=headers).status_code == 201
        assert listed(client)["count"] == 1

    def test_concurrently_creates_one_pet(self, client: Client, key: str) -> None:
        with ThreadPoolExecutor(20) as pool:
            answers = list(
                pool.map(
                    lambda _: client.post(
                        "/pets/", json=self.BOY, headers={"idempotency-key": key}
                    ),
                    range(20),
                )
            )
        assert {(answer.status_code, answer.content) for answer in answers} == {
            (201, answers[0].content)
        }
        assert listed(client)["count"] == 1

    def test_says_whether_the_answer_is_repeated(self, client: Client, key: str) -> None:
        answers = [
            client.post("/pets/", json=self.BOY, headers={"idempotency-key": key}) for _ in range(2)
        ]
        repeated = [answer.headers.get("idempotent-replayed") for answer in answers]
        assert repeated == [None, "true"]
        assert len({answer.headers["etag"] for answer in answers}) == 1

    def test_with_the_same_key_creates_an_array_of_pets_once(
        self, client: Client, key: str
    ) -> None:
        sent = [members_of(pet) for pet in NewPetFactory.batch(3)]
        first, again = [
            client.post("/pets/", json=sent, headers={"idempotency-key": key}) for _ in range(2)
        ]
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert listed(client) == {"count": 3, "items": first.json()}

    @pytest.mark.parametrize("number", [1, 2, 4])
    def test_rejects_another_array_under_the_same_key(
        self, client: Client, key: str, number: int
    ) -> None:
        sent = [members_of(pet) for pet in NewPetFactory.batch(4)]
        first = client.post("/pets/", json=sent[:3], headers={"idempotency-key": key})
        other = client.post("/pets/", json=sent[:number], headers={"idempotency-key": key})
        assert (first.status_code, other.status_code) == (201, 422)
        assert listed(client)["count"] == 3

    def test_without_a_key_creates_another_pet(self, client: Client) -> None:
        assert create(client)["id"] != create(client)["id"]


class Heads:
    @pytest.mark.parametrize("media_type", ["application/x-ndjson", "text/csv"])
    def test_of_a_stream_are_its_headers(self, client: Client, media_type: str) -> None:
        create(client)
        headers = {"Accept": media_type, "Request-Id": "7"}
        got, head = (
            client.request(method, "/pets/", headers=headers) for method in ("GET", "HEAD")
        )
        assert (head.status_code, head.content) == (200, b"")
        assert dict(head.headers) == dict(got.headers)

    @pytest.mark.parametrize(
        "path",
        [
            "/pets/",
            "/pets/stats",
            "/pets/{}",
            "/pets/0",
            "/health/live",
            "/schema/openapi.json",
            "/docs",
            "/x",
        ],
    )
    def test_are_the_headers_of_get_without_its_body(self, client: Client, path: str) -> None:
        path = path.format(create(client)["id"])
        same_id = {"Request-Id": "7"}
        got, head = client.get(path, headers=same_id), client.head(path, headers=same_id)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert dict(head.headers) == dict(got.headers)


class Identifying:
    """The header `Request-Id`."""

    @pytest.mark.parametrize("id_", ["7", "a" * 128, "01J9:Z_x.y/+=-"])
    def test_keeps_the_id_that_the_client_sent(self, client: Client, id_: str) -> None:
        response = client.get("/pets/", headers={"Request-Id": id_})
        assert response.headers.get_list("request-id") == [id_]

    @pytest.mark.parametrize("id_", ["", "a" * 129, "a b", 'a"', "a,b", "a;b"])
    def test_replaces_a_malformed_id(self, client: Client, id_: str) -> None:
        response = client.get("/pets/", headers=[("Request-Id", id_)])
        assert re.fullmatch("[0-9a-f]{32}", response.headers["request-id"])

    def test_replaces_two_ids(self, client: Client) -> None:
        response = client.get("/pets/", headers=[("Request-Id", "1"), ("Request-Id", "2")])
        assert re.fullmatch("[0-9a-f]{32}", response.headers["request-id"])

    def test_gives_each_request_another_id(self, client: Client) -> None:
        ids = {client.get("/pets/").headers["request-id"] for _ in range(10)}
        assert len(ids) == 10

    @pytest.mark.parametrize("path", ["/x", "/pets/0", "/pets/?limit=x"])
    def test_puts_the_id_into_the_problem(self, client: Client, path: str) -> None:
        response = client.get(path)
        assert response.json()["request_id"] == response.headers["request-id"]


class EveryPath:
    @pytest.mark.parametrize(("method", "status"), [("POST", 201), ("GET", 200), ("DELETE", 200)])
    def test_works_with_and_without_its_last_slash(
        self, client: Client, method: str, status: int
    ) -> None:
        body = {"POST": b'{"name": "boy", "age": 7, "type": "dog"}', "DELETE": b'{"ids": []}'}.get(
            method, b""
        )
        for path in ("/pets", "/pets/"):
            response = client.request(
                method, path, content=body, headers={"content-type": "application/json"}
            )
            assert response.status_code == status
            assert not response.history

    @pytest.mark.parametrize("path", ["/pets%2f{}", "/pets%2F{}", "/pets/%2f{}", "/pets/{}%2f"])
    def test_does_not_treat_an_encoded_slash_as_a_slash(self, client: Client, path: str) -> None:
        path = path.format(create(client)["id"])
        for method in ("GET", "HEAD", "DELETE"):
            assert client.request(method, path).status_code == 404
        assert client.get(path).json()["instance"] == path
        assert listed(client)["count"] == 1

    def test_lists_its_methods_in_a_405(self, client: Client) -> None:
        assert set(client.put("/pets/").headers["allow"].split(", ")) == {
            "DELETE",
            "GET",
            "HEAD",
            "OPTIONS",
            "POST",
        }

    def test_of_all_pets_lists_its_methods_for_options(self, client: Client) -> None:
        response = client.options("/pets/")
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"
        assert response.headers["accept-post"] == NEW_PETS

    @pytest.mark.parametrize("path", ["/pets/", "/pets/1", "/pets/stats", "/pets/?limit=x", "/x"])
    def test_lets_no_cache_answer_without_asking(self, client: Client, path: str) -> None:
        """A cache may take a 404 for true for hours otherwise (RFC 9110, 15.1)."""
        assert client.get(path).headers["cache-control"] == "no-cache"


class Bodies:
    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "/pets/", b'{"name": "boy", "age": 7, "type": "dog"}', 201),
            ("PATCH", "/pets/{}", b'{"age": 8}', 200),
            ("DELETE", "/pets/", b'{"ids": []}', 200),
        ],
    )
    def test_may_begin_with_a_byte_order_mark(
        self, client: Client, method: str, path: str, body: bytes, status: int
    ) -> None:
        """Some editors write one (RFC 8259, 8.1)."""
        path = path.format(create(client)["id"])
        headers = {"content-type": "application/json"}
        response = client.request(method, path, content=BOM_UTF8 + body, headers=headers)
        assert response.status_code == status

    @pytest.mark.parametrize(
        ("method", "path", "name", "value"),
        [
            ("POST", "/pets/", "accept-post", NEW_PETS),
            ("PATCH", "/pets/1", "accept-patch", "application/json, application/merge-patch+json"),
            ("PUT", "/pets/1", "accept", "application/json"),
            ("DELETE", "/pets/", "accept", "application/json"),
        ],
    )
    def test_of_another_media_type_are_told_the_right_ones(
        self, client: Client, method: str, path: str, name: str, value: str
    ) -> None:
        """See RFC 5789, 2.2; Linked Data Platform 1.0, 7.1; RFC 9110, 12.5.1."""
        headers = {"content-type": "text/plain"}
        response = client.request(method, path, content=b"{}", headers=headers)
        assert response.status_code == 415
        sent = {
            header: response.headers[header] for header in response.headers if "accept" in header
        }
        assert sent == {name: value}


class BadRequests:
    @pytest.fixture(
        params=[*bad_requests(), *bad_queries_and_keys(), *bad_requests_to_one_pet()],
        ids=lambda bad: bad.name,
    )
    def bad(self, request: pytest.FixtureRequest) -> BadRequest:
        bad: BadRequest = request.param
        return bad

    def test_get_a_problem_document_and_change_nothing(
        self, client: Client, bad: BadRequest
    ) -> None:
        before = [create(client) for _ in range(2)]

        headers = httpx.Headers(bad.headers, encoding="latin-1")
        response = client.request(bad.method, bad.path, content=bad.content, headers=headers)

        assert response.status_code == bad.status
        assert response.headers["content-type"] == "application/problem+json"
        assert ("allow" in response.headers) == (bad.status == 405)
        problem = response.json()
        assert list(problem)[:5] == ["type", "title", "status", "detail", "instance"]
        assert problem["type"] == bad.type
        assert problem["title"] == TITLES[bad.status]
        assert problem["status"] == bad.status
        assert problem["detail"] not in {"", problem["title"]}
        assert bad.detail in problem["detail"]
        assert problem["instance"] == bad.path.partition("?")[0]
        faults = problem.get("errors", [])
        assert [fault["pointer"] for fault in faults if "pointer" in fault] == (bad.pointers or [])
        parameters = bad.parameters or []
        assert [fault["parameter"] for fault in faults if "parameter" in fault] == parameters
        assert all(f"`{name}`" in problem["detail"] for name in parameters[:1])
        assert all(fault["detail"] for fault in faults)
        assert listed(client) == {"count": 2, "items": before}


class HealthChecks:
    def test_report_that_the_process_is_alive(self, client: Client) -> None:
        response = client.get("/health/live")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})

    def test_report_that_the_service_is_ready(self, client: Client) -> None:
        response = client.get("/health/ready")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})

    def test_report_that_a_stopping_service_is_not_ready(self, client: Client) -> None:
        client.app.state.stopping = True
        try:
            response = client.get("/health/ready")
            assert client.get("/health/live").status_code == 200
        finally:
            client.app.state.stopping = False
        assert (response.status_code, response.json()["status"]) == (503, 503)
        assert response.headers["retry-after"] == "5"


class TheDocument:
    @pytest.fixture
    def document(self, client: Client) -> dict[str, Any]:
        document: dict[str, Any] = client.get("/schema/openapi.json").json()
        return document

    def test_is_in_openapi_3_1(self, document: dict[str, Any]) -> None:
        assert document["openapi"].startswith("3.1")

    def test_has_exactly_the_documented_paths(self, document: dict[str, Any]) -> None:
        assert set(document["paths"]) == {
            "/pets/",
            "/pets/stats",
            "/pets/{pet_id}",
            "/health/live",
            "/health/ready",
        }
        assert set(document["paths"]["/pets/"]) == {"get", "post", "delete"}
        assert set(document["paths"]["/pets/{pet_id}"]) == {"get", "put", "patch", "delete"}

    def test_describes_a_new_pet(self, document: dict[str, Any]) -> None:
        schema = document["components"]["schemas"]["PetCreate"]
        assert schema["additionalProperties"] is False
        assert schema["required"] == ["name", "age", "type"]
        assert (schema["properties"]["age"]["minimum"], schema["properties"]["age"]["maximum"]) == (
            0,
            100,
        )
        assert "pattern" in schema["properties"]["name"]
        assert document["paths"]["/pets/"]["post"]["requestBody"]["required"] is True

    def test_describes_a_pet(self, document: dict[str, Any]) -> None:
        schema = document["components"]["schemas"]["Pet"]
        assert (
            list(schema["properties"])
            == schema["required"]
            == ["id", "name", "age", "type", "created_at"]
        )
        assert schema["properties"]["id"]["maximum"] == MAX_ID
        assert "format" not in schema["properties"]["created_at"]
        type_ = document["components"]["schemas"]["PetType"]
        assert (type_["type"], type_["enum"]) == ("string", ["cat", "dog"])

    @pytest.mark.parametrize(
        "name", ["PetPage", "PetStats", "AgeCount", "PetsDeleted", "DeleteError", "Health"]
    )
    def test_requires_every_member_of_an_answer(self, document: dict[str, Any], name: str) -> None:
        schema = document["components"]["schemas"][name]
        assert schema["required"] == list(schema["properties"])

    def test_says_where_a_fault_is(self, document: dict[str, Any]) -> None:
        """In a body, which has a pointer, or in the query, which has a parameter."""
        fault = document["components"]["schemas"]["Fault"]
        assert list(fault["properties"]) == ["pointer", "parameter", "line", "detail"]
        assert fault["required"] == ["detail"]

    def test_limits_the_length_of_lists(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert schemas["PetPage"]["properties"]["items"]["maxItems"] == 1000
        assert schemas["PetsDelete"]["properties"]["ids"]["maxItems"] == 10_000

    def test_gives_an_integer_the_format_that_holds_it(self, document: dict[str, Any]) -> None:
        members = document["components"]["schemas"]["Pet"]["properties"]
        assert (members["id"]["format"], members["age"]["format"]) == ("int64", "int32")

    def test_declares_every_error_as_a_problem_document(self, document: dict[str, Any]) -> None:
        for item in document["paths"].values():
            for operation in item.values():
                for status, response in operation["responses"].items():
                    expected = "application/json" if status < "400" else "application/problem+json"
                    content = [*response.get("content", {})]
                    if (operation["operationId"], status) == ("listPets", "200"):
                        assert content.pop() == "text/csv"
                        assert content.pop() == NDJSON
                    assert content == ([] if status in {"204", "304"} else [expected])

    def test_declares_the_headers(self, document: dict[str, Any]) -> None:
        responses = document["paths"]["/pets/"]["post"]["responses"]
        assert responses["201"]["headers"]["Location"]["schema"]["type"] == "string"
        assert responses["503"]["headers"]["Retry-After"]["schema"]["type"] == "integer"


class APIOverAnyStore(
    CreatingAPet,
    CreatingSeveralPets,
    CreatingPetsFromLines,
    ListingPets,
    DeletingPets,
    OnePet,
    ReplacingAPet,
    Conditions,
    Polling,
    ConditionsOnAllPets,
    Pages,
    Finding,
    FindingByIds,
    Streaming,
    CountingPets,
    DeletingByQuery,
    SendingAgain,
    HealthChecks,
):
    """The promises that a store has a part in.

    The module of a subclass provides a fixture `client` over an empty store.
    """


class APIContract(APIOverAnyStore, Heads, Identifying, EveryPath, Bodies, BadRequests, TheDocument):
    """All promises. Those that are added here are kept before the store is asked."""
