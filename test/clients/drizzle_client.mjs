// Reads every view by the schema that drizzle-kit wrote of them (schema.mjs beside this file): what has a type that it does not
// know calls a function which is not there.
import pg from "pg";
import { getViewName, getViewSelectedFields, is } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { PgView } from "drizzle-orm/pg-core";
import * as schema from "./schema.mjs";

const db = new pg.Client();
await db.connect();
for (const view of Object.values(schema).filter((object) => is(object, PgView))) {
  await drizzle(db).select().from(view).limit(5);
  for (const column of Object.values(getViewSelectedFields(view))) {
    console.log(getViewName(view), column.name, "known");
  }
}
await db.end();
