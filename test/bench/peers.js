/*
 * peers.js - other queues doing the same work at their best known settings:
 * N queued messages, each one POST to the gateway stand-in, each result
 * recorded. Prints messages per second.
 *
 *   node peers.js skip-locked|graphile|pg-boss CONNECTION URL COUNT
 */
'use strict';
const { Pool } = require('pg');
const { Agent, request } = require('undici');
const [, , peer, connection, url, countText] = process.argv;
const count = Number(countText);
const agent = new Agent({ connections: 64, pipelining: 1 });
const body = 'A flash sale of all blue shirts. '.repeat(3);

async function post(message) {
	const answer = await request(url, {
		dispatcher: agent, method: 'POST', headers: { 'content-type': 'application/json', authorization: 'Bearer secret' },
		body: JSON.stringify({ reference: 0, to: message.recipient, from: message.sender, text: message.body, ts: 0 }),
	});
	return { code: answer.statusCode, provider: (await answer.body.json()).id ?? null };
}

function report(began) {
	console.log(Math.round(count / (Number(process.hrtime.bigint() - began) / 1e9)));
}

/* Batches of 500 in 4 loops, taken with SKIP LOCKED; one UPDATE from unnest writes the results. */
async function skipLocked() {
	const pool = new Pool({ connectionString: connection, max: 4 });
	await pool.query(`DROP TABLE IF EXISTS jobs;
		CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, recipient text NOT NULL, sender text NOT NULL, body text NOT NULL,
			status text NOT NULL DEFAULT 'queued', code int, provider text, sent_at timestamptz);
		CREATE INDEX ON jobs (status, id) WHERE status = 'queued'`);
	await pool.query(`INSERT INTO jobs (recipient, sender, body) SELECT '+1415' || (2000000 + g), '+14155550100', $1 FROM generate_series(1, $2::int) g`, [body, count]);
	await pool.query('ANALYZE jobs');
	const began = process.hrtime.bigint();
	await Promise.all(Array.from({ length: 4 }, async () => {
		for (;;) {
			const { rows } = await pool.query(`UPDATE jobs SET status = 'sending' WHERE id IN
				(SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING id, recipient, sender, body`);
			if (rows.length === 0) return;
			const results = await Promise.all(rows.map(post));
			await pool.query(`UPDATE jobs j SET status = 'sent', code = r.code, provider = r.provider, sent_at = now()
				FROM unnest($1::bigint[], $2::int[], $3::text[]) AS r (id, code, provider) WHERE j.id = r.id`,
			[rows.map((r) => r.id), results.map((r) => r.code), results.map((r) => r.provider)]);
		}
	}));
	report(began);
	await pool.end();
}

async function graphile() {
	const { run, makeWorkerUtils } = require('graphile-worker');
	const pool = new Pool({ connectionString: connection, max: 10 });
	const utils = await makeWorkerUtils({ pgPool: pool });
	await utils.migrate();
	await pool.query(`SELECT graphile_worker.add_jobs((SELECT array_agg(ROW('sms', json_build_object('recipient', '+1415' || (2000000 + g),
		'sender', '+14155550100', 'body', $1::text), NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec) FROM generate_series(1, $2::int) g))`, [body, count]);
	let left = count;
	let done;
	const finished = new Promise((resolve) => { done = resolve; });
	const began = process.hrtime.bigint();
	const runner = await run({
		pgPool: pool, noHandleSignals: true,
		preset: { worker: { concurrentJobs: 200, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
		logger: new (require('graphile-worker').Logger)(() => () => {}),
		taskList: { sms: async (payload) => { await post(payload); if (--left === 0) done(); } },
	});
	await finished;
	report(began);
	await runner.stop();
	await pool.end();
}

async function pgBoss() {
	const boss = new (require('pg-boss'))({ connectionString: connection, max: 5 });
	boss.on('error', () => {});
	await boss.start();
	await boss.createQueue('sms');
	for (let i = 0; i < count; i += 5000)
		await boss.insert(Array.from({ length: Math.min(5000, count - i) }, (_, j) => ({ name: 'sms', data: { recipient: '+1415' + (2000000 + i + j), sender: '+14155550100', body } })));
	const began = process.hrtime.bigint();
	await Promise.all(Array.from({ length: 4 }, async () => {
		for (;;) {
			const jobs = await boss.fetch('sms', { batchSize: 1000 });
			if (!jobs || jobs.length === 0) return;
			await Promise.all(jobs.map((job) => post(job.data)));
			await boss.complete('sms', jobs.map((job) => job.id));
		}
	}));
	report(began);
	await boss.stop({ graceful: false });
}

({ 'skip-locked': skipLocked, graphile, 'pg-boss': pgBoss })[peer]().then(() => process.exit(0), (error) => { console.error(error.message); process.exit(1); });
