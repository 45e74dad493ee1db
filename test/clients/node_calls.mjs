// A store's application through node-postgres, or Drizzle on top of it: see test/t/044_calls.pl.
import pg from "pg";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";

const [person, library] = process.argv.slice(2);
const db = new pg.Client();
await db.connect();
const orm = drizzle(db);
const purposes = ["transactional"], evidence = JSON.stringify({ ip: "192.0.2.7" });
const { subscribe, send } = {
  pg: {
    subscribe: () => db.query("SELECT smsflow.subscribe($1, $2, evidence => $3)", [person, purposes, evidence]),
    send: (to, body, vars = "{}") => db.query("SELECT smsflow.send($1, $2, vars => $3) AS id", [to, body, vars]),
  },
  drizzle: {
    subscribe: () => orm.execute(sql`SELECT smsflow.subscribe(${person}, ${sql.param(purposes)}, evidence => ${evidence})`),
    send: (to, body, vars = "{}") => orm.execute(sql`SELECT smsflow.send(${to}, ${body}, vars => ${vars}) AS id`),
  },
}[library];

await subscribe();
await db.query("BEGIN");
await send(person, "rolled back");
await db.query("ROLLBACK");
const { rows: [{ id }] } = await send(person, "Order {{order}}", JSON.stringify({ order: "7" }));
console.log(id);
await send("12", "nobody").catch((error) => console.log((error.cause ?? error).code));
await db.end();
