"""What `PetRepository` promises. Every adapter runs the whole of it."""

from asyncio import CancelledError, Event, create_task, gather
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest

from pets.domain.pet import MAX_ID, NewPet, Pet, PetType
from pets.domain.query import PetQuery, PetSort
from pets.domain.repository import PetRepository
from tests.factories import NewPetFactory

MANY = 50


def new_pets(number: int) -> list[NewPet]:
    return NewPetFactory.batch(number)


async def exported(repository: PetRepository, query: PetQuery = PetQuery()) -> list[Pet]:  # noqa: B008  # frozen
    return [pet async for some in repository.export(query) for pet in some]


async def load(repository: PetRepository, *pets: NewPet | Pet, skip_taken: bool = False) -> Sequence[int]:
    """Load the pets, two at a time, numbered from 0."""

    async def numbered() -> AsyncIterator[list[tuple[int, NewPet | Pet]]]:
        for start in range(0, len(pets), 2):
            yield list(enumerate(pets[start : start + 2], start))

    return await repository.load(numbered(), skip_taken=skip_taken)


@pytest.mark.anyio
class PetRepositoryContract:
    """A subclass's module has a fixture `repository`: an empty one."""

    async def test_a_new_store_is_empty(self, repository: PetRepository) -> None:
        page = await repository.page(PetQuery(limit=20))
        assert (page.count, list(page.items)) == (0, [])

    async def test_an_added_pet_gets_an_id_and_keeps_the_rest(self, repository: PetRepository) -> None:
        new = NewPet(name="boy", age=7, type=PetType.DOG)
        (pet,) = await repository.add([new])
        assert pet == new.with_id(pet.id)
        assert list((await repository.page(PetQuery(limit=1))).items) == [pet]

    async def test_every_value_a_pet_can_have_comes_back_as_it_was(self, repository: PetRepository) -> None:
        pets = await repository.add(
            [NewPetFactory.build(age=age, type=kind) for age in (0, 100) for kind in PetType] + new_pets(20)
        )
        assert list((await repository.page(PetQuery(limit=100))).items) == list(pets)

    async def test_ids_ascend_in_the_order_given(self, repository: PetRepository) -> None:
        new = new_pets(MANY)
        pets = await repository.add(new)
        assert [pet.id for pet in pets] == sorted({pet.id for pet in pets})
        assert [pet.name for pet in pets] == [pet.name for pet in new]

    async def test_adding_nothing_adds_nothing(self, repository: PetRepository) -> None:
        assert list(await repository.add([])) == []
        assert (await repository.page(PetQuery(limit=1))).count == 0

    async def test_more_pets_can_be_added_at_once_than_a_statement_has_parameters(
        self, repository: PetRepository
    ) -> None:
        pets = await repository.add(new_pets(40_000))
        assert len({pet.id for pet in pets}) == 40_000
        assert (await repository.page(PetQuery(limit=0))).count == 40_000

    @pytest.mark.parametrize("limit", [0, 1, 2, 3, 1000])
    async def test_a_page_has_the_first_pets_by_id_and_the_count_of_all(
        self, repository: PetRepository, limit: int
    ) -> None:
        pets = list(await repository.add(new_pets(3)))
        page = await repository.page(PetQuery(limit=limit))
        assert list(page.items) == pets[:limit]
        assert page.count == 3

    async def test_removing_tells_which_pets_were_there(self, repository: PetRepository) -> None:
        first, second, third = await repository.add(new_pets(3))
        assert await repository.remove({first.id, third.id, third.id + 1}) == {first.id, third.id}
        assert list((await repository.page(PetQuery(limit=3))).items) == [second]

    async def test_a_removed_pet_cannot_be_removed_again(self, repository: PetRepository) -> None:
        (pet,) = await repository.add(new_pets(1))
        assert await repository.remove([pet.id]) == {pet.id}
        assert await repository.remove([pet.id]) == set()

    async def test_an_id_may_be_named_twice(self, repository: PetRepository) -> None:
        (pet,) = await repository.add(new_pets(1))
        assert await repository.remove([pet.id, pet.id]) == {pet.id}

    async def test_removing_nothing_removes_nothing(self, repository: PetRepository) -> None:
        await repository.add(new_pets(1))
        assert await repository.remove([]) == set()
        assert (await repository.page(PetQuery(limit=1))).count == 1

    @pytest.mark.parametrize("impossible", [0, -1, MAX_ID, MAX_ID + 1, -MAX_ID - 2, 2**64, 10**100])
    async def test_what_cannot_be_an_id_is_not_there(self, repository: PetRepository, impossible: int) -> None:
        (pet,) = await repository.add(new_pets(1))
        assert await repository.remove([impossible, pet.id]) == {pet.id}

    async def test_ten_thousand_ids_can_be_removed_at_once(self, repository: PetRepository) -> None:
        ids = [pet.id for pet in await repository.add(new_pets(100))]
        assert await repository.remove(range(ids[0], ids[0] + 10_000)) == set(ids)

    async def test_an_id_is_never_given_again(self, repository: PetRepository) -> None:
        *_, newest = await repository.add(new_pets(2))
        await repository.remove([newest.id])
        (next_,) = await repository.add(new_pets(1))
        assert next_.id > newest.id

    async def test_of_concurrent_removals_of_a_pet_exactly_one_is_told_that_it_was_there(
        self, repository: PetRepository
    ) -> None:
        ids = [pet.id for pet in await repository.add(new_pets(20))]
        removed = await gather(*(repository.remove(ids if n % 2 else ids[::-1]) for n in range(MANY)))
        assert sorted(id_ for ids_ in removed for id_ in ids_) == ids
        assert (await repository.page(PetQuery(limit=1))).count == 0

    async def test_concurrent_calls_lose_nothing(self, repository: PetRepository) -> None:
        """Many tasks add, list and remove at once: no id twice, no pet lost, every count of one moment."""

        async def live() -> tuple[list[int], set[int]]:
            added = [pet.id for size in (1, 2, 3) for pet in await repository.add(new_pets(size))]
            page = await repository.page(PetQuery(limit=1000))
            assert page.count == len(page.items)
            assert set(added) <= {pet.id for pet in page.items}
            gone = await repository.remove(added[::2])
            assert gone == set(added[::2])
            return added, gone

        lives = await gather(*(live() for _ in range(MANY)))
        added = [id_ for ids, _ in lives for id_ in ids]
        gone = {id_ for _, ids in lives for id_ in ids}
        assert len(set(added)) == len(added) == 6 * MANY
        page = await repository.page(PetQuery(limit=1000))
        assert {pet.id for pet in page.items} == set(added) - gone
        assert page.count == len(page.items)

    async def test_a_store_that_is_ready_says_so(self, repository: PetRepository) -> None:
        await repository.check()

    async def test_an_export_has_all_pets_of_a_query_whatever_its_limit(self, repository: PetRepository) -> None:
        pets = await repository.add(new_pets(2500))
        assert await exported(repository, PetQuery(limit=1)) == list(pets)
        cats = PetQuery(type=PetType.CAT, age_min=20, age_max=80, name="O'M", sort=PetSort.AGE, descending=True)
        assert await exported(repository, cats) == sorted(
            filter(cats.matches, pets), key=lambda pet: (pet.age, pet.id), reverse=True
        )

    async def test_an_export_has_the_pets_of_one_moment(self, repository: PetRepository) -> None:
        pets = list(await repository.add(new_pets(2500)))
        async with aclosing(repository.export(PetQuery())) as export:
            found = list(await anext(export))
            await repository.remove([pet.id for pet in pets[1::2]])
            await repository.add(new_pets(3))
            assert [*found, *[pet async for some in export for pet in some]] == pets

    async def test_loaded_pets_get_ids_that_ascend_in_the_order_given(self, repository: PetRepository) -> None:
        (pet,) = await repository.add(new_pets(1))
        new = new_pets(2500)
        assert list(await load(repository, *new)) == []
        loaded = (await exported(repository))[1:]
        assert loaded == [given.with_id(kept.id) for given, kept in zip(new, loaded, strict=True)]
        assert loaded[0].id > pet.id

    async def test_a_loaded_pet_that_has_an_id_keeps_it_and_no_id_up_to_it_is_given_again(
        self, repository: PetRepository
    ) -> None:
        (pet,) = await repository.add(new_pets(1))
        loaded = [new.with_id(pet.id + number) for new, number in zip(new_pets(3), (500, 7, 20), strict=True)]
        assert list(await load(repository, *loaded)) == []
        assert await exported(repository) == [pet, *sorted(loaded, key=lambda pet: pet.id)]
        (next_,) = await repository.add(new_pets(1))
        assert next_.id > pet.id + 500

    async def test_loading_low_ids_does_not_have_higher_ones_given_again(self, repository: PetRepository) -> None:
        first, last = await repository.add(new_pets(2))
        await repository.remove([first.id, last.id])
        await load(repository, first)
        (next_,) = await repository.add(new_pets(1))
        assert next_.id > last.id

    @pytest.mark.parametrize("skip_taken", [True, False])
    async def test_loading_refuses_ids_that_are_taken(self, repository: PetRepository, *, skip_taken: bool) -> None:
        (taken,) = await repository.add(new_pets(1))
        first, again, other = (
            new.with_id(taken.id + number) for new, number in zip(new_pets(3), (1, 1, 2), strict=True)
        )
        given = [first, again, new_pets(1)[0].with_id(taken.id), other]
        assert list(await load(repository, *given, skip_taken=skip_taken)) == [1, 2]
        assert await exported(repository) == ([taken, first, other] if skip_taken else [taken])

    async def test_loading_nothing_keeps_nothing(self, repository: PetRepository) -> None:
        assert list(await load(repository)) == []
        assert await exported(repository) == []

    async def test_when_the_pets_to_load_fail_none_is_kept(self, repository: PetRepository) -> None:
        async def failing() -> AsyncIterator[list[tuple[int, NewPet]]]:
            yield list(enumerate(new_pets(10)))
            raise LookupError

        with pytest.raises(LookupError):
            await repository.load(failing(), skip_taken=True)
        assert await exported(repository) == []
        await load(repository, *new_pets(1))

    async def test_when_a_load_is_cancelled_none_is_kept(self, repository: PetRepository) -> None:
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
