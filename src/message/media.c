/*
 * media.c - see media.h. URLs are kept with single spaces between them on
 * their way to the worker, so none of them may hold white space.
 */
#include "message/media.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "errcodes.h"
#include "message/spi.h"

#define MOST_URLS 10
#define LONGEST_URL 2000

static bool
is_url(const char *url)
{
	const char *host = strncmp(url, "https://", 8) == 0 ? url + 8 : strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;

	if (host == NULL || host[0] == '\0' || host[0] == '/' || strlen(url) > LONGEST_URL)
		return false;
	for (; *host != '\0'; host++)
		if ((unsigned char) *host <= ' ' || *host == 0x7F)
			return false;
	return true;
}

void
smsflow_check_media(ArrayType *urls)
{
	Datum *values;
	bool *nulls;
	int count;

	deconstruct_array(urls, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (nulls[i] || !is_url(TextDatumGetCString(values[i])))
			ereport(ERROR,
					(errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("media_urls of a message has an element that is no URL"),
					 errdetail("Element %d is not http:// or https:// and a host, without white space, in at most %d bytes.",
							   i + 1, LONGEST_URL),
					 errhint("Pass the addresses at which the gateway can fetch the media.")));
	if (count < 1 || count > MOST_URLS)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("media_urls of a message has %d elements", count),
						errdetail("It has 1 to %d.", MOST_URLS), errhint("Leave it out for a message without media.")));
}

int
smsflow_keep_media_queues(int32 *queues, int count)
{
	static SPIPlanPtr plan = NULL;
	Datum *values = palloc(sizeof(Datum) * Max(count, 1));
	Datum argument;
	bool isnull;

	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(queues[i]);
	argument = PointerGetDatum(construct_array(values, count, INT4OID, 4, true, TYPALIGN_INT));
	smsflow_spi_plan(&plan,
					 "SELECT u.queue_id FROM unnest($1) WITH ORDINALITY AS u (queue_id, place)"
					 " JOIN smsflow.queue q ON q.queue_id = u.queue_id LEFT JOIN smsflow.sender s ON s.sender_id = q.sender_id"
					 " LEFT JOIN smsflow.gateway g ON g.gateway_id = s.gateway_id LEFT JOIN smsflow.gateway_profile p ON "
					 "p.profile = g.profile"
					 " WHERE s.sender_id IS NULL OR p.media IS NOT NULL ORDER BY u.place",
					 1, (Oid[]){INT4ARRAYOID});
	smsflow_spi_run(plan, &argument, NULL, true, SPI_OK_SELECT);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("no sender of this pool takes media_urls"),
						errdetail("None of their gateways has a profile with media."),
						errhint("Use a pool with such a sender, or put a link into the body.")));
	for (uint64 row = 0; row < SPI_processed; row++)
		queues[row] = DatumGetInt32(smsflow_spi_value(row, 1, &isnull));
	return (int) SPI_processed;
}
