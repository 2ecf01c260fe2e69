// Uses every operation by the types that openapi-typescript makes from the OpenAPI document.
// A document that gives a member a wrong type, or none, does not pass the compiler.

import createClient from "openapi-fetch";
import type { components, paths } from "./pets.js";

type Pet = components["schemas"]["Pet"];
type PetType = components["schemas"]["PetType"];

declare const process: { argv: string[] };

const api = createClient<paths, "application/json" | "application/problem+json">({ baseUrl: process.argv[2]! });

const check = (actual: unknown, expected: unknown): void => {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (is !== should) throw new Error(`${is} instead of ${should}`);
};
const present = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error("There is no value.");
  return value;
};

check((await api.GET("/health/live")).data?.status, "ok");
check((await api.GET("/health/ready")).data?.status, "ok");

const empty = present((await api.GET("/pets/stats")).data);
const mean: number | null = empty.mean_age;
check(mean, null);

const dog: PetType = "dog";
const create = { body: { name: "boy", age: 7, type: dog } };
const once = { params: { header: { "Idempotency-Key": "once" } } };
const boy = present((await api.POST("/pets/", { ...create, ...once })).data);
if (Array.isArray(boy)) throw new Error("One pet was sent.");
check((await api.POST("/pets/", { ...create, ...once })).data, boy);

const girl = { name: "girl", age: 3, type: "cat" } as const;
const others = present((await api.POST("/pets/", { body: [create.body, girl] })).data);
if (!Array.isArray(others)) throw new Error("An array was sent.");
const [second, third] = others as [Pet, Pet];
check([second.name, third.name], ["boy", "girl"]);

const tooOld = await api.POST("/pets/", { body: { ...girl, age: 101 } });
check(present(tooOld.error).errors?.map((fault) => fault.pointer), ["#/age"]);

const ids = [boy.id, second.id, third.id];
const page = await api.GET("/pets/", { params: { query: { type: dog, ids, sort: "-id" } } });
check(page.data?.items.map((pet) => pet.id), [second.id, boy.id]);
check(page.data?.count, 2);
const pageTag = present(page.response.headers.get("etag") ?? undefined);
const seen = { query: { type: dog, ids, sort: "-id" as const }, header: { "If-None-Match": pageTag } };
check((await api.GET("/pets/", { params: seen })).response.status, 304);

const stats = present((await api.GET("/pets/stats", { params: { query: { age_min: 3 } } })).data);
const dogs: number = stats.by_type.dog;
check([dogs, stats.by_type.cat, stats.mean_age], [2, 1, 5.67]);
check(stats.by_age, [{ age: 3, count: 1 }, { age: 7, count: 2 }]);

const path = { pet_id: boy.id };
const got = await api.GET("/pets/{pet_id}", { params: { path } });
check(got.data, boy);
const header = { "If-Match": present(got.response.headers.get("etag") ?? undefined) };
const changed = await api.PATCH("/pets/{pet_id}", { params: { path, header }, body: { age: 8 } });
check([changed.data?.name, changed.data?.age], ["boy", 8]);
const refused = await api.PATCH("/pets/{pet_id}", { params: { path, header }, body: { age: 9 } });
check(refused.error?.status, 412);
const replaced = await api.PUT("/pets/{pet_id}", { params: { path }, body: { ...girl, name: "max" } });
check([replaced.data?.name, replaced.data?.type], ["max", "cat"]);

check((await api.DELETE("/pets/{pet_id}", { params: { path } })).response.status, 204);
const missing = await api.GET("/pets/{pet_id}", { params: { path } });
check(missing.error?.type, "/problems/pet-not-found");
const deleted = await api.DELETE("/pets/", { body: { ids: [boy.id, second.id] } });
check([deleted.data?.deleted, deleted.data?.errors.map((error) => error.id)], [1, [boy.id]]);
const byQuery = await api.DELETE("/pets/", { params: { query: { ids: [third.id] } } });
check(byQuery.data?.deleted, 1);
