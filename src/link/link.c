/*
 * link.c - see link.h: links in texts, their codes, and what the SQL of this room needs of core.
 */
#include "link/link.h"

#include <arpa/inet.h>

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "core/escape.h"
#include "errcodes.h"
#include "message/spi.h"
#include "types/types.h"

/* Longer ones do not fit into what browsers and proxies take. */
#define MAX_TARGET 2000

/*
 * What stands for a code until its message has a number, followed by the number of the link. None of these characters
 * is in a code, and nobody writes such a word.
 */
static const char stand_in[] = "0OIl0OI";

/* ---- links of a text ---- */

static bool
is_web_address(const char *url, size_t len)
{
	size_t scheme = len > 8 && pg_strncasecmp(url, "https://", 8) == 0 ? 8 : 7;

	if (len <= scheme || len > MAX_TARGET || (scheme == 7 && pg_strncasecmp(url, "http://", 7) != 0))
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) url[i] <= ' ' || url[i] == 0x7f || strchr("\"<>\\^`{|}", url[i]) != NULL)
			return false;
	return true;
}

static void
find_domain(SmsflowLinkDomain *domain, const char *brand)
{
	static SPIPlanPtr plan = NULL;
	Datum argument = CStringGetTextDatum(brand);
	bool isnull;

	domain->brand = MemoryContextStrdup(domain->context, brand);
	domain->base_url = NULL;
	SPI_connect();
	smsflow_spi_plan(&plan,
					 "SELECT d.base_url FROM smsflow.link_domain d JOIN smsflow.brand b USING (brand_id) WHERE b.name = $1", 1,
					 (Oid[]){TEXTOID});
	smsflow_spi_run(plan, &argument, NULL, true, SPI_OK_SELECT);
	if (SPI_processed > 0)
		domain->base_url = MemoryContextStrdup(domain->context, TextDatumGetCString(smsflow_spi_value(0, 1, &isnull)));
	SPI_finish();
}

SmsflowLinkDomain *
smsflow_link_domain_for(FmgrInfo *function)
{
	if (function->fn_extra == NULL)
	{
		SmsflowLinkDomain *domain = MemoryContextAllocZero(function->fn_mcxt, sizeof(*domain));

		domain->context = function->fn_mcxt;
		function->fn_extra = domain;
	}
	return function->fn_extra;
}

static const char *
base_url_of(SmsflowLinkDomain *domain, const SmsflowVariables *vars)
{
	const char *text = "default";
	size_t len = strlen(text);
	char *brand;

	vars->find(vars->ctx, "_brand", strlen("_brand"), &text, &len);
	brand = pnstrdup(text, len);
	if (domain->brand == NULL || strcmp(domain->brand, brand) != 0)
		find_domain(domain, brand);
	return domain->base_url;
}

bool
smsflow_shorten(void *ctx, const char *url, size_t len, const char **text, size_t *textlen)
{
	SmsflowLinks *links = ctx;
	const char *base_url;

	if (!is_web_address(url, len))
		return false;
	base_url = base_url_of(links->domain, links->vars);
	if (base_url == NULL)
		return true;
	if (links->count == SMSFLOW_SHORTCODE_LINKS)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("a text has too many links"),
						errdetail("It may have %d.", SMSFLOW_SHORTCODE_LINKS), errhint("Write fewer, or leave the filter out.")));
	links->targets[links->count++] = PointerGetDatum(cstring_to_text_with_len(url, (int) len));
	*text = psprintf("%s/%s%d", base_url, stand_in, links->count);
	*textlen = strlen(*text);
	return true;
}

NullableDatum
smsflow_link_targets(const SmsflowLinks *links)
{
	if (links->count == 0)
		return (NullableDatum){(Datum) 0, true};
	return (
		NullableDatum){PointerGetDatum(construct_array((Datum *) links->targets, links->count, TEXTOID, -1, false, TYPALIGN_INT)),
					   false};
}

/* ---- the key of the codes ---- */

static void
parse_key(const char *text, SmsflowSipKey *key)
{
	unsigned char bytes[16];

	for (int i = 0; i < (int) sizeof(bytes); i++)
		bytes[i] = (unsigned char) (smsflow_hex_digit(text[2 * i]) << 4 | smsflow_hex_digit(text[2 * i + 1]));
	*key = smsflow_sip_key(bytes);
}

SmsflowSipKey
smsflow_link_key(void)
{
	static SPIPlanPtr plan = NULL;
	SmsflowSipKey key;
	bool isnull;

	SPI_connect();
	smsflow_spi_plan(&plan, "SELECT key FROM smsflow.link_key", 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_NOT_READY), errmsg("the key of short links is missing"),
						errdetail("smsflow.link_key is empty."), errhint("Call smsflow.set_link_domain().")));
	parse_key(TextDatumGetCString(smsflow_spi_value(0, 1, &isnull)), &key);
	SPI_finish();
	return key;
}

/* The key, read once for as long as the statement that calls a function runs. */
static SmsflowSipKey
key_for(FmgrInfo *function)
{
	if (function->fn_extra == NULL)
	{
		SmsflowSipKey key = smsflow_link_key();

		function->fn_extra = MemoryContextAlloc(function->fn_mcxt, sizeof(key));
		memcpy(function->fn_extra, &key, sizeof(key));
	}
	return *(SmsflowSipKey *) function->fn_extra;
}

/* ---- putting codes into messages ---- */

static void
write_code(SmsflowSipKey key, int64 message_id, int number, char *code)
{
	if (!smsflow_shortcode_write(key, message_id, number, code))
		elog(ERROR, "no code for link %d of message " INT64_FORMAT, number, message_id);
}

bool
smsflow_put_codes(char *body, SmsflowSipKey key, int64 message_id)
{
	bool found = false;

	for (char *at = strstr(body, stand_in); at != NULL; at = strstr(at + 1, stand_in))
	{
		int number = at[sizeof(stand_in) - 1] - '0';

		if (number < 1 || number > SMSFLOW_SHORTCODE_LINKS)
			continue;
		write_code(key, message_id, number, at);
		found = true;
	}
	return found;
}

/* write_codes(body text, message_id bigint) returns text */
PG_FUNCTION_INFO_V1(smsflow_write_codes);
Datum
smsflow_write_codes(PG_FUNCTION_ARGS)
{
	char *body = text_to_cstring(PG_GETARG_TEXT_PP(0));

	(void) smsflow_put_codes(body, key_for(fcinfo->flinfo), PG_GETARG_INT64(1));
	PG_RETURN_TEXT_P(cstring_to_text(body));
}

/* ---- for SQL ---- */

/* link_code(message_id bigint, link integer) returns text */
PG_FUNCTION_INFO_V1(smsflow_pg_link_code);
Datum
smsflow_pg_link_code(PG_FUNCTION_ARGS)
{
	char code[SMSFLOW_SHORTCODE_LENGTH];

	if (!smsflow_shortcode_write(key_for(fcinfo->flinfo), PG_GETARG_INT64(0), PG_GETARG_INT32(1), code))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(code, sizeof(code)));
}

/* read_code(code text) returns (message_id bigint, link smallint) */
PG_FUNCTION_INFO_V1(smsflow_pg_read_code);
Datum
smsflow_pg_read_code(PG_FUNCTION_ARGS)
{
	text *code = PG_GETARG_TEXT_PP(0);
	bool nulls[2] = {false, false};
	int64 message_id = 0;
	int number = 0;
	TupleDesc columns;
	Datum values[2];

	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!smsflow_shortcode_read(key_for(fcinfo->flinfo), VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code), &message_id, &number))
		nulls[0] = nulls[1] = true;
	values[0] = Int64GetDatum(message_id);
	values[1] = Int16GetDatum((int16) number);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

/* escape_url(value text) returns text */
PG_FUNCTION_INFO_V1(smsflow_pg_escape_url);
Datum
smsflow_pg_escape_url(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	size_t size = 3 * VARSIZE_ANY_EXHDR(value);
	char *out = palloc(size + 1);
	size_t len = smsflow_escape_url(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), out, size + 1);

	PG_RETURN_TEXT_P(cstring_to_text_with_len(out, (int) len));
}

/* The text of the first bits of an address; false for what is none. A socket of IPv6 shows one of IPv4 as ::ffff:192.0.2.7. */
static bool
network_text(const char *address, char *out, size_t size)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	int family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	unsigned char bytes[16];
	char text[INET6_ADDRSTRLEN];
	size_t kept;

	if (inet_pton(family, address, bytes) != 1)
		return false;
	if (family == AF_INET6 && memcmp(bytes, mapped, sizeof(mapped)) == 0)
	{
		family = AF_INET;
		memmove(bytes, bytes + sizeof(mapped), 4);
	}
	kept = family == AF_INET6 ? 6 : 3;
	memset(bytes + kept, 0, sizeof(bytes) - kept);
	inet_ntop(family, bytes, text, sizeof(text));
	snprintf(out, size, "%s/%zu", text, 8 * kept);
	return true;
}

/* click_network(address text) returns cidr */
PG_FUNCTION_INFO_V1(smsflow_pg_click_network);
Datum
smsflow_pg_click_network(PG_FUNCTION_ARGS)
{
	char network[INET6_ADDRSTRLEN + 4];

	if (!network_text(text_to_cstring(PG_GETARG_TEXT_PP(0)), network, sizeof(network)))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(DirectFunctionCall1(cidr_in, CStringGetDatum(network)));
}
