"""`fastapi`: FastAPI, pydantic and SQLAlchemy's ORM over asyncpg, as their documentation teaches.

What most people build.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import md5
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_serializer
from sqlalchemy import (
    BigInteger,
    DateTime,
    SmallInteger,
    Text,
    delete,
    make_url,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.servers.counts import count

PetType = Literal["dog", "cat"]


class Base(DeclarativeBase):
    pass


class Pet(Base):
    __tablename__ = "pets"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    age: Mapped[int] = mapped_column(SmallInteger)
    type: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class PetKey(Base):
    __tablename__ = "pet_keys"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(Text)
    age: Mapped[int] = mapped_column(SmallInteger)
    type: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class PetCreate(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    age: Annotated[int, Field(ge=0, le=100)]
    type: PetType


class PetUpdate(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    age: Annotated[int, Field(ge=0, le=100)] | None = None
    type: PetType | None = None


class PetRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    age: int
    type: PetType
    created_at: datetime

    @field_serializer("created_at")
    def without_offset(self, value: datetime) -> str:
        return value.isoformat()[:19]


class PetQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=0, le=1000)] = 20
    type: PetType | None = None
    age_min: Annotated[int, Field(ge=0, le=100)] | None = None
    age_max: Annotated[int, Field(ge=0, le=100)] | None = None
    sort: Literal["id", "name"] = "id"
    cursor: int | None = None


class PetPage(BaseModel):
    count: int
    items: list[PetRead]


class PetsDelete(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    ids: Annotated[list[int], Field(max_length=10_000)]


class DeleteError(BaseModel):
    id: int
    error: str = "Pet with the matching ID was not found."


class PetsDeleted(BaseModel):
    deleted: int
    errors: list[DeleteError]


url = make_url(os.environ["PETS_DATABASE_URL"]).set(drivername="postgresql+asyncpg")
engine = create_async_engine(url, pool_size=10, max_overflow=0)
create_session = async_sessionmaker(engine, expire_on_commit=False)


async def get_session() -> AsyncIterator[AsyncSession]:
    async with create_session() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]
Condition = Annotated[str | None, Header()]
app = FastAPI()

CONDITIONS = {"type": "type = :type", "age_min": "age >= :age_min", "age_max": "age <= :age_max"}


@app.get("/pets/", response_model=PetPage)
async def list_pets(
    query: Annotated[PetQuery, Query()], session: Session, request: Request, response: Response
) -> Any:  # Any: response_model
    filters = query.model_dump(include=set(CONDITIONS), exclude_none=True)
    total = await session.scalar(text(count(CONDITIONS[name] for name in filters)), filters)

    order = [Pet.id] if query.sort == "id" else [Pet.name.collate("C"), Pet.id]
    statement = select(Pet).order_by(*order).limit(query.limit + 1)
    if query.type is not None:
        statement = statement.where(Pet.type == query.type)
    if query.age_min is not None:
        statement = statement.where(Pet.age >= query.age_min)
    if query.age_max is not None:
        statement = statement.where(Pet.age <= query.age_max)
    if query.cursor is not None:
        if query.sort == "id":
            statement = statement.where(Pet.id > query.cursor)
        else:
            last = select(*order).where(Pet.id == query.cursor)
            statement = statement.where(tuple_(*order) > last.scalar_subquery())
    pets = list(await session.scalars(statement))

    first = request.url.remove_query_params("cursor")
    response.headers["Link"] = f'<{first.path}?{first.query}>; rel="first"'
    if len(pets) > query.limit > 0:
        following = first.include_query_params(cursor=pets[query.limit - 1].id)
        response.headers["Link"] += f', <{following.path}?{following.query}>; rel="next"'
    return {"count": total, "items": pets[: query.limit]}


@app.get("/pets/{pet_id}", response_model=PetRead)
async def get_pet(pet_id: int, session: Session, response: Response) -> Any:  # Any: response_model
    pet = await session.get(Pet, pet_id)
    if pet is None:
        raise HTTPException(404)
    response.headers["ETag"] = entity_tag(pet)
    return pet


@app.post("/pets/", response_model=PetRead, status_code=201)
async def create_pet(
    data: PetCreate, session: Session, response: Response, idempotency_key: Condition = None
) -> Any:  # Any: response_model
    pet: Pet | PetKey | None = None
    if idempotency_key is not None:
        pet = await session.get(PetKey, idempotency_key)
    if pet is None:
        pet = Pet(**data.model_dump(), created_at=datetime.now(UTC).replace(microsecond=0))
        session.add(pet)
        await session.flush()  # which fetches the id too, so there is nothing to refresh
        if idempotency_key is not None:
            values = {"id": pet.id, "created_at": pet.created_at, **data.model_dump()}
            session.add(PetKey(key=idempotency_key, **values))
        await session.commit()
    response.headers["Location"] = f"/pets/{pet.id}"
    return pet


@app.patch("/pets/{pet_id}", response_model=PetRead)
async def update_pet(
    pet_id: int, data: PetUpdate, session: Session, response: Response, if_match: Condition = None
) -> Any:  # Any: response_model
    pet = await session.get(Pet, pet_id, with_for_update=True)
    if pet is None:
        raise HTTPException(404)
    if if_match not in {None, entity_tag(pet)}:
        raise HTTPException(412)
    for name, value in data.model_dump(exclude_unset=True).items():
        setattr(pet, name, value)
    await session.commit()
    response.headers["ETag"] = entity_tag(pet)
    return pet


@app.delete("/pets/")
async def delete_pets(data: PetsDelete, session: Session) -> PetsDeleted:
    deleted = await session.scalars(delete(Pet).where(Pet.id.in_(data.ids)).returning(Pet.id))
    found = set(deleted)
    await session.commit()
    errors = [DeleteError(id=id_) for id_ in data.ids if id_ not in found]
    return PetsDeleted(deleted=len(found), errors=errors)


def entity_tag(pet: Pet) -> str:
    state = repr((pet.name, pet.age, pet.type, pet.created_at))
    return f'"{md5(state.encode(), usedforsecurity=False).hexdigest()}"'
