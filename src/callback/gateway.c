/*
 * gateway.c - see gateway.h. One query reads all gateways, as a call may bring
 * callbacks of several; what a profile says is taken apart for those that are
 * really called.
 */
#include "callback/gateway.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "gateway/secret.h"
#include "message/spi.h"
#include "types/types.h"

CallbackGateways
smsflow_callback_gateways(void)
{
	static SPIPlanPtr plan = NULL;
	CallbackGateways gateways;

	smsflow_spi_plan(&plan,
					 "SELECT g.gateway_id, g.name, p.report, p.inbound, p.callback,"
					 " p.signature || CASE jsonb_typeof(g.options -> 'signature') WHEN 'object' THEN g.options -> 'signature' "
					 "ELSE '{}' END"
					 " FROM smsflow.gateway g JOIN smsflow.gateway_profile p USING (profile)",
					 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	gateways.count = (int) SPI_processed;
	gateways.gateway = palloc0(Max(SPI_processed, 1) * sizeof(CallbackGateway));
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		CallbackGateway *gateway = &gateways.gateway[row];
		bool isnull;

		gateway->id = DatumGetInt32(smsflow_spi_value(row, 1, &isnull));
		gateway->name = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 2);
		gateway->report = DatumGetJsonbPCopy(smsflow_spi_value(row, 3, &isnull));
		gateway->inbound = DatumGetJsonbPCopy(smsflow_spi_value(row, 4, &isnull));
		gateway->callback = DatumGetJsonbPCopy(smsflow_spi_value(row, 5, &isnull));
		gateway->signature = DatumGetJsonbPCopy(smsflow_spi_value(row, 6, &isnull));
	}
	return gateways;
}

/* What a profile says under a key, an empty text included. */
static const char *
rule(Jsonb *rules, const char *key)
{
	const char *text;
	size_t length;

	return smsflow_jsonb_text(rules, key, &text, &length) ? pnstrdup(text, length) : NULL;
}

static void
read_reply_paths(CallbackGateway *gateway)
{
	const char *percent = rule(gateway->inbound, "percent");

	gateway->reply = (ReplyPaths){
		.from = rule(gateway->inbound, "from"),
		.to = rule(gateway->inbound, "to"),
		.body = rule(gateway->inbound, "body"),
		.id = rule(gateway->inbound, "id"),
		.charset = rule(gateway->inbound, "charset"),
		.binary = rule(gateway->inbound, "binary"),
		.part_ref = rule(gateway->inbound, "part_ref"),
		.part_total = rule(gateway->inbound, "part_total"),
		.part_number = rule(gateway->inbound, "part_number"),
		.percent = percent && strcmp(percent, "true") == 0,
	};
	gateway->reply_when = smsflow_jsonb_at(gateway->inbound, "when");
}

/* Each line of the secret is a key: while they are changed, two are valid. A certificate has lines of its own. */
static char **
split_keys(char *secret)
{
	int most = 2;
	int count = 0;
	char **keys;

	for (const char *c = secret; *c != '\0'; c++)
		most += *c == '\n';
	keys = palloc0(sizeof(char *) * most);
	if (strncmp(secret, "-----BEGIN", 10) == 0)
		keys[count++] = secret;
	else
		for (char *key = strtok(secret, "\r\n"); key; key = strtok(NULL, "\r\n"))
			keys[count++] = key;
	keys[count] = NULL;
	return keys;
}

/* Without such a secret the signed URL alone proves who calls. */
static void
read_keys(CallbackGateway *gateway)
{
	const char *problem;
	char *secret;

	if (!rule(gateway->signature, "kind"))
		return;
	secret = smsflow_read_secret(psprintf("%s_signature", gateway->name), &problem);
	if (secret)
		gateway->keys = split_keys(secret);
	else
		gateway->keys_fail = !smsflow_secret_is_missing(problem);
}

CallbackGateway *
smsflow_callback_gateway(CallbackGateways *gateways, const char *name)
{
	for (int i = 0; i < gateways->count; i++)
	{
		CallbackGateway *gateway = &gateways->gateway[i];

		if (strcmp(gateway->name, name) != 0)
			continue;
		if (gateway->ready)
			return gateway;
		read_reply_paths(gateway);
		gateway->rules = (SmsflowBodyRules){
			.text = {gateway->reply.body, gateway->reply.charset},
			.inner = rule(gateway->callback, "inner"),
			.list = rule(gateway->callback, "records"),
		};
		gateway->status_path = rule(gateway->report, "status");
		gateway->reference_path = rule(gateway->report, "reference");
		gateway->confirm_path = rule(gateway->callback, "confirm");
		gateway->answer = rule(gateway->callback, "answer");
		gateway->answer_type = rule(gateway->callback, "answer_type");
		read_keys(gateway);
		gateway->ready = true;
		return gateway;
	}
	return NULL;
}

char *
smsflow_record_text(Jsonb *record, const char *paths)
{
	const char *text;
	size_t length;

	if (paths == NULL || !smsflow_jsonb_field(record, paths, &text, &length))
		return NULL;
	return pnstrdup(text, length);
}
