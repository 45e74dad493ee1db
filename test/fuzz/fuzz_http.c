/*
 * fuzz_http.c - an answer means the same in whatever pieces it comes, and nothing is kept beyond its buffers.
 * Input: a byte that says how long the pieces are, then the answer.
 */
#include "fuzz.h"
#include "http.h"

#define BODY_SIZE 100

static SmsflowHttpProgress
read_pieces(SmsflowHttpReader *reader, char *body, const char *text, size_t size, size_t step)
{
	SmsflowHttpProgress progress = SMSFLOW_HTTP_MORE;

	smsflow_http_begin(reader, body, BODY_SIZE);
	for (size_t at = 0; at < size && progress == SMSFLOW_HTTP_MORE; at += step)
	{
		size_t piece = step < size - at ? step : size - at;
		char *copy = fuzz_buffer(piece);

		memcpy(copy, text + at, piece);
		progress = smsflow_http_read(reader, copy, piece);
		free(copy);
	}
	return progress;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SmsflowHttpReader whole;
	SmsflowHttpReader pieces;
	char *body = fuzz_buffer(BODY_SIZE);
	char *again = fuzz_buffer(BODY_SIZE);
	SmsflowHttpProgress progress;

	if (size > 1)
	{
		progress = read_pieces(&whole, body, (const char *) data + 1, size - 1, size);
		REQUIRE(progress == read_pieces(&pieces, again, (const char *) data + 1, size - 1, 1 + data[0] % 32u));
		REQUIRE(whole.status == pieces.status && whole.body_length == pieces.body_length && whole.truncated == pieces.truncated);
		REQUIRE(memcmp(body, again, whole.body_length) == 0 && strcmp(whole.retry_after, pieces.retry_after) == 0);
		REQUIRE(whole.body_length <= BODY_SIZE && (whole.status == 0 || (whole.status >= 100 && whole.status <= 999)));

		/* Pieces may end before what follows an answer is seen. */
		REQUIRE(!whole.keeps_alive || pieces.keeps_alive || progress == SMSFLOW_HTTP_FAILED);
		if (progress == SMSFLOW_HTTP_MORE)
			REQUIRE(smsflow_http_end(&whole) == smsflow_http_end(&pieces));
	}
	free(body);
	free(again);
	return 0;
}
