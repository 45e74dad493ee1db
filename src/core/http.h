/*
 * http.h - reading the answer to an HTTP/1.1 request, as it comes in pieces (RFC 9112).
 *
 * What is read comes from a stranger: every number has a bound, nothing is kept but what is named here, and an answer
 * whose end cannot be told for sure is a failure, not a guess. Compressed content stays as it is.
 *
 * Pure C11: no I/O, no clock, no allocation.
 */
#ifndef SMSFLOW_HTTP_H
#define SMSFLOW_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a line that are kept; what frames the body must fit, of all other headers the rest is passed over. */
#define SMSFLOW_HTTP_LINE_SIZE 512

/* Bytes of status lines, headers, chunk sizes and trailers in all, after which an answer has failed. */
#define SMSFLOW_HTTP_MAX_HEADER_BYTES 65536

typedef enum SmsflowHttpProgress
{
	SMSFLOW_HTTP_MORE,     /* the answer goes on */
	SMSFLOW_HTTP_COMPLETE, /* it is whole, or there is more of it than is kept */
	SMSFLOW_HTTP_FAILED    /* this is no answer */
} SmsflowHttpProgress;

/* What the next byte belongs to. */
typedef enum SmsflowHttpPart
{
	SMSFLOW_HTTP_STATUS,
	SMSFLOW_HTTP_HEADER,
	SMSFLOW_HTTP_BODY,      /* of a known length */
	SMSFLOW_HTTP_BODY_REST, /* until the connection ends */
	SMSFLOW_HTTP_CHUNK_SIZE,
	SMSFLOW_HTTP_CHUNK,
	SMSFLOW_HTTP_CHUNK_END,
	SMSFLOW_HTTP_TRAILER,
	SMSFLOW_HTTP_END
} SmsflowHttpPart;

typedef struct SmsflowHttpReader
{
	/* The answer. */
	int status;           /* 0 until it is known */
	bool keeps_alive;     /* the connection may be used again once the answer is complete */
	bool truncated;       /* the body was longer than its buffer */
	char retry_after[64]; /* value of that header, or "" */
	char *body;
	size_t body_size;
	size_t body_length;
	size_t header_bytes;

	/* How far it is read. */
	SmsflowHttpPart part;
	char line[SMSFLOW_HTTP_LINE_SIZE];
	size_t line_length; /* may be more than is kept */
	bool has_length;
	bool has_coding; /* a Transfer-Encoding was given */
	bool chunked;    /* ... and ends with "chunked" */
	bool framing;    /* the last header frames the body, so it must not be folded */
	uint64_t left;   /* bytes of the body, or of the chunk */
} SmsflowHttpReader;

/* Begins an answer whose body is kept in body, of that size; the same reader may be used again. */
extern void smsflow_http_begin(SmsflowHttpReader *reader, char *body, size_t size);

/* Reads on. After COMPLETE or FAILED nothing more may be read; bytes behind the end make keeps_alive false. */
extern SmsflowHttpProgress smsflow_http_read(SmsflowHttpReader *reader, const char *data, size_t length);

/* The connection has ended: COMPLETE where that is how such an answer ends, else FAILED. */
extern SmsflowHttpProgress smsflow_http_end(SmsflowHttpReader *reader);

#endif /* SMSFLOW_HTTP_H */
