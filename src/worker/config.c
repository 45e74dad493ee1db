/*
 * config.c - gateways, senders and queues as the worker knows them. A reload
 * replaces what the tables say and keeps what only the worker knows: tokens,
 * pauses, cursors, messages in hand.
 */
#include "worker/worker.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "gateway/secret.h"
#include "message/spi.h"
#include "types/types.h"

/* Counts readings of the tables: what the last one has not met is there no more. */
static uint32 reading = 0;

/* ---- reading columns ---- */

static char *
get_text(uint64 row, int column)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value ? MemoryContextStrdup(worker.config, value) : NULL;
}

static text *
get_pattern(uint64 row, int column)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
	MemoryContext old = MemoryContextSwitchTo(worker.config);
	text *pattern = value ? cstring_to_text(value) : NULL;

	MemoryContextSwitchTo(old);
	return pattern;
}

static Jsonb *
get_json(uint64 row, int column)
{
	bool isnull;
	Datum value = smsflow_spi_value(row, column, &isnull);
	MemoryContext old = MemoryContextSwitchTo(worker.config);
	Jsonb *json = isnull ? NULL : DatumGetJsonbPCopy(value);

	MemoryContextSwitchTo(old);
	return json;
}

static int32
get_int(uint64 row, int column)
{
	bool isnull;
	Datum value = smsflow_spi_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

static bool
get_bool(uint64 row, int column)
{
	bool isnull;
	Datum value = smsflow_spi_value(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

static double
get_double(uint64 row, int column)
{
	bool isnull;

	return DatumGetFloat8(smsflow_spi_value(row, column, &isnull));
}

/* ---- gateways ---- */

static char *
batch_rule(Jsonb *rules, const char *key)
{
	const char *text;
	size_t length;

	if (rules == NULL || !smsflow_jsonb_text(rules, key, &text, &length))
		return NULL;
	return MemoryContextStrdup(worker.config, pnstrdup(text, length));
}

static void
read_batch(BatchRules *batch, Jsonb *rules, int most)
{
	char *same = batch_rule(rules, "same");
	char *only = batch_rule(rules, "only");

	*batch = (BatchRules){
		.most = most,
		.query = batch_rule(rules, "query"),
		.body = batch_rule(rules, "body"),
		.item = batch_rule(rules, "item"),
		.separator = batch_rule(rules, "separator"),
		.same_body = same && strcmp(same, "body") == 0,
		.marketing = only && strcmp(only, "marketing") == 0,
		.results = batch_rule(rules, "results"),
		.number = batch_rule(rules, "number"),
		.id_path = batch_rule(rules, "id"),
		.error_path = batch_rule(rules, "error"),
	};
}

static void
read_gateway(uint64 row)
{
	int32 id = get_int(row, 1);
	bool found;
	Gateway *gateway = hash_search(worker.gateways, &id, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) gateway + sizeof(id), 0, sizeof(*gateway) - sizeof(id));
		for (int lane = 0; lane < SMSFLOW_LANES; lane++)
			dlist_init(&gateway->crowded[lane]);
		gateway->limit = limit_for(LIMIT_GATEWAY, id);
	}
	gateway->read = reading;
	gateway->name = get_text(row, 2);
	gateway->base_url = get_text(row, 3);
	gateway->options = get_json(row, 4);
	limit_set_rate(gateway->limit, get_double(row, 5), get_int(row, 6));
	gateway->max_in_flight = get_int(row, 7);
	gateway->timeout_ms = (long) (get_double(row, 8) * 1000);
	gateway->method = get_text(row, 9);
	gateway->path = get_text(row, 10);
	gateway->query = get_text(row, 11);
	gateway->headers = get_json(row, 12);
	gateway->content_type = get_text(row, 13);
	gateway->body = get_text(row, 14);
	gateway->basic_auth = get_bool(row, 15);
	gateway->success_from = get_int(row, 16);
	gateway->success_to = get_int(row, 17);
	gateway->success_pattern = get_pattern(row, 18);
	gateway->id_path = get_text(row, 19);
	gateway->id_pattern = get_pattern(row, 20);
	gateway->error_path = get_text(row, 21);
	gateway->callback_query = get_text(row, 22);
	gateway->doubt_rule = smsflow_doubt_rule_from_name(get_text(row, 23));
	gateway->sigv4 = get_text(row, 24);
	gateway->shortest_validity = get_int(row, 25);
	gateway->longest_validity = get_int(row, 26);
	gateway->max_length = get_int(row, 27);
	gateway->media = get_json(row, 28);
	gateway->wait_pattern = get_pattern(row, 29);
	gateway->report_request = get_text(row, 30);
	gateway->found_by_id = get_bool(row, 31);
	gateway->error_pattern = get_pattern(row, 32);
	read_batch(&gateway->batch, get_json(row, 33), get_int(row, 34));
	gateway->limit->counts_messages = get_bool(row, 35);
	gateway->most_media = get_int(row, 36);
}

static void
read_gateways(void)
{
	static SPIPlanPtr plan = NULL;

	smsflow_spi_plan(&plan,
					 "SELECT g.gateway_id, g.name, g.base_url, g.options, g.rate, g.burst, g.max_in_flight, g.timeout,"
					 " p.method, p.path, p.query, p.headers, p.content_type, p.body, p.basic_auth,"
					 " lower(p.success_status), upper(p.success_status), p.success_pattern, p.id_path, p.id_pattern,"
					 " p.error_path, p.callback_query, COALESCE(g.options ->> 'in_doubt', p.in_doubt), p.sigv4,"
					 " lower(p.validity), COALESCE(upper(p.validity) - 1, 2147483647), p.max_length, p.media, p.wait_pattern,"
					 " p.callback ->> 'ask', p.report ->> 'key' = 'provider_id', p.error_pattern, p.batch,"
					 " COALESCE(LEAST((p.batch ->> 'most')::integer, (g.options ->> 'batch')::integer), 0), g.options ->> "
					 "'rate_unit' = 'message',"
					 " COALESCE((p.media ->> 'most')::integer, 10)"
					 " FROM smsflow.gateway g JOIN smsflow.gateway_profile p USING (profile) WHERE g.enabled",
					 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		read_gateway(row);
}

static void
read_rules(Gateway *gateway)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(gateway->gateway_id)};

	smsflow_spi_plan(&plan,
					 "SELECT e.code, e.class FROM smsflow.gateway g JOIN smsflow.error_code e USING (profile)"
					 " WHERE g.gateway_id = $1 ORDER BY length(e.code) DESC, e.code",
					 1, types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	gateway->rules = MemoryContextAlloc(worker.config, sizeof(ErrorRule) * (SPI_processed + 1));
	gateway->rule_count = (int) SPI_processed;
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		gateway->rules[row].code = get_text(row, 1);
		if (!smsflow_class_from_name(get_text(row, 2), &gateway->rules[row].class))
			gateway->rules[row].class = CLASS_UNKNOWN;
	}
}

/* Secrets are wiped before their memory is given back. */
static void
replace_secret(char **known, char *secret)
{
	char *kept = secret ? MemoryContextStrdup(worker.config, secret) : NULL;

	if (*known)
		explicit_bzero(*known, strlen(*known));
	*known = kept;
	if (secret == NULL)
		return;
	explicit_bzero(secret, strlen(secret));
	pfree(secret);
}

static void
complete_gateways(void)
{
	HASH_SEQ_STATUS scan;
	Gateway *gateway;

	hash_seq_init(&scan, worker.gateways);
	while ((gateway = hash_seq_search(&scan)) != NULL)
	{
		const char *problem;

		if (gateway->read != reading)
			continue;
		read_rules(gateway);
		replace_secret(&gateway->secret, smsflow_read_gateway_secret(gateway->name, &problem));
	}
}

static void
forget_gateways(void)
{
	HASH_SEQ_STATUS scan;
	Gateway *gateway;

	hash_seq_init(&scan, worker.gateways);
	while ((gateway = hash_seq_search(&scan)) != NULL)
	{
		gateway->present = gateway->read == reading;
		if (!gateway->present)
			replace_secret(&gateway->secret, NULL);
	}
}

/* ---- senders ---- */

static void
forget_senders(void)
{
	HASH_SEQ_STATUS scan;
	Sender *sender;

	hash_seq_init(&scan, worker.senders);
	while ((sender = hash_seq_search(&scan)) != NULL)
		sender->present = sender->read == reading && sender->gateway && sender->gateway->present;
}

static void
read_sender(uint64 row, bool changed)
{
	int32 id = get_int(row, 1);
	int32 gateway_id = get_int(row, 2);
	int32 registration_id = get_int(row, 9);
	bool found;
	Sender *sender = hash_search(worker.senders, &id, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) sender + sizeof(id), 0, sizeof(*sender) - sizeof(id));
		sender->limit = limit_for(LIMIT_SENDER, id);
	}
	sender->gateway = hash_search(worker.gateways, &gateway_id, HASH_FIND, NULL);
	sender->read = reading;
	sender->address = get_text(row, 3);
	sender->options = get_json(row, 4);
	limit_set_rate(sender->limit, get_double(row, 5), get_int(row, 6));
	limit_set_daily(sender->limit, get_int(row, 7), get_text(row, 8));
	sender->limit->warms_up = get_bool(row, 10);
	sender->limit->counts_messages = get_bool(row, 11);
	sender->registration = registration_id ? limit_for(LIMIT_REGISTRATION, registration_id) : NULL;

	/* What a person has mended is tried at once. */
	if (changed && sender->paused_for && strcmp(sender->paused_for, "throttled") != 0)
		smsflow_breaker_reset(&sender->breaker);
}

static void
read_senders(bool changed)
{
	static SPIPlanPtr plan = NULL;

	smsflow_spi_plan(&plan,
					 "SELECT s.sender_id, s.gateway_id, s.address, s.options, s.rate, s.burst,"
					 " LEAST(s.daily_limit, smsflow.warm_up_limit(s.warm_up, s.warm_up_from, s.reset_zone, now())), s.reset_zone,"
					 " r.registration_id, s.warm_up IS NOT NULL, s.options ->> 'rate_unit' = 'message'"
					 " FROM smsflow.sender s LEFT JOIN smsflow.registration r ON r.name = s.registration WHERE s.enabled",
					 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		read_sender(row, changed);
}

/* ---- registrations ---- */

static SendLimit *
read_limit(LimitScope scope, int32 id)
{
	SendLimit *limit = limit_for(scope, id);

	limit->read = reading;
	return limit;
}

/* Those of gateways and senders stay: whether they are there is known otherwise. */
static void
forget_limits(void)
{
	HASH_SEQ_STATUS scan;
	SendLimit *limit;

	hash_seq_init(&scan, worker.limits);
	while ((limit = hash_seq_search(&scan)) != NULL)
		limit->present = limit->key.scope <= LIMIT_SENDER || limit->read == reading;
}

static void
read_registration(uint64 row)
{
	SendLimit *limit = read_limit(LIMIT_REGISTRATION, get_int(row, 1));
	int32 parent_id = get_int(row, 2);
	int32 brand_id = get_int(row, 3);

	limit->parent = parent_id ? limit_for(LIMIT_REGISTRATION, parent_id) : NULL;
	limit_set_rate(limit, get_double(row, 4), get_int(row, 5));
	limit_set_daily(limit, get_int(row, 6), get_text(row, 7));
	if (brand_id)
		read_limit(LIMIT_BRAND, brand_id)->parent = limit;
}

static void
read_registrations(void)
{
	static SPIPlanPtr plan = NULL;

	smsflow_spi_plan(&plan,
					 "SELECT registration_id, parent_id, brand_id, COALESCE(parts_per_minute / 60, 0), burst, daily_limit, "
					 "reset_zone"
					 " FROM smsflow.registration",
					 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		read_registration(row);
}

/* ---- queues ---- */

Queue *
config_queue(int32 queue_id)
{
	return hash_search(worker.queues, &queue_id, HASH_FIND, NULL);
}

/* A paced campaign may send within a second what a second allows. */
static void
pace_campaign(Queue *queue, int32 campaign_id, double parts_per_minute)
{
	queue->campaign = NULL;
	if (parts_per_minute <= 0)
		return;
	queue->campaign = read_limit(LIMIT_CAMPAIGN, campaign_id);
	limit_set_rate(queue->campaign, parts_per_minute / 60, Max((int) (parts_per_minute / 60), 1));
}

static void
read_queue(uint64 row)
{
	int32 id = get_int(row, 1);
	int32 sender_id = get_int(row, 3);
	bool found;
	Queue *queue = hash_search(worker.queues, &id, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) queue + sizeof(id), 0, sizeof(*queue) - sizeof(id));
		dlist_init(&queue->jobs);
		queue->lane = (int16) get_int(row, 2);
		queue->timer_due = DT_NOBEGIN;
		queue->next_due = DT_NOBEGIN;
		queue->more = true;
		dlist_push_tail(&worker.lanes[queue->lane], &queue->in_lane);
		schedule_wake(queue);
	}
	queue->sender = sender_id ? hash_search(worker.senders, &sender_id, HASH_FIND, NULL) : NULL;
	queue->stopped = get_bool(row, 4) || (sender_id != 0 && queue->sender == NULL);
	queue->weight = (int16) get_int(row, 5);
	queue->brand_id = get_int(row, 6);
	pace_campaign(queue, get_int(row, 7), get_double(row, 8));
	queue->traced = get_bool(row, 9);
}

/* Ours alone: whoever reads a queue here is the only one who ever claims from it. */
static void
read_queues(void)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, INT4OID};
	Datum values[] = {Int32GetDatum(smsflow_workers), Int32GetDatum(worker.slot->number)};

	smsflow_spi_plan(&plan,
					 "SELECT q.queue_id, q.lane::integer, q.sender_id, COALESCE(k.status = 'paused', false),"
					 " COALESCE((k.options ->> 'weight')::integer, 1), k.brand_id, k.campaign_id,"
					 " COALESCE((k.options ->> 'parts_per_minute')::float8, 0), q.source = 'test'"
					 " FROM smsflow.queue q LEFT JOIN smsflow.campaign k"
					 "  ON q.source = 'campaign:' || k.campaign_id"
					 " WHERE q.queue_id <> 0 AND q.shard % $1 = $2 ORDER BY q.queue_id",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		read_queue(row);
}

bool
config_is_armed(void)
{
	bool isnull;

	if (SPI_execute("SELECT smsflow.is_armed()", true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		return false;
	return DatumGetBool(smsflow_spi_value(0, 1, &isnull)) && !isnull;
}

static void
read_promotion(void)
{
	int64 held;

	if (SPI_execute("SELECT held_until, last_message_id FROM smsflow.promotion()", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the promotion");
	held = column_time(0, 1, DT_NOBEGIN) == DT_NOBEGIN ? 0 : column_time(0, 1, 0) - worker.clock->now();
	worker.marketing_opens = held > 0 ? worker.clock->monotonic() + held : 0;
	worker.promoted_id = column_id(0, 2);
}

/* An answer is read by the rules of its gateway, even when that was disabled meanwhile. */
static bool
answers_awaited(void)
{
	HASH_SEQ_STATUS scan;
	Gateway *gateway;
	bool awaited = false;

	hash_seq_init(&scan, worker.gateways);
	while ((gateway = hash_seq_search(&scan)) != NULL)
		awaited |= !gateway->present && gateway->in_flight > 0;
	return awaited;
}

/* What the tables have. */
static void
read_all(bool changed)
{
	read_gateways();
	complete_gateways();
	read_senders(changed);
	read_registrations();
	read_queues();
	limits_read();
	replace_secret(&worker.callback_key, smsflow_callback_key());
	worker.armed = config_is_armed();
	read_promotion();
}

/* Whoever keeps one of these tables locked does so for a while: it is found out before a reading has begun. */
static void
lock_tables(void)
{
	static const char tables[] =
		"LOCK TABLE smsflow.gateway, smsflow.gateway_profile, smsflow.error_code, smsflow.secret, smsflow.sender, "
		"smsflow.warm_up,"
		" smsflow.registration, smsflow.queue, smsflow.campaign, smsflow.quota, smsflow.arming, smsflow.worker_start"
		" IN ACCESS SHARE MODE";

	if (SPI_execute(tables, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not lock the tables of the settings");
}

/*
 * This may fail half-way: so what was known before holds, and stays in memory,
 * until all of the new is there.
 */
void
config_load(bool changed)
{
	MemoryContext old = worker.config;

	lock_tables();
	worker.config = AllocSetContextCreate(worker.long_lived, "smsflow configuration", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSetParent(old, worker.config);
	reading++;
	read_all(changed);
	forget_gateways();
	forget_senders();
	forget_limits();
	lanes_recount();
	if (!answers_awaited())
		MemoryContextDeleteChildren(worker.config);
}

Sender *
config_sender(int32 sender_id)
{
	Sender *sender = hash_search(worker.senders, &sender_id, HASH_FIND, NULL);

	return sender && sender->present ? sender : NULL;
}

/* For messages that were asked for before any sender existed. */
bool
config_has_sender(void)
{
	HASH_SEQ_STATUS scan;
	Sender *sender;
	bool found = false;

	hash_seq_init(&scan, worker.senders);
	while ((sender = hash_seq_search(&scan)) != NULL)
		found |= sender->present;
	return found;
}
