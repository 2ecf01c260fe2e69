"""`fastapi`: FastAPI, pydantic and SQLAlchemy's ORM over asyncpg, as their documentation teaches. What most build."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Response
from pydantic import BaseModel, ConfigDict, Field, field_serializer
from sqlalchemy import (
    BigInteger,
    DateTime,
    SmallInteger,
    Text,
    column,
    delete,
    func,
    make_url,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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


class PetCreate(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    age: Annotated[int, Field(ge=0, le=100)]
    type: PetType


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
counts = table("pet_counts", column("count", BigInteger))


async def get_session() -> AsyncIterator[AsyncSession]:
    async with create_session() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]
app = FastAPI()


@app.get("/pets/", response_model=PetPage)
async def list_pets(session: Session, limit: Annotated[int, Query(ge=0, le=1000)] = 20) -> Any:  # Any: response_model
    count = await session.scalar(select(func.coalesce(func.sum(counts.c.count), 0)))
    pets = await session.scalars(select(Pet).order_by(Pet.id).limit(limit))
    return {"count": count, "items": pets.all()}


@app.post("/pets/", response_model=PetRead, status_code=201)
async def create_pet(data: PetCreate, session: Session, response: Response) -> Any:  # Any: response_model
    pet = Pet(**data.model_dump(), created_at=datetime.now(UTC).replace(microsecond=0))
    session.add(pet)
    await session.commit()  # which has fetched the id too, so there is nothing to refresh
    response.headers["Location"] = f"/pets/{pet.id}"
    return pet


@app.delete("/pets/")
async def delete_pets(data: PetsDelete, session: Session) -> PetsDeleted:
    deleted = await session.scalars(delete(Pet).where(Pet.id.in_(data.ids)).returning(Pet.id))
    found = set(deleted)
    await session.commit()
    return PetsDeleted(deleted=len(found), errors=[DeleteError(id=id_) for id_ in data.ids if id_ not in found])
