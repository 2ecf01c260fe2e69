/*
 * A data provider of react-admin (version 4 or 5) for pets. It needs nothing but `fetch`.
 *
 *   import { petsDataProvider } from "./dataProvider.js";
 *   const dataProvider = petsDataProvider("http://127.0.0.1:3000");
 *   <Admin dataProvider={dataProvider}><Resource name="pets" … /></Admin>
 *
 * - Filters are the parameters of the API, such as `type` and `age_min`. `q` searches names.
 *   Lists are sorted by id, name, age or created_at, so a column `type` needs `sortable={false}`.
 * - The API has cursors instead of page numbers. The next page, and each page that was shown
 *   already, takes one request. A jump further ahead takes one more for each 1,000 pets between.
 * - A pet that somebody else has changed since it was read is not overwritten. The error has
 *   status 412. Deleting does not ask for that.
 * - `created_at` gets a `Z`, because JavaScript takes a time without an offset for local time.
 */

const WRITTEN = ["name", "age", "type"];
const MAX_LIMIT = 1000;
const IDS_IN_URL = 200; // So that proxies take the URL.
const MAX_REMEMBERED = 100;

/** `headers` are sent with each request, for example `{ authorization: "Bearer …" }`. */
export const petsDataProvider = (api, headers = {}) => {
  // For each query, its cursors by the number of pets that come before them.
  const cursors = new Map();

  const send = async (path, method = "GET", body, more = {}) => {
    const answer = await fetch(`${api}${path}`, {
      method,
      headers: { ...headers, ...(body && { "content-type": "application/json" }), ...more },
      body: body && JSON.stringify(body),
    });
    if (method !== "GET") cursors.clear(); // Other pets may be on each page now.
    const json = await answer.json().catch(() => undefined); // 204 has no body.
    if (!answer.ok) throw failure(answer.status, json);
    return { json, headers: answer.headers };
  };

  const getOne = async (resource, { id }) => {
    const { json } = await send(`/${resource}/${encodeURIComponent(id)}`);
    return { data: toRecord(json) };
  };

  const getList = async (resource, { pagination, sort, filter }) => {
    const { page, perPage } = pagination ?? { page: 1, perPage: 25 };
    const path = `/${resource}/?${toQuery(sort, filter)}`;
    if (cursors.size > MAX_REMEMBERED) cursors.clear();
    const known = cursors.get(path) ?? new Map([[0, ""]]);
    cursors.set(path, known);

    const start = (page - 1) * perPage;
    let at = Math.max(...[...known.keys()].filter((position) => position <= start));
    const data = [];
    for (;;) {
      const limit = Math.min(MAX_LIMIT, at < start ? start - at : start + perPage - at);
      const { json, headers } = await send(`${path}limit=${limit}${known.get(at)}`);
      if (at >= start) data.push(...json.items.map(toRecord));
      at += json.items.length;
      const next = headers.get("link")?.match(/[?&](cursor=[^&>]*)[^>]*>; rel="next"/);
      if (next) known.set(at, `&${next[1]}`);
      if (!next || at >= start + perPage) return { data, total: json.count };
    }
  };

  const update = async (resource, { id, data, previousData }) => {
    const path = `/${resource}/${encodeURIComponent(id)}`;
    const { json, headers } = await send(path);
    const isOther = (member) => member in previousData && previousData[member] !== json[member];
    if (previousData && WRITTEN.some(isOther)) {
      throw failure(412, { detail: "The pet was changed meanwhile. Load it again." });
    }
    const tag = { "if-match": headers.get("etag") };
    const changed = await send(path, "PATCH", written(data), tag);
    return { data: toRecord(changed.json) };
  };

  return {
    getList,
    getOne,
    getMany: async (resource, { ids }) => {
      const data = [];
      for (let i = 0; i < ids.length; i += IDS_IN_URL) {
        const some = ids.slice(i, i + IDS_IN_URL);
        const query = toQuery(undefined, { ids: some });
        const { json } = await send(`/${resource}/?${query}limit=${some.length}`);
        data.push(...json.items.map(toRecord));
      }
      return { data };
    },
    getManyReference: (resource, { target, id, filter, ...rest }) =>
      getList(resource, { ...rest, filter: { ...filter, [target]: id } }),
    create: async (resource, { data }) => {
      const { json } = await send(`/${resource}/`, "POST", written(data));
      return { data: toRecord(json) };
    },
    update,
    updateMany: async (resource, { ids, data }) => {
      for (const id of ids) {
        await send(`/${resource}/${encodeURIComponent(id)}`, "PATCH", written(data));
      }
      return { data: ids };
    },
    delete: async (resource, { id, previousData }) => {
      await send(`/${resource}/${encodeURIComponent(id)}`, "DELETE");
      return { data: previousData ?? { id } };
    },
    deleteMany: async (resource, { ids }) => {
      const { json } = await send(`/${resource}/`, "DELETE", { ids: ids.map(Number) });
      const notFound = new Set(json.errors.map((error) => error.id));
      return { data: ids.filter((id) => !notFound.has(Number(id))) };
    },
  };
};

const toRecord = (pet) => ({ ...pet, created_at: `${pet.created_at}Z` });

/** The service refuses unknown members, such as the id and `created_at` of a record. */
const written = (data) =>
  Object.fromEntries(Object.entries(data).filter(([member]) => WRITTEN.includes(member)));

/** The parameters of a list, each with an `&` behind it. */
const toQuery = (sort, filter = {}) => {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(filter)) {
    for (const each of [value ?? ""].flat()) {
      if (each !== "") query.append(key === "q" ? "name" : key, each);
    }
  }
  if (sort) query.append("sort", sort.order === "DESC" ? `-${sort.field}` : sort.field);
  return [...query].length ? `${query}&` : "";
};

/** What react-admin expects: it shows `message`, and `body.errors` beside the inputs of a form. */
const failure = (status, problem) => {
  const errors = {};
  for (const { pointer, detail } of problem?.errors ?? []) {
    if (pointer) errors[pointer.replace("#/", "")] = detail;
  }
  const message = problem?.detail ?? `The service answered with status ${status}.`;
  return Object.assign(new Error(message), { status, body: { ...problem, errors } });
};
