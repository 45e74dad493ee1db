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

static void
set_limit(SmsflowLimiter *limiter, bool *set, double rate, int burst)
{
	int64 now = worker.clock->monotonic();

	if (*set)
		smsflow_limiter_set(limiter, rate, burst, now);
	else
		smsflow_limiter_init(limiter, rate, burst, now);
	*set = true;
}

/* ---- gateways ---- */

static void
read_gateway(uint64 row)
{
	int32 id = get_int(row, 1);
	bool found;
	Gateway *gateway = hash_search(worker.gateways, &id, HASH_ENTER, &found);

	if (!found)
		memset((char *) gateway + sizeof(id), 0, sizeof(*gateway) - sizeof(id));
	gateway->present = true;
	gateway->name = get_text(row, 2);
	gateway->base_url = get_text(row, 3);
	gateway->options = get_json(row, 4);
	set_limit(&gateway->limiter, &gateway->limiter_set, get_double(row, 5), get_int(row, 6));
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
	gateway->removes_repeats = get_bool(row, 23);
	gateway->sigv4 = get_text(row, 24);
	gateway->shortest_validity = get_int(row, 25);
	gateway->longest_validity = get_int(row, 26);
	gateway->max_length = get_int(row, 27);
	gateway->media = get_json(row, 28);
	gateway->wait_pattern = get_pattern(row, 29);
	gateway->report_request = get_text(row, 30);
	gateway->found_by_id = get_bool(row, 31);
	gateway->error_pattern = get_pattern(row, 32);
}

static void
read_gateways(void)
{
	static SPIPlanPtr plan = NULL;

	smsflow_spi_plan(&plan,
					 "SELECT g.gateway_id, g.name, g.base_url, g.options, g.rate, g.burst, g.max_in_flight, g.timeout,"
					 " p.method, p.path, p.query, p.headers, p.content_type, p.body, p.basic_auth,"
					 " lower(p.success_status), upper(p.success_status), p.success_pattern, p.id_path, p.id_pattern,"
					 " p.error_path, p.callback_query, p.in_doubt = 'resend', p.sigv4,"
					 " lower(p.validity), COALESCE(upper(p.validity) - 1, 2147483647), p.max_length, p.media, p.wait_pattern,"
					 " p.callback ->> 'ask', p.report ->> 'key' = 'provider_id', p.error_pattern"
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

static void
read_secret(Gateway *gateway)
{
	const char *problem;
	char *secret = smsflow_read_secret(gateway->name, &problem);

	gateway->secret = NULL;
	if (secret == NULL)
		return;
	gateway->secret = MemoryContextStrdup(worker.config, secret);
	explicit_bzero(secret, strlen(secret));
	pfree(secret);
}

/* Secrets are wiped before their memory is given back. */
static void
forget_gateways(void)
{
	HASH_SEQ_STATUS scan;
	Gateway *gateway;

	hash_seq_init(&scan, worker.gateways);
	while ((gateway = hash_seq_search(&scan)) != NULL)
	{
		if (gateway->secret)
			explicit_bzero(gateway->secret, strlen(gateway->secret));
		gateway->secret = NULL;
		gateway->present = false;
	}
}

static void
complete_gateways(void)
{
	HASH_SEQ_STATUS scan;
	Gateway *gateway;

	hash_seq_init(&scan, worker.gateways);
	while ((gateway = hash_seq_search(&scan)) != NULL)
		if (gateway->present)
		{
			read_rules(gateway);
			read_secret(gateway);
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
		sender->present = false;
}

static void
read_sender(uint64 row, bool changed)
{
	int32 id = get_int(row, 1);
	int32 gateway_id = get_int(row, 2);
	bool found;
	Sender *sender = hash_search(worker.senders, &id, HASH_ENTER, &found);

	if (!found)
		memset((char *) sender + sizeof(id), 0, sizeof(*sender) - sizeof(id));
	sender->gateway = hash_search(worker.gateways, &gateway_id, HASH_FIND, NULL);
	sender->present = sender->gateway != NULL && sender->gateway->present;
	sender->address = get_text(row, 3);
	sender->options = get_json(row, 4);
	set_limit(&sender->limiter, &sender->limiter_set, get_double(row, 5), get_int(row, 6));
	sender->daily_limit = get_int(row, 7);
	if (sender->misconfigured && changed)
	{
		sender->paused_until = 0;
		sender->misconfigured = false;
	}
	if (!found)
	{
		bool isnull;

		sender->day = worker.clock->now() / USECS_PER_DAY;
		sender->sent_today = DatumGetInt64(smsflow_spi_value(row, 8, &isnull));
	}
}

/* What was sent today survives a restart: it is counted from the metrics. */
static void
read_senders(bool changed)
{
	static SPIPlanPtr plan = NULL;

	smsflow_spi_plan(&plan,
					 "SELECT s.sender_id, s.gateway_id, s.address, s.options, s.rate, s.burst, s.daily_limit,"
					 " COALESCE((SELECT sum(m.value) FROM (SELECT sender_id, bucket, measure, value FROM smsflow.metric_hour"
					 "   UNION ALL SELECT sender_id, bucket, measure, value FROM smsflow.metric_delta) m"
					 "  WHERE s.daily_limit IS NOT NULL AND m.sender_id = s.sender_id AND m.measure = 'sent_parts'"
					 "  AND m.bucket >= date_trunc('day', now(), 'UTC')), 0)::bigint"
					 " FROM smsflow.sender s WHERE s.enabled",
					 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		read_sender(row, changed);
}

/* ---- queues ---- */

Queue *
config_queue(int32 queue_id)
{
	return hash_search(worker.queues, &queue_id, HASH_FIND, NULL);
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
	}
	queue->sender = sender_id ? hash_search(worker.senders, &sender_id, HASH_FIND, NULL) : NULL;
	queue->stopped = get_bool(row, 4) || (sender_id != 0 && queue->sender == NULL);
}

static void
read_queues(void)
{
	static SPIPlanPtr plan = NULL;

	smsflow_spi_plan(&plan,
					 "SELECT q.queue_id, q.lane::integer, q.sender_id, COALESCE(k.status = 'paused', false)"
					 " FROM smsflow.queue q LEFT JOIN smsflow.campaign k"
					 "  ON q.source = 'campaign:' || k.campaign_id"
					 " WHERE q.queue_id <> 0 ORDER BY q.queue_id",
					 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		read_queue(row);
}

static bool
is_armed(void)
{
	bool isnull;

	if (SPI_execute("SELECT smsflow.is_armed()", true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		return false;
	return DatumGetBool(smsflow_spi_value(0, 1, &isnull)) && !isnull;
}

static void
read_callback_key(void)
{
	char *key = smsflow_callback_key();

	worker.callback_key = key ? MemoryContextStrdup(worker.config, key) : NULL;
	if (key == NULL)
		return;
	explicit_bzero(key, strlen(key));
	pfree(key);
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

/*
 * What was read before stays in memory until all of the new is there: this may
 * fail half-way.
 */
void
config_load(bool changed)
{
	MemoryContext old = worker.config;

	worker.config = AllocSetContextCreate(worker.long_lived, "smsflow configuration", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSetParent(old, worker.config);
	forget_gateways();
	forget_senders();
	if (worker.callback_key)
		explicit_bzero(worker.callback_key, strlen(worker.callback_key));
	read_gateways();
	complete_gateways();
	read_senders(changed);
	read_queues();
	read_callback_key();
	worker.armed = is_armed();
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
