/*
 * test_http.c - answers of gateways: where they end, what they say, and what is none. Every answer is read whole, byte by
 * byte and cut in two everywhere; all must say the same.
 */
#include "http.h"
#include "unit.h"

#include <string.h>

#define MORE SMSFLOW_HTTP_MORE
#define COMPLETE SMSFLOW_HTTP_COMPLETE
#define FAILED SMSFLOW_HTTP_FAILED

typedef struct Case
{
	const char *answer;
	SmsflowHttpProgress progress;
	int status;
	const char *body;
	bool keeps_alive;
} Case;

static const Case cases[] = {
	/* Lengths. */
	{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", COMPLETE, 200, "ok", true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", MORE, 200, "o", true},
	{"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", COMPLETE, 200, "", true},
	{"HTTP/1.1 200\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok", COMPLETE, 200, "ok", true},
	{"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", COMPLETE, 200, "ok", true},
	{"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", COMPLETE, 204, "", true},
	{"HTTP/1.1 304 Not Modified\r\n\r\n", COMPLETE, 304, "", true},
	{"HTTP/1.1 200 OK\r\n\r\nall of it", MORE, 200, "all of it", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789abcdefXXXX", COMPLETE, 200, "0123456789abcdef", false},
	/* Chunks. */
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n", COMPLETE, 200,
	 "abc0123456789", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: 1\r\n\r\n", COMPLETE, 200, "ok", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", MORE, 200, "ok", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", COMPLETE, 200, "ok", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nok", MORE, 200, "ok", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n2\r\nok\r\n0\r\n\r\n", COMPLETE, 200, "ok",
	 false},
	/* Connections. */
	{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", COMPLETE, 200, "ok", false},
	{"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", COMPLETE, 200, "ok", true},
	{"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok", COMPLETE, 200, "ok", false},
	/* Answers in between. */
	{"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\n1",
	 COMPLETE, 201, "1", true},
	/* Folded lines are passed over, where they do not matter. */
	{"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\n1", COMPLETE, 200, "1", true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 0\r\n\r\n1", FAILED, 200, "", true},
	/* What is none. */
	{"SSH-2.0-OpenSSH_9.2\r\n", FAILED, 0, "", false},
	{"HTTP/2 200\r\n", FAILED, 0, "", false},
	{"HTTP/1.1 20 OK\r\n", FAILED, 0, "", false},
	{"HTTP/1.1 020 OK\r\n", FAILED, 0, "", false},
	{"HTTP/1.1 2000 OK\r\n", FAILED, 0, "", false},
	{"HTTP/1.1 101 Switching Protocols\r\n", FAILED, 101, "", true},
	{"HTTP/1.1 200 OK\r\nno colon\r\n", FAILED, 200, "", true},
	{"HTTP/1.1 200 OK\r\n: no name\r\n", FAILED, 200, "", true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n", FAILED, 200, "", true},
	{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", FAILED, 200, "", true},
	{"HTTP/1.1 200 OK\r\nContent-Length: \r\n", FAILED, 200, "", true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n", FAILED, 200, "", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", FAILED, 200, "", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n", FAILED, 200, "ok", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1234567890abcdef0\r\n", FAILED, 200, "", true},
};

/* Reads a text in pieces that end at cut and from then on have the length step. */
static SmsflowHttpProgress
read_cut(SmsflowHttpReader *reader, char *body, size_t size, const char *text, size_t cut, size_t step)
{
	size_t length = strlen(text);
	SmsflowHttpProgress progress = MORE;

	smsflow_http_begin(reader, body, size);
	for (size_t at = 0; at < length && progress == MORE;)
	{
		size_t piece = at == 0 && cut > 0 ? cut : step;

		piece = piece < length - at ? piece : length - at;
		progress = smsflow_http_read(reader, text + at, piece);
		at += piece;
	}
	return progress;
}

static void
check_case(const Case *c, size_t cut, size_t step)
{
	char body[16];
	SmsflowHttpReader reader;
	bool good = read_cut(&reader, body, sizeof(body), c->answer, cut, step) == c->progress && reader.status == c->status &&
				reader.keeps_alive == c->keeps_alive && reader.body_length == strlen(c->body) &&
				memcmp(body, c->body, reader.body_length) == 0 && reader.truncated == (strstr(c->answer, "XXXX") != NULL);

	CHECK(good);
	if (!good)
		printf("\tcut at %zu, then by %zu: %s\n", cut, step, c->answer);
}

static void
check_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t length = strlen(cases[i].answer);

		for (size_t cut = 1; cut <= length; cut++)
			check_case(&cases[i], cut, length);
		check_case(&cases[i], 0, 1);
	}
}

/* What follows an answer belongs to nobody: the connection is not used again. */
static void
check_excess(void)
{
	char body[16];
	SmsflowHttpReader reader;

	CHECK_EQ(read_cut(&reader, body, sizeof(body), "HTTP/1.1 204 x\r\n\r\nHTTP/1.1 200 OK\r\n", 0, 100), COMPLETE);
	CHECK(!reader.keeps_alive);
}

/* The connection ends: that is the end of an answer only where nothing else says where it is. */
static void
check_end(void)
{
	static const char *const open[] = {"HTTP/1.1 200 OK\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n"};
	static const char *const cut_off[] = {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf",
										  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"};
	char body[16];
	SmsflowHttpReader reader;

	for (size_t i = 0; i < 2; i++)
	{
		read_cut(&reader, body, sizeof(body), open[i], 0, 100);
		CHECK_EQ(smsflow_http_end(&reader), COMPLETE);
		CHECK(!reader.keeps_alive);
	}
	for (size_t i = 0; i < 4; i++)
	{
		read_cut(&reader, body, sizeof(body), cut_off[i], 0, 100);
		CHECK_EQ(smsflow_http_end(&reader), FAILED);
	}
}

static void
check_retry_after(void)
{
	char body[16];
	SmsflowHttpReader reader;

	read_cut(&reader, body, sizeof(body),
			 "HTTP/1.1 429 x\r\nretry-after:  Fri, 31 Dec 1999 23:59:59 GMT \r\nContent-Length: 0\r\n\r\n", 0, 7);
	CHECK(strcmp(reader.retry_after, "Fri, 31 Dec 1999 23:59:59 GMT") == 0);
	read_cut(&reader, body, sizeof(body), "HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n", 0, 7);
	CHECK(strcmp(reader.retry_after, "") == 0);
}

/* Long lines are passed over, unless they frame the body; too many end it. */
static void
check_floods(void)
{
	char line[1200];
	char body[16];
	SmsflowHttpReader reader;
	SmsflowHttpProgress progress = MORE;

	memset(line, 'x', sizeof(line));
	memcpy(line, "X-Long: ", 8);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	read_cut(&reader, body, sizeof(body), "HTTP/1.1 200 OK\r\n", 0, 100);
	CHECK_EQ(smsflow_http_read(&reader, line, sizeof(line)), MORE);
	CHECK_EQ(smsflow_http_read(&reader, "Content-Length: 2\r\n\r\nok", 23), COMPLETE);

	read_cut(&reader, body, sizeof(body), "HTTP/1.1 200 OK\r\n", 0, 100);
	memcpy(line, "Transfer-Encoding: ", 19);
	CHECK_EQ(smsflow_http_read(&reader, line, sizeof(line)), FAILED);

	memcpy(line, "X-Long-Line-Again: ", 19);
	read_cut(&reader, body, sizeof(body), "HTTP/1.1 200 OK\r\n", 0, 100);
	for (int i = 0; i < 100 && progress == MORE; i++)
		progress = smsflow_http_read(&reader, line, sizeof(line));
	CHECK_EQ(progress, FAILED);
	CHECK(reader.header_bytes > SMSFLOW_HTTP_MAX_HEADER_BYTES);

	read_cut(&reader, body, sizeof(body), "HTTP/1.1 200 OK\r\n", 0, 100);
	CHECK_EQ(smsflow_http_read(&reader, "X: a\0b\r\n", 8), FAILED);
}

int
main(void)
{
	check_cases();
	check_excess();
	check_end();
	check_retry_after();
	check_floods();
	return unit_report();
}
