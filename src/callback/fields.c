/*
 * fields.c - see fields.h. Everything here reads what strangers sent, though
 * only after their token has proved to be ours: nothing but the request itself
 * may fail because of it.
 */
#include "callback/fields.h"

#include "access/xact.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/resowner.h"

#include "compat.h"
#include "core/escape.h"
#include "types/types.h"

typedef struct Pair
{
	const char *name; /* decoded */
	const char *raw;  /* value, still encoded */
	size_t raw_len;
} Pair;

typedef struct Pairs
{
	int count;
	Pair *pair;
} Pairs;

/* In the server's encoding, or NULL when the bytes are not UTF-8. */
static char *
from_utf8(const char *bytes, size_t len)
{
	char *text;

	if (!pg_verify_mbstr(PG_UTF8, bytes, (int) len, true))
		return NULL;
	text = pg_any_to_server(bytes, (int) len, PG_UTF8);
	return text == bytes ? pnstrdup(bytes, len) : text;
}

/*
 * What is not UTF-8 is read as ISO 8859-1, and zero bytes are dropped: a
 * receipt quotes the octets of the message in whatever alphabet it was sent,
 * and its status must not be lost for that.
 */
static char *
decoded(const char *raw, size_t len)
{
	char *octets = palloc(len + 1);
	size_t used = smsflow_unescape_octets(raw, len, octets);
	size_t kept = 0;
	char *text;

	for (size_t i = 0; i < used; i++)
		if (octets[i] != '\0')
			octets[kept++] = octets[i];
	octets[kept] = '\0';
	text = from_utf8(octets, kept);
	return text ? text : smsflow_latin1_text(octets, kept);
}

/*
 * Kannel hands on a reply outside the GSM alphabet as the octets it came in.
 * A malformed surrogate becomes U+FFFD: a reply that cannot be read in full
 * may still be a STOP.
 */
static size_t
put_utf16(const unsigned char *octets, size_t at, size_t len, unsigned char *out, int *size)
{
	pg_wchar c = (pg_wchar) (octets[at] << 8 | octets[at + 1]);
	size_t used = 2;

	if (c >= 0xD800 && c < 0xDC00 && at + 3 < len && (octets[at + 2] & 0xFC) == 0xDC)
	{
		c = 0x10000 + ((c & 0x3FF) << 10) + (pg_wchar) ((octets[at + 2] & 3) << 8 | octets[at + 3]);
		used = 4;
	}
	else if ((c >= 0xD800 && c < 0xE000) || c == 0)
		c = 0xFFFD;
	unicode_to_utf8(c, out);
	*size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	return used;
}

static char *
decoded_utf16(const char *raw, size_t len)
{
	unsigned char *octets = palloc(len + 1);
	size_t used = smsflow_unescape_octets(raw, len, (char *) octets);
	unsigned char *text = palloc(used * 2 + 1);
	size_t length = 0;
	int size;

	for (size_t at = 0; at + 1 < used;)
	{
		at += put_utf16(octets, at, used, text + length, &size);
		length += (size_t) size;
	}
	return from_utf8((char *) text, length);
}

/* Splits at &; a field without a name is left out. */
static void
split(const char *text, size_t len, Pairs *pairs)
{
	const char *end = text + len;
	int most = 1;

	for (size_t i = 0; i < len; i++)
		most += text[i] == '&';
	pairs->count = 0;
	pairs->pair = palloc(most * sizeof(Pair));
	while (text < end)
	{
		const char *stop = memchr(text, '&', end - text);
		const char *equals;
		Pair *pair = &pairs->pair[pairs->count];

		if (stop == NULL)
			stop = end;
		equals = memchr(text, '=', stop - text);
		if (equals == NULL)
			equals = stop;
		pair->name = decoded(text, equals - text);
		pair->raw = equals < stop ? equals + 1 : stop;
		pair->raw_len = stop - pair->raw;
		pairs->count += pair->name[0] != '\0';
		text = stop + 1;
	}
}

/* Names of UTF-16, and the data coding of SMPP that stands for it. */
static bool
charset_is_wide(const char *charset, size_t len)
{
	static const char *const names[] = {"UTF-16BE", "UTF-16", "UCS-2", "UCS2", "8"};

	for (int n = 0; n < (int) lengthof(names); n++)
		if (len == strlen(names[n]) && pg_strncasecmp(charset, names[n], len) == 0)
			return true;
	return false;
}

/* Whether the text field of these pairs is in UTF-16, as another field says. */
static bool
is_utf16(const Pairs *pairs, const SmsflowTextField *text)
{
	if (text->name == NULL || text->charset_name == NULL)
		return false;
	for (int i = 0; i < pairs->count; i++)
		if (strcmp(pairs->pair[i].name, text->charset_name) == 0 && charset_is_wide(pairs->pair[i].raw, pairs->pair[i].raw_len))
			return true;
	return false;
}

static JsonbValue
string_value(const char *text)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = (int) strlen(text);
	return value;
}

static Jsonb *
fields_of_form(const char *form, size_t len, const SmsflowTextField *text)
{
	JsonbParseState *state = NULL;
	Pairs pairs;
	bool utf16;

	split(form, len, &pairs);
	utf16 = is_utf16(&pairs, text);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < pairs.count; i++)
	{
		const Pair *pair = &pairs.pair[i];
		bool wide = utf16 && strcmp(pair->name, text->name) == 0;
		char *content = wide ? decoded_utf16(pair->raw, pair->raw_len) : decoded(pair->raw, pair->raw_len);
		JsonbValue name = string_value(pair->name);
		JsonbValue value = string_value(content);

		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Raises again what was not caused by the text, such as a cancelled statement. */
static void
insist_on_data_error(ErrorData *error)
{
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		ReThrowError(error);
	FreeErrorData(error);
}

/* PostgreSQL 15 has no way to ask whether a text is jsonb but to try. */
Jsonb *
smsflow_parse_json(const char *body, size_t len)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char *text = from_utf8(body, len);
	Jsonb *volatile json = NULL;

	if (text == NULL)
		return NULL;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		insist_on_data_error(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return json && !JB_ROOT_IS_SCALAR(json) ? json : NULL;
}

/* What gateways write by hand may hold half a character or a zero, and still be a STOP. */
static Jsonb *
read_json(const char *body, size_t len)
{
	Jsonb *json = smsflow_parse_json(body, len);
	char *mended;
	size_t size;

	if (json)
		return json;
	mended = palloc(2 * len + 1);
	size = smsflow_mend_json(body, len, mended, 2 * len);
	if (memchr(mended, '\0', size) != NULL)
		return NULL;
	mended[size] = '\0';
	if (!pg_verify_mbstr(PG_UTF8, mended, (int) size, true))
		mended = smsflow_latin1_text(mended, size);
	return smsflow_parse_json(mended, strlen(mended));
}

static char *
content_type(Jsonb *headers)
{
	JsonbValue buffer;
	JsonbValue *value = NULL;

	if (headers && JB_ROOT_IS_OBJECT(headers))
		value = getKeyJsonValueFromContainer(&headers->root, "content-type", strlen("content-type"), &buffer);
	if (value == NULL || value->type != jbvString)
		return NULL;
	return asc_tolower(value->val.string.val, value->val.string.len);
}

/*
 * What begins as JSON is JSON, whatever its type says: libraries name a form where nobody named a type, and a form does not
 * begin so. Some write a byte order mark before it.
 */
static Jsonb *
fields_of_body(Jsonb *headers, const char *body, size_t len, const SmsflowTextField *text)
{
	static const char mark[] = "\xEF\xBB\xBF";
	char *type = content_type(headers);
	size_t start = len >= 3 && memcmp(body, mark, 3) == 0 ? 3 : 0;

	while (start < len && strchr(" \t\r\n", body[start]) != NULL)
		start++;
	if ((start < len && (body[start] == '{' || body[start] == '[')) || (type && strstr(type, "json") != NULL))
		return read_json(body + start, len - start);
	if (type && type[0] != '\0' && strncmp(type, "application/x-www-form-urlencoded", 33) != 0)
		return NULL;
	return fields_of_form(body, len, text);
}

/* Some gateways pass on through a queue, whose envelope holds the report as a text. */
static Jsonb *
unwrapped(Jsonb *body, const char *inner)
{
	const char *text;
	size_t length;
	Jsonb *content = NULL;

	if (inner && smsflow_jsonb_field(body, inner, &text, &length))
		content = read_json(text, length);
	return content ? content : body;
}

static void
add_record(SmsflowRecords *records, Jsonb *of_query, Jsonb *record)
{
	if (!JB_ROOT_IS_OBJECT(record))
		return;
	if (JB_ROOT_COUNT(of_query) > 0)
		record = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(of_query), JsonbPGetDatum(record)));
	records->record[records->count++] = record;
}

static void
add_list(SmsflowRecords *records, Jsonb *of_query, Jsonb *list)
{
	JsonbIterator *it = JsonbIteratorInit(&list->root);
	JsonbValue value;
	JsonbIteratorToken token;

	records->record = palloc(sizeof(Jsonb *) * (JB_ROOT_COUNT(list) + 1));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_ELEM && value.type == jbvBinary)
			add_record(records, of_query, JsonbValueToJsonb(&value));
}

bool
smsflow_records(const char *query, Jsonb *headers, const char *body, size_t body_len, const SmsflowBodyRules *rules,
				SmsflowRecords *records)
{
	Jsonb *of_query = fields_of_form(query, strlen(query), &rules->text);
	Jsonb *of_body;
	Jsonb *list = NULL;

	records->count = 0;
	records->record = palloc(sizeof(Jsonb *));
	if (body_len == 0)
	{
		records->record[records->count++] = of_query;
		return true;
	}
	of_body = body_len <= SMSFLOW_MAX_CALLBACK_BODY ? fields_of_body(headers, body, body_len, &rules->text) : NULL;
	if (of_body == NULL)
		return false;
	of_body = unwrapped(of_body, rules->inner);
	if (rules->list)
		list = smsflow_jsonb_at(of_body, rules->list);
	if (list && JB_ROOT_IS_ARRAY(list))
		add_list(records, of_query, list);
	else if (JB_ROOT_IS_OBJECT(of_body))
		add_record(records, of_query, of_body);
	else
		return false;
	return true;
}

char *
smsflow_decode_octets(const char *text, SmsflowOctets form, bool wide)
{
	size_t len = strlen(text);

	if (form == SMSFLOW_OCTETS_HEX)
	{
		char *escaped = palloc(len * 3 / 2 + 1);
		size_t used = 0;

		for (size_t i = 0; i + 1 < len; i += 2)
		{
			escaped[used++] = '%';
			escaped[used++] = text[i];
			escaped[used++] = text[i + 1];
		}
		text = escaped;
		len = used;
	}
	return wide ? decoded_utf16(text, len) : decoded(text, len);
}

bool
smsflow_is_wide(const char *charset)
{
	return charset_is_wide(charset, strlen(charset));
}
