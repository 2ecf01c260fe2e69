"""The promises of `PetRepository`. Every adapter runs all of these tests."""

import random
from asyncio import CancelledError, Event, create_task, gather
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from pets.domain.errors import NoIdsLeft
from pets.domain.pet import EARLIEST, LATEST, MAX_ID, NewPet, Pet, PetChange, PetType
from pets.domain.query import PetQuery, PetSort, Position
from pets.domain.repository import AddedOnce, PetPage, PetRepository
from tests.factories import CHANGEABLE, MEMBERS, NewPetFactory

MANY = 50
EARLY, LATE = (datetime.fromisoformat(f"2021-05-18T19:10:{second}") for second in (17, 18))


KEY_TTL = timedelta(days=1)
"""The repositories under test remember a key for this long."""

PassTime = Callable[[timedelta], Awaitable[None]]
"""Lets the store's keys become older, as if time had passed by the clock of the store."""

BOY = NewPet(name="boy", age=7, type=PetType.DOG)


def new_pets(number: int) -> list[NewPet]:
    return NewPetFactory.batch(number)


def diverse_pets() -> list[NewPet]:
    """Make pets in random order, with many equal values in each member that can be sorted by."""
    names = ["boy", "Boy", "a_b", "a%b", "Straße", "ΣΊΣΥΦΟΣ", "小白"]
    pets = [
        NewPet(name=name, age=age, type=kind, created_at=time)
        for name, age, kind, time in product(names, (0, 7, 100), PetType, (EARLY, LATE))
    ]
    random.Random(7).shuffle(pets)
    return pets


def queries() -> Iterator[PetQuery]:
    for sort, descending in product(PetSort, (False, True)):
        yield PetQuery(sort=sort, descending=descending)
        yield PetQuery(sort=sort, descending=descending, type=PetType.CAT)
        yield PetQuery(sort=sort, descending=descending, age_min=1)
        yield PetQuery(sort=sort, descending=descending, age_min=7, age_max=7, name="BO")
        yield PetQuery(sort=sort, descending=descending, age_max=7, type=PetType.DOG, name="o")
        yield PetQuery(sort=sort, descending=descending, age_min=100, age_max=0)
        yield PetQuery(sort=sort, descending=descending, name_is="Straße")
        yield PetQuery(sort=sort, descending=descending, created_from=LATE, type=PetType.CAT)


def shown(query: PetQuery) -> str:
    filters = f"{query.type}-{query.age_min}-{query.age_max}-{query.name}-{query.name_is}"
    if query.created_from or query.created_to:
        filters += f"-{query.created_from}-{query.created_to}"
    return f"{'-' * query.descending}{query.sort} {filters}"


def expected(query: PetQuery, pets: Sequence[Pet]) -> list[Pet]:
    """Return the matches of a query in its order, computed in another way than in the adapters."""
    matches = [
        pet
        for pet in pets
        if query.type in (None, pet.type)
        and (query.age_min or 0) <= pet.age <= (100 if query.age_max is None else query.age_max)
        and (query.name or "").casefold() in pet.name.casefold()
        and query.name_is in (None, pet.name)
        and (query.created_from or EARLIEST) <= pet.created_at <= (query.created_to or LATEST)
        and (query.ids is None or pet.id in query.ids)
    ]
    return sorted(
        matches, key=lambda pet: (getattr(pet, query.sort), pet.id), reverse=query.descending
    )


def random_ids(pets: Sequence[Pet]) -> frozenset[int]:
    """Return some ids of pets, and some of none."""
    chosen = random.sample(pets, random.choice([0, 1, 5, len(pets)]))
    return frozenset([pet.id for pet in chosen] + random.choice([[], [1, MAX_ID]]))


def random_query(pets: Sequence[Pet]) -> PetQuery:
    """Return a query with any filters, order, limit and position."""
    choose = random.choice
    query = PetQuery(
        type=choose([None, *PetType]),
        age_min=choose([None, None, 0, 7, 8, 100]),
        age_max=choose([None, None, 0, 7, 100]),
        name=choose([None, None, None, "B", "ΣΊΣ", "_"]),
        name_is=choose([None, None, None, "boy", "bo"]),
        created_from=choose([None, None, EARLY, LATE]),
        created_to=choose([None, None, EARLY, LATE]),
        ids=choose([None, None, random_ids(pets)]),
        sort=choose(list(PetSort)),
        descending=choose([False, True]),
        limit=choose([0, 1, 7, 20, 1000]),
    )
    # Only a position in the order of ages must pass the filters.
    positions = expected(query, pets) if query.sort is PetSort.AGE else pets
    return choose([query, query.following(choose(positions))]) if positions else query


def right_page(query: PetQuery, pets: Sequence[Pet]) -> PetPage:
    """Return the page that a store with these pets has, computed in another way."""
    matches = expected(query, pets)
    after = query.after
    rest = matches
    if after and query.descending:
        rest = [pet for pet in matches if place(query.position(pet)) < place(after)]
    elif after:
        rest = [pet for pet in matches if place(query.position(pet)) > place(after)]
    return PetPage.cut(query, len(matches), rest[: query.limit + 1])


def place(position: Position) -> tuple[Any, int]:  # Any: values of one type within a query
    return position.value, position.id


def replayed(added: AddedOnce) -> AddedOnce:
    return replace(added, is_replay=True)


async def page_of(repository: PetRepository, query: PetQuery) -> PetPage:
    (page,) = await repository.pages([query])
    return page


async def walk(repository: PetRepository, query: PetQuery) -> list[Pet]:
    """Follow a query from page to page, and return all pets."""
    walked: list[Pet] = []
    next_: PetQuery | None = query
    while next_:
        page = await page_of(repository, next_)
        walked += page.items
        next_ = page.next
    return walked


async def exported(repository: PetRepository, query: PetQuery = PetQuery()) -> list[Pet]:  # noqa: B008  # a query is frozen
    return [pet async for batch in repository.export(query) for pet in batch]


async def load(
    repository: PetRepository, *pets: NewPet | Pet, skip_taken: bool = False, last_id: int = 0
) -> Sequence[int]:
    """Load the pets in batches of two, numbered from 0."""

    async def numbered() -> AsyncIterator[list[tuple[int, NewPet | Pet]]]:
        for start in range(0, len(pets), 2):
            yield list(enumerate(pets[start : start + 2], start))

    return await repository.load(numbered(), skip_taken=skip_taken, last_id=lambda: last_id)


@pytest.mark.anyio
class PetRepositoryContract:
    """All promises. The module of a subclass provides two fixtures.

    `repository` is empty, and `pass_time` is a `PassTime` for its store.
    """

    async def test_a_new_store_is_empty(self, repository: PetRepository) -> None:
        page = await page_of(repository, PetQuery(limit=20))
        assert (page.count, list(page.items)) == (0, [])

    async def test_an_added_pet_gets_an_id_and_keeps_the_rest(
        self, repository: PetRepository
    ) -> None:
        new = NewPet(name="boy", age=7, type=PetType.DOG)
        (pet,) = await repository.add([new])
        assert pet == new.with_id(pet.id)
        assert list((await page_of(repository, PetQuery(limit=1))).items) == [pet]

    async def test_every_valid_value_is_returned_unchanged(self, repository: PetRepository) -> None:
        pets = await repository.add(
            [NewPetFactory.build(age=age, type=kind) for age in (0, 100) for kind in PetType]
            + new_pets(20)
        )
        assert list((await page_of(repository, PetQuery(limit=100))).items) == list(pets)

    @pytest.mark.parametrize("created_at", [EARLIEST, LATEST])
    async def test_the_first_and_the_last_time_are_times_like_any_other(
        self, repository: PetRepository, created_at: datetime
    ) -> None:
        pets = await repository.add([replace(BOY, created_at=created_at)] * 3)
        for descending in (False, True):
            query = PetQuery(sort=PetSort.CREATED_AT, descending=descending, limit=1)
            assert await walk(repository, query) == expected(query, pets)
        await load(repository, pets[0]._replace(id=pets[-1].id + 1))
        assert {pet.created_at for pet in await exported(repository)} == {created_at}
        keyed = (await repository.add_once({"k": [replace(BOY, created_at=created_at)]}))["k"]
        assert await repository.add_once({"k": [BOY]}) == {"k": replayed(keyed)}
        wanted = {pet.id: pet for pet in keyed.pets}
        assert await repository.remove(wanted, expected=wanted) == set(wanted)

    async def test_ids_ascend_in_the_order_of_the_pets(self, repository: PetRepository) -> None:
        new = new_pets(MANY)
        pets = await repository.add(new)
        assert [pet.id for pet in pets] == sorted({pet.id for pet in pets})
        assert [pet.name for pet in pets] == [pet.name for pet in new]

    async def test_adding_nothing_adds_nothing(self, repository: PetRepository) -> None:
        assert list(await repository.add([])) == []
        assert (await page_of(repository, PetQuery(limit=1))).count == 0

    async def test_a_call_can_add_40000_pets(self, repository: PetRepository) -> None:
        """They have more values than a statement may have parameters."""
        pets = await repository.add(new_pets(40_000))
        assert len({pet.id for pet in pets}) == 40_000
        assert (await page_of(repository, PetQuery(limit=0))).count == 40_000

    @pytest.mark.parametrize("limit", [0, 1, 2, 3, 1000])
    async def test_a_page_has_the_first_pets_by_id_and_the_count_of_all(
        self, repository: PetRepository, limit: int
    ) -> None:
        pets = list(await repository.add(new_pets(3)))
        page = await page_of(repository, PetQuery(limit=limit))
        assert list(page.items) == pets[:limit]
        assert page.count == 3

    async def test_removing_returns_the_ids_of_the_removed_pets(
        self, repository: PetRepository
    ) -> None:
        first, second, third = await repository.add(new_pets(3))
        assert await repository.remove({first.id, third.id, third.id + 1}) == {first.id, third.id}
        assert list((await page_of(repository, PetQuery(limit=3))).items) == [second]

    async def test_a_removed_pet_cannot_be_removed_again(self, repository: PetRepository) -> None:
        (pet,) = await repository.add(new_pets(1))
        assert await repository.remove([pet.id]) == {pet.id}
        assert await repository.remove([pet.id]) == set()

    async def test_removing_accepts_a_repeated_id(self, repository: PetRepository) -> None:
        (pet,) = await repository.add(new_pets(1))
        assert await repository.remove([pet.id, pet.id]) == {pet.id}

    async def test_removing_nothing_removes_nothing(self, repository: PetRepository) -> None:
        await repository.add(new_pets(1))
        assert await repository.remove([]) == set()
        assert (await page_of(repository, PetQuery(limit=1))).count == 1

    @pytest.mark.parametrize("impossible", [0, -1, MAX_ID, MAX_ID + 1, -MAX_ID - 2, 2**64, 10**100])
    async def test_removing_ignores_an_impossible_id(
        self, repository: PetRepository, impossible: int
    ) -> None:
        (pet,) = await repository.add(new_pets(1))
        assert await repository.remove([impossible, pet.id]) == {pet.id}

    async def test_a_call_can_remove_10000_ids(self, repository: PetRepository) -> None:
        ids = [pet.id for pet in await repository.add(new_pets(100))]
        assert await repository.remove(range(ids[0], ids[0] + 10_000)) == set(ids)

    async def test_an_id_is_never_reused(self, repository: PetRepository) -> None:
        *_, newest = await repository.add(new_pets(2))
        await repository.remove([newest.id])
        (next_,) = await repository.add(new_pets(1))
        assert next_.id > newest.id

    async def test_only_one_of_concurrent_removals_reports_a_pet(
        self, repository: PetRepository
    ) -> None:
        ids = [pet.id for pet in await repository.add(new_pets(20))]
        removed = await gather(
            *(repository.remove(ids if n % 2 else ids[::-1]) for n in range(MANY))
        )
        assert sorted(id_ for ids_ in removed for id_ in ids_) == ids
        assert (await page_of(repository, PetQuery(limit=1))).count == 0

    async def test_concurrent_calls_lose_nothing(self, repository: PetRepository) -> None:
        """Many tasks add, list and remove pets.

        No id is given twice, no pet is lost, and each count fits its page.
        """

        async def use_repository() -> tuple[list[int], set[int]]:
            added = [pet.id for size in (1, 2, 3) for pet in await repository.add(new_pets(size))]
            page = await page_of(repository, PetQuery(limit=1000))
            assert page.count == len(page.items)
            assert set(added) <= {pet.id for pet in page.items}
            gone = await repository.remove(added[::2])
            assert gone == set(added[::2])
            return added, gone

        outcomes = await gather(*(use_repository() for _ in range(MANY)))
        added = [id_ for ids, _ in outcomes for id_ in ids]
        gone = {id_ for _, ids in outcomes for id_ in ids}
        assert len(set(added)) == len(added) == 6 * MANY
        page = await page_of(repository, PetQuery(limit=1000))
        assert {pet.id for pet in page.items} == set(added) - gone
        assert page.count == len(page.items)

    async def test_pets_are_found_by_id(self, repository: PetRepository) -> None:
        first, second, third = await repository.add(new_pets(3))
        await repository.remove([second.id])
        ids = [third.id, second.id, first.id, first.id, 0, -1, MAX_ID + 1, 10**100]
        assert await repository.find(ids) == {first.id: first, third.id: third}
        assert await repository.find([]) == {}

    @pytest.mark.parametrize("members", [*([name] for name in CHANGEABLE), CHANGEABLE, []], ids=str)
    async def test_a_change_keeps_the_other_members(
        self, repository: PetRepository, members: list[str]
    ) -> None:
        new = NewPetFactory.build()
        pet, other = await repository.add([new, new])
        unlike = NewPetFactory.unlike(new)
        change = PetChange(**{name: getattr(unlike, name) for name in members})
        changed = pet.changed(change)
        assert await repository.change({pet.id: change}) == {pet.id: changed}
        assert await repository.find([pet.id, other.id]) == {pet.id: changed, other.id: other}

    async def test_a_call_changes_all_named_pets_that_exist(
        self, repository: PetRepository
    ) -> None:
        first, second, gone = await repository.add(new_pets(3))
        await repository.remove([gone.id])
        changes = {
            second.id: PetChange(age=1),
            first.id: PetChange(name="x"),
            gone.id: PetChange(age=1),
        }
        changed = await repository.change(changes | {0: PetChange(age=1), 2**64: PetChange(age=1)})
        assert changed == {pet.id: pet.changed(changes[pet.id]) for pet in (first, second)}
        assert await repository.change({}) == {}

    async def test_a_change_of_type_is_counted(self, repository: PetRepository) -> None:
        (pet,) = await repository.add([BOY])
        await repository.change({pet.id: PetChange(type=PetType.CAT)})
        assert (await page_of(repository, PetQuery(type=PetType.CAT))).count == 1
        assert (await page_of(repository, PetQuery(type=PetType.DOG))).count == 0

    @pytest.mark.parametrize("member", MEMBERS)
    async def test_an_unexpected_pet_is_neither_changed_nor_removed(
        self, repository: PetRepository, member: str
    ) -> None:
        pet, other, _ = await repository.add([BOY, BOY, NewPet(name="x", age=1, type=PetType.CAT)])
        value = getattr(NewPetFactory.unlike(BOY), member)
        expected = {pet.id: pet._replace(**{member: value}), other.id: other}
        changes = {pet.id: PetChange(age=9), other.id: PetChange(age=9)}
        assert set(await repository.change(changes, expected=expected)) == {other.id}
        expected[other.id] = other.changed(PetChange(age=9))
        assert await repository.remove([pet.id, other.id, 10**9], expected=expected) == {other.id}
        assert await repository.find([pet.id]) == {pet.id: pet}

    async def test_only_one_of_concurrent_changes_of_an_expected_pet_succeeds(
        self, repository: PetRepository
    ) -> None:
        (pet,) = await repository.add([BOY])
        changes = [PetChange(age=age) for age in range(8, 8 + MANY)]
        outcomes = await gather(
            *(repository.change({pet.id: change}, expected={pet.id: pet}) for change in changes),
            repository.remove([pet.id], expected={pet.id: pet.changed(PetChange(age=100))}),
        )
        done = [outcome for outcome in outcomes if outcome]
        assert len(done) == 1
        assert await repository.find([pet.id]) == done[0]

    async def test_concurrent_changes_of_different_members_are_all_kept(
        self, repository: PetRepository
    ) -> None:
        pets = await repository.add([BOY] * 10)
        await gather(
            *(
                repository.change({pet.id: change for pet in batch})
                for batch in (pets, pets[::-1])
                for change in (
                    PetChange(name="girl"),
                    PetChange(age=3),
                    PetChange(type=PetType.CAT),
                )
                for _ in range(5)
            )
        )
        for pet in (await repository.find([pet.id for pet in pets])).values():
            assert (pet.name, pet.age, pet.type) == ("girl", 3, PetType.CAT)

    @pytest.mark.parametrize("query", list(queries()), ids=shown)
    async def test_walking_a_query_returns_its_matches_in_order(
        self, repository: PetRepository, query: PetQuery
    ) -> None:
        right = expected(query, await repository.add(diverse_pets()))
        for limit in (1000, 7):
            query = replace(query, limit=limit)
            assert await walk(repository, query) == right
        page = await page_of(repository, query)
        assert page.count == len(right)
        assert (page.next is None) == (len(right) <= 7)
        assert [pet async for batch in repository.export(query) for pet in batch] == right

    @pytest.mark.parametrize("sort", PetSort)
    async def test_a_query_can_choose_ids(self, repository: PetRepository, sort: PetSort) -> None:
        pets = await repository.add(diverse_pets())
        chosen = frozenset(pet.id for pet in pets[::2])
        gone = frozenset({pets[-1].id + 1, MAX_ID})
        for query in (
            PetQuery(ids=chosen | gone, sort=sort),
            PetQuery(ids=chosen | gone, sort=sort, limit=3, descending=True, age_max=7),
            PetQuery(ids=chosen, sort=sort, limit=2, type=PetType.CAT, name="O", created_to=EARLY),
            PetQuery(ids=chosen, sort=sort, name_is="boy"),
        ):
            right = expected(query, pets)
            assert (await page_of(repository, query)).count == len(right) > 0
            assert await walk(repository, query) == right == await exported(repository, query)

    async def test_of_no_ids_there_are_no_pets(self, repository: PetRepository) -> None:
        await repository.add([BOY])
        for query in (PetQuery(ids=frozenset()), PetQuery(ids=frozenset(), name="boy")):
            assert await page_of(repository, query) == PetPage(0, [])
            assert await exported(repository, query) == []

    async def test_a_query_can_choose_1000_ids(self, repository: PetRepository) -> None:
        pets = await repository.add(new_pets(1200))
        query = PetQuery(ids=frozenset(pet.id for pet in pets[:1000]), limit=1000)
        assert await page_of(repository, query) == PetPage(1000, list(pets[:1000]))

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("boy", ["boy"]),
            (" boy\u3000", ["boy"]),
            ("BOY", []),
            ("bo", []),
            ("b%", ["b%"]),
            ("b_y", []),
            ("'; DROP TABLE pets;--", []),
        ],
    )
    async def test_a_whole_name_is_compared_exactly(
        self, repository: PetRepository, name: str, found: list[str]
    ) -> None:
        await repository.add([replace(BOY, name=other) for other in ("boy", "Boy", "boyo", "b%")])
        page = await page_of(repository, PetQuery(name_is=name))
        assert [pet.name for pet in page.items] == found

    @pytest.mark.parametrize(
        ("created_from", "created_to", "found"),
        [
            (EARLIEST, LATEST, 4),
            (None, EARLIEST, 1),
            (LATEST, None, 1),
            (EARLY, EARLY, 1),
            (EARLY, LATE, 2),
            (LATE, EARLY, 0),
        ],
    )
    async def test_both_ends_of_a_range_of_times_belong_to_it(
        self,
        repository: PetRepository,
        created_from: datetime | None,
        created_to: datetime | None,
        found: int,
    ) -> None:
        times = (EARLIEST, EARLY, LATE, LATEST)
        await repository.add([replace(BOY, created_at=time) for time in times])
        query = PetQuery(created_from=created_from, created_to=created_to)
        assert (await page_of(repository, query)).count == found

    async def test_pages_of_every_shape_can_be_asked_for_at_once(
        self, repository: PetRepository
    ) -> None:
        pets = await repository.add(diverse_pets())
        for _ in range(20):
            mixed = [random_query(pets) for _ in range(random.randint(0, 40))]
            pages = await repository.pages(mixed)
            assert list(pages) == [right_page(query, pets) for query in mixed]

    async def test_a_query_named_twice_is_answered_twice(self, repository: PetRepository) -> None:
        await repository.add(new_pets(3))
        query, other = PetQuery(limit=2), PetQuery(limit=1, descending=True)
        first, between, second = await repository.pages([query, other, query])
        assert first == second == await page_of(repository, query)
        assert between == await page_of(repository, other)

    async def test_no_query_gets_no_page(self, repository: PetRepository) -> None:
        assert list(await repository.pages([])) == []

    async def test_an_empty_page_has_its_count_beside_full_pages(
        self, repository: PetRepository
    ) -> None:
        pets = await repository.add(diverse_pets())
        full = PetQuery(sort=PetSort.NAME)
        beyond = full.following(expected(full, pets)[-1])
        nothing = PetQuery(sort=PetSort.NAME, age_min=1, age_max=0)
        pages = await repository.pages([full, beyond, nothing, replace(full, limit=0)])
        counts = [(page.count, len(page.items), page.next is None) for page in pages]
        number = len(pets)
        assert counts == [(number, 20, False), (number, 0, True), (0, 0, True), (number, 0, True)]

    async def test_the_last_page_has_no_next_even_if_it_is_full(
        self, repository: PetRepository
    ) -> None:
        await repository.add(new_pets(4))
        first = await page_of(repository, PetQuery(limit=2))
        assert first.next
        last = await page_of(repository, first.next)
        assert (last.count, len(last.items), last.next) == (4, 2, None)

    async def test_a_page_beyond_the_last_pet_has_only_the_count(
        self, repository: PetRepository
    ) -> None:
        pets = await repository.add(new_pets(3))
        for sort in PetSort:
            query = PetQuery(sort=sort)
            last = expected(query, pets)[-1]
            assert await page_of(repository, query.following(last)) == PetPage(3, [])

    @pytest.mark.parametrize(
        ("part", "names"),
        [
            ("%", {"a%b"}),
            ("_", {"a_b"}),
            ("\\", {"a\\b"}),
            ("*", set()),
            ("'", {"O'Malley"}),
            ("A", {"a%b", "a_b", "a\\b", "STRASSE", "straße", "O'Malley"}),
            ("σίσ", {"ΣΊΣΥΦΟΣ"}),
            ("φος", {"ΣΊΣΥΦΟΣ"}),
            ("白", {"小白"}),
            ("x" * 100, {"x" * 100}),
        ],
    )
    async def test_a_search_for_a_name_ignores_case_and_wildcards(
        self, repository: PetRepository, part: str, names: set[str]
    ) -> None:
        all_names = [
            "a%b",
            "a_b",
            "a\\b",
            "STRASSE",
            "straße",
            "ΣΊΣΥΦΟΣ",
            "小白",
            "O'Malley",
            "x" * 100,
        ]
        await repository.add([NewPet(name=name, age=1, type=PetType.CAT) for name in all_names])
        page = await page_of(repository, PetQuery(name=part))
        assert {pet.name for pet in page.items} == names
        assert page.count == len(names)

    async def test_the_counts_are_of_each_type_and_age(self, repository: PetRepository) -> None:
        pets = await repository.add(diverse_pets())
        await repository.change({pets[0].id: PetChange(type=PetType.CAT, age=50)})
        await repository.remove([pet.id for pet in pets[1:9]])
        left = await exported(repository)
        counts = await repository.counts()
        assert {pair: count for pair, count in counts.items() if count} == Counter(
            (pet.type, pet.age) for pet in left
        )

    async def test_an_empty_store_counts_nothing(self, repository: PetRepository) -> None:
        pets = await repository.add([BOY, BOY])
        await repository.remove([pet.id for pet in pets])
        assert not any((await repository.counts()).values())

    async def test_the_counts_are_of_one_moment(self, repository: PetRepository) -> None:
        """A pet that others change is counted once, as it was or as it is."""
        (pet,) = await repository.add([BOY])

        async def change() -> None:
            for age in range(MANY):
                await repository.change({pet.id: PetChange(age=age, type=list(PetType)[age % 2])})

        async def count() -> None:
            for _ in range(MANY):
                assert sum((await repository.counts()).values()) == 1

        await gather(change(), count(), count())

    async def test_a_name_is_found_in_either_form_of_unicode(
        self, repository: PetRepository
    ) -> None:
        """As a whole and in part, whichever form it had when it was added or changed."""
        composed, decomposed = "Zo\u00eb", "Zoe\u0308"
        first, second = await repository.add([replace(BOY, name=composed), BOY])
        await repository.change({second.id: PetChange(name=decomposed)})
        (third,) = await repository.add([replace(BOY, name=decomposed)])
        keyed = await repository.add_once({"k": [replace(BOY, name=decomposed)]})
        (fourth,) = keyed["k"].pets
        found = [(pet.id, composed) for pet in (first, second, third, fourth)]
        for name in (composed, decomposed):
            for query in (PetQuery(name_is=name), PetQuery(name=name[1:].upper())):
                page = await page_of(repository, query)
                assert [(pet.id, pet.name) for pet in page.items] == found

    @pytest.fixture
    def own_repository(self, repository: PetRepository) -> PetRepository:
        """A repository whose store no other test uses, because this one spoils it."""
        return repository

    @pytest.fixture
    def folding(self) -> str:
        """How the store folds case: "full", as in Unicode, or by capitals of "icu" or "libc"."""
        return "full"

    @pytest.mark.parametrize(
        ("part", "found_by"),
        [
            (
                "strasse",
                {
                    "full": {"STRASSE", "straße"},
                    "icu": {"STRASSE", "straße"},
                    "libc": {"STRASSE"},
                },
            ),
            ("ẞ", {"full": {"STRASSE", "straße"}, "icu": set(), "libc": set()}),
            # the letter i without its dot
            ("\u0131", {"full": set(), "icu": {"Iris"}, "libc": {"Iris"}}),
            # the sign Ohm
            ("\u2126", {"full": {"Ωmega"}, "icu": {"Ωmega"}, "libc": {"Ωmega"}}),
        ],
    )
    async def test_a_search_folds_case_as_well_as_the_store_can(
        self,
        repository: PetRepository,
        folding: str,
        part: str,
        found_by: dict[str, set[str]],
    ) -> None:
        names = ["STRASSE", "straße", "Iris", "Ωmega"]
        await repository.add([NewPet(name=name, age=1, type=PetType.CAT) for name in names])
        page = await page_of(repository, PetQuery(name=part))
        assert {pet.name for pet in page.items} == found_by[folding]

    @pytest.mark.parametrize(
        "query", [PetQuery(limit=3), PetQuery(limit=3, sort=PetSort.AGE, descending=True)]
    )
    async def test_a_walk_meets_every_permanent_pet_exactly_once(
        self, repository: PetRepository, query: PetQuery
    ) -> None:
        permanent = await repository.add(new_pets(30))
        temporary = list(await repository.add(new_pets(30)))

        async def disturb() -> None:
            while temporary:
                await repository.remove([temporary.pop().id])
                await repository.add(new_pets(1))

        walked, _ = await gather(walk(repository, query), disturb())
        met = [pet.id for pet in walked]
        assert len(set(met)) == len(met)
        assert {pet.id for pet in permanent} <= set(met)

    async def test_a_page_and_its_count_are_of_one_moment(self, repository: PetRepository) -> None:
        dogs = PetQuery(type=PetType.DOG, age_min=7, limit=1000, sort=PetSort.NAME)
        named = replace(dogs, name="BO")

        async def use_repository() -> None:
            added = await repository.add([BOY] * 3)
            for page in await repository.pages([dogs, named, PetQuery(limit=1000)]):
                assert page.count == len(page.items)
            await repository.remove([pet.id for pet in added])

        await gather(*(use_repository() for _ in range(20)))

    async def test_under_a_key_a_pet_is_added_once(self, repository: PetRepository) -> None:
        first = (await repository.add_once({"k": [BOY]}))["k"]
        (pet,) = first.pets
        assert pet == BOY.with_id(pet.id)
        assert not first.is_replay
        assert await repository.add_once({"k": [BOY]}) == {"k": replayed(first)}
        assert (await page_of(repository, PetQuery())).items == [pet]

    async def test_under_a_key_a_set_of_pets_is_added_once(self, repository: PetRepository) -> None:
        new = new_pets(12)  # So many have keys that sort otherwise by text than by number.
        first = await repository.add_once({"k": new, "l": [BOY]})
        pets = first["k"].pets
        assert [pet.id for pet in pets] == sorted({pet.id for pet in pets})
        assert list(pets) == [each.with_id(pet.id) for each, pet in zip(new, pets, strict=True)]
        assert first["k"].answers(new)
        assert await repository.add_once({"k": new}) == {"k": replayed(first["k"])}
        assert (await page_of(repository, PetQuery())).count == len(new) + 1

    @pytest.mark.parametrize("number", [1, 2, 4, 5])
    async def test_a_key_of_another_set_adds_nothing(
        self, repository: PetRepository, number: int
    ) -> None:
        new = new_pets(5)
        await repository.add_once({"k": new[:3]})
        again = (await repository.add_once({"k": new[:number]}))["k"]
        assert again.is_replay
        assert not again.answers(new[:number])
        assert (await page_of(repository, PetQuery())).count == 3

    async def test_a_key_returns_the_pets_as_they_were_added(
        self, repository: PetRepository
    ) -> None:
        new = NewPetFactory.build()
        first = await repository.add_once({"k": [new], "l": [new]})
        (changed,), (removed,) = first["k"].pets, first["l"].pets
        other = NewPetFactory.unlike(new)
        change = PetChange(**{name: getattr(other, name) for name in CHANGEABLE})
        await repository.change({changed.id: change})
        await repository.remove([removed.id])
        again = await repository.add_once({"k": [other], "l": [other]})
        assert again == {"k": replayed(first["k"]), "l": replayed(first["l"])}
        assert (await page_of(repository, PetQuery())).count == 1

    async def test_new_and_used_keys_can_come_together(self, repository: PetRepository) -> None:
        first = await repository.add_once({"k": [BOY]})
        both = await repository.add_once({"new": [BOY], "k": [BOY]})
        assert both["k"] == replayed(first["k"])
        assert not both["new"].is_replay
        assert both["new"].pets[0].id > first["k"].pets[0].id
        assert await repository.add_once({}) == {}

    async def test_concurrent_callers_with_a_key_all_get_the_same_pets(
        self, repository: PetRepository
    ) -> None:
        keys = [f"k{n}" for n in range(5)]
        answers = await gather(
            *(
                repository.add_once({key: [BOY, BOY] for key in (keys if n % 2 else keys[::-1])})
                for n in range(MANY)
            )
        )
        assert len({answer[key].pets[1] for answer in answers for key in keys}) == len(keys)
        assert (await page_of(repository, PetQuery())).count == 2 * len(keys)
        for key in keys:
            assert sum(not answer[key].is_replay for answer in answers) == 1

    async def test_a_key_is_forgotten_after_its_time(
        self, repository: PetRepository, pass_time: PassTime
    ) -> None:
        first = await repository.add_once({"k": new_pets(3)})
        await pass_time(KEY_TTL - timedelta(minutes=1))
        assert (await repository.add_once({"k": [BOY]}))["k"].is_replay
        await pass_time(timedelta(minutes=1))
        again = await repository.add_once({"k": [BOY]})
        assert not again["k"].is_replay
        assert again["k"].pets[0].id > first["k"].pets[-1].id
        # What is left of the longer set does not count.
        assert await repository.add_once({"k": [BOY]}) == {"k": replayed(again["k"])}

    @pytest.mark.parametrize("days", [-1000, 1000])
    async def test_the_clocks_of_callers_do_not_matter_to_keys(
        self, repository: PetRepository, pass_time: PassTime, days: int
    ) -> None:
        wrong = replace(BOY, created_at=BOY.created_at + timedelta(days=days))
        kept = await repository.add_once({"k": [BOY]})
        added = await repository.add_once({"wrong": [wrong]})
        assert added["wrong"].pets[0].created_at == wrong.created_at
        again = await repository.add_once({"k": [wrong], "wrong": [BOY]})
        assert again == {"k": replayed(kept["k"]), "wrong": replayed(added["wrong"])}
        await pass_time(KEY_TTL)
        later = await repository.add_once({"k": [BOY], "wrong": [BOY]})
        assert not any(each.is_replay for each in later.values())

    @pytest.mark.parametrize("key", ["k" * 255, "'; DROP TABLE pets; --", "%", "\\", '"', " "])
    async def test_a_key_is_any_text(self, repository: PetRepository, key: str) -> None:
        first = await repository.add_once({key: [BOY]})
        assert await repository.add_once({key: [BOY]}) == {key: replayed(first[key])}

    async def test_a_store_that_is_ready_says_so(self, repository: PetRepository) -> None:
        await repository.check()

    async def test_an_export_ignores_the_limit_of_its_query(
        self, repository: PetRepository
    ) -> None:
        pets = await repository.add(new_pets(2500))
        assert await exported(repository, PetQuery(limit=1)) == list(pets)
        cats = PetQuery(
            type=PetType.CAT, age_min=20, age_max=80, name="O'M", sort=PetSort.AGE, descending=True
        )
        assert await exported(repository, cats) == sorted(
            filter(cats.matches, pets), key=lambda pet: (pet.age, pet.id), reverse=True
        )

    async def test_an_export_has_the_pets_of_one_moment(self, repository: PetRepository) -> None:
        pets = list(await repository.add(new_pets(2500)))
        async with aclosing(repository.export(PetQuery())) as export:
            first = list(await anext(export))
            await repository.remove([pet.id for pet in pets[1::2]])
            await repository.add(new_pets(3))
            assert [*first, *[pet async for batch in export for pet in batch]] == pets

    async def test_loaded_pets_get_ids_that_ascend_in_their_order(
        self, repository: PetRepository
    ) -> None:
        (pet,) = await repository.add(new_pets(1))
        new = new_pets(2500)
        assert list(await load(repository, *new)) == []
        loaded = (await exported(repository))[1:]
        assert loaded == [
            before.with_id(after.id) for before, after in zip(new, loaded, strict=True)
        ]
        assert loaded[0].id > pet.id

    async def test_a_loaded_pet_keeps_its_id_and_later_ids_are_higher(
        self, repository: PetRepository
    ) -> None:
        (pet,) = await repository.add(new_pets(1))
        loaded = [
            new.with_id(pet.id + number)
            for new, number in zip(new_pets(3), (500, 7, 20), strict=True)
        ]
        assert list(await load(repository, *loaded)) == []
        assert await exported(repository) == [pet, *sorted(loaded, key=lambda pet: pet.id)]
        (next_,) = await repository.add(new_pets(1))
        assert next_.id > pet.id + 500

    async def test_loading_low_ids_does_not_reuse_higher_ids(
        self, repository: PetRepository
    ) -> None:
        first, last = await repository.add(new_pets(2))
        await repository.remove([first.id, last.id])
        await load(repository, first)
        (next_,) = await repository.add(new_pets(1))
        assert next_.id > last.id

    @pytest.mark.parametrize("skip_taken", [True, False])
    async def test_loading_rejects_ids_that_are_taken(
        self, repository: PetRepository, *, skip_taken: bool
    ) -> None:
        (taken,) = await repository.add(new_pets(1))
        first, again, other = (
            new.with_id(taken.id + number)
            for new, number in zip(new_pets(3), (1, 1, 2), strict=True)
        )
        pets = [first, again, new_pets(1)[0].with_id(taken.id), other]
        assert list(await load(repository, *pets, skip_taken=skip_taken)) == [1, 2]
        assert await exported(repository) == ([taken, first, other] if skip_taken else [taken])

    async def test_no_id_is_given_that_a_load_says_was_given(
        self, repository: PetRepository
    ) -> None:
        (pet,) = await repository.add(new_pets(1))
        kept = pet._replace(id=pet.id + 5)
        for last_id, loaded in ((pet.id + 100, [kept]), (pet.id + 200, []), (1, [])):
            await load(repository, *loaded, last_id=last_id)
            highest = max(pet.id + 100, last_id)
            (next_,) = await repository.add(new_pets(1))
            assert next_.id > highest
        assert await repository.last_id() == next_.id

    async def test_the_last_id_is_that_of_the_newest_pet_even_if_it_was_removed(
        self, repository: PetRepository
    ) -> None:
        *_, newest = await repository.add(new_pets(2))
        assert await repository.last_id() == newest.id
        await repository.remove([newest.id])
        assert await repository.last_id() == newest.id

    async def test_when_no_ids_are_left_pets_can_still_be_read_and_changed(
        self, own_repository: PetRepository
    ) -> None:
        repository = own_repository
        last = BOY.with_id(MAX_ID - 1)
        await load(repository, last)
        (newest,) = await repository.add([BOY])
        assert newest.id == MAX_ID
        kept = BOY.with_id(1)
        with pytest.raises(NoIdsLeft):
            await repository.add([BOY])
        with pytest.raises(NoIdsLeft):
            await repository.add_once({"k": [BOY]})
        with pytest.raises(NoIdsLeft):
            await load(repository, BOY)
        await load(repository, kept)
        assert await repository.remove([last.id]) == {last.id}
        assert await exported(repository) == [kept, newest]

    async def test_loading_nothing_keeps_nothing(self, repository: PetRepository) -> None:
        assert list(await load(repository)) == []
        assert await exported(repository) == []

    async def test_a_failed_load_keeps_no_pet(self, repository: PetRepository) -> None:
        async def failing() -> AsyncIterator[list[tuple[int, NewPet]]]:
            yield list(enumerate(new_pets(10)))
            raise LookupError

        with pytest.raises(LookupError):
            await repository.load(failing(), skip_taken=True)
        assert await exported(repository) == []
        await load(repository, *new_pets(1))

    async def test_a_cancelled_load_keeps_no_pet(self, repository: PetRepository) -> None:
        reading = Event()

        async def endless() -> AsyncIterator[list[tuple[int, NewPet]]]:
            yield list(enumerate(new_pets(10)))
            reading.set()
            await Event().wait()

        loading = create_task(repository.load(endless(), skip_taken=True))
        await reading.wait()
        loading.cancel()
        with pytest.raises(CancelledError):
            await loading
        assert await exported(repository) == []
        await load(repository, *new_pets(1))
