// Reads every view through node-postgres: a type without a name in its table of built-in types is unknown to it.
const { Client, types } = require('pg');

async function main() {
  const names = new Set(Object.values(types.builtins));
  const db = new Client({ host: process.env.PGHOST, port: process.env.PGPORT, user: process.env.PGUSER, database: process.env.PGDATABASE });
  await db.connect();
  const views = await db.query("SELECT viewname FROM pg_views WHERE schemaname = 'smsflow_bi' ORDER BY 1");
  for (const { viewname } of views.rows) {
    const result = await db.query(`SELECT * FROM smsflow_bi."${viewname}" LIMIT 5`);
    for (const field of result.fields) {
      console.log(viewname, field.name, names.has(field.dataTypeID) ? 'known' : `unknown type ${field.dataTypeID}`);
    }
  }
  await db.end();
}
main().catch((error) => { console.error(error); process.exit(1); });
