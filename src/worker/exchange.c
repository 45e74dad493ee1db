/*
 * exchange.c - one HTTP/1.1 request and its answer over a connection that
 * libcurl has made, with TLS where it is asked for. libcurl's own transfers cost
 * three times the processor time of this, most of what a message costs at all;
 * whatever is out of the ordinary is still left to them (exchange_origin).
 *
 * Here a request is written exactly once: nothing is ever sent again on another
 * connection.
 */
#include "worker/transport_curl.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* What must come of an answer in that time. */
#define SLOW_BYTES ((size_t) SLOW_BYTES_PER_SECOND * SLOW_SECONDS)
#define SLOW_MS (SLOW_SECONDS * 1000L)

/* What is kept of a place's bytes between two requests. */
#define KEPT_BYTES 16384
#define LEAST_BYTES 2048

/* ---- is it ordinary? ---- */

/* The part of a URL behind the host: "/path?query", "?query" or "". */
static const char *
behind_host(const char *url)
{
	return url + strcspn(url, "/?#");
}

static bool
is_plain_host(const char *host, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!((host[i] >= '0' && host[i] <= '9') || (host[i] >= 'a' && host[i] <= 'z') || (host[i] >= 'A' && host[i] <= 'Z') ||
			  strchr("-._:[]", host[i])))
			return false;
	return length > 0;
}

/* libcurl removes dots and fragments, and knows what to make of other characters. */
static bool
is_plain_path(const char *path)
{
	for (const char *c = path; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '#' || *c == '\\' || (c[0] == '/' && c[1] == '.'))
			return false;
	return true;
}

/* True for "Name: value" that means nothing to the framing. */
static bool
is_plain_header(const char *header)
{
	static const char *const framing[] = {"host:", "content-length:", "transfer-encoding:", "connection:", "expect:", "te:"};

	if (header[strcspn(header, ":;\r\n")] != ':' || strpbrk(header, "\r\n"))
		return false;
	for (size_t i = 0; i < sizeof(framing) / sizeof(framing[0]); i++)
		if (strncasecmp(header, framing[i], strlen(framing[i])) == 0)
			return false;
	return true;
}

bool
exchange_origin(const SmsflowRequest *request, char origin[ORIGIN_SIZE])
{
	size_t scheme = strncmp(request->url, "https://", 8) == 0 ? 8 : strncmp(request->url, "http://", 7) == 0 ? 7 : 0;
	const char *host = request->url + scheme;
	const char *path = behind_host(host);
	size_t length = (size_t) (path - request->url);

	if (request->sigv4 || scheme == 0 || length >= ORIGIN_SIZE || !is_plain_host(host, (size_t) (path - host)) ||
		!is_plain_path(path) || strcasecmp(request->method, "HEAD") == 0)
		return false;
	for (int i = 0; i < request->header_count; i++)
		if (!is_plain_header(request->headers[i]))
			return false;
	memcpy(origin, request->url, length);
	origin[length] = '\0';
	return true;
}

/* ---- the bytes of a request ---- */

static bool
make_room(Place *place, size_t wanted)
{
	char *bytes;

	wanted = wanted > LEAST_BYTES ? wanted : LEAST_BYTES;
	if (place->bytes_room >= wanted && (place->bytes_room <= KEPT_BYTES || wanted > KEPT_BYTES))
		return true;
	bytes = realloc(place->bytes, wanted);
	if (bytes == NULL)
		return false;
	place->bytes = bytes;
	place->bytes_room = wanted;
	return true;
}

static void
put(Place *place, const char *bytes, size_t length)
{
	memcpy(place->bytes + place->bytes_length, bytes, length);
	place->bytes_length += length;
}

static void
put_text(Place *place, const char *text)
{
	put(place, text, strlen(text));
}

/* The host as the URL has it, without a port that goes without saying. */
static void
put_host(Place *place)
{
	bool secure = place->origin[4] == 's';
	const char *host = place->origin + (secure ? 8 : 7);
	const char *usual = secure ? ":443" : ":80";
	size_t length = strlen(host);

	if (length > strlen(usual) && strcmp(host + length - strlen(usual), usual) == 0)
		length -= strlen(usual);
	put_text(place, "Host: ");
	put(place, host, length);
	put_text(place, "\r\n");
}

/* "Basic" and base64 of "name:password" (RFC 7617). */
static void
put_login(Place *place, const SmsflowRequest *request)
{
	const char *password = request->password ? request->password : "";
	size_t name = strlen(request->username);
	size_t length = name + 1 + strlen(password);
	unsigned char *login = (unsigned char *) place->bytes + place->bytes_room - length - 1;

	/* The login itself stands for a moment at the end of the bytes, where compose has left room for it. */
	memcpy(login, request->username, name);
	login[name] = ':';
	memcpy(login + name + 1, password, length - name - 1);
	put_text(place, "Authorization: Basic ");
	place->bytes_length += (size_t) EVP_EncodeBlock((unsigned char *) place->bytes + place->bytes_length, login, (int) length);
	put_text(place, "\r\n");
}

/* Whether the profile sets a header of this name, which is given with its colon. */
static bool
has_header(const SmsflowRequest *request, const char *name)
{
	for (int i = 0; i < request->header_count; i++)
		if (strncasecmp(request->headers[i], name, strlen(name)) == 0)
			return true;
	return false;
}

/* A header without a value is not sent. */
static void
put_headers(Place *place, const SmsflowRequest *request)
{
	for (int i = 0; i < request->header_count; i++)
	{
		const char *value = strchr(request->headers[i], ':') + 1;

		if (value[strspn(value, " \t")] == '\0')
			continue;
		put_text(place, request->headers[i]);
		put_text(place, "\r\n");
	}
}

static size_t
size_of(const SmsflowRequest *request)
{
	size_t size = 512 + strlen(request->method) + strlen(request->url) + request->body_length;

	for (int i = 0; i < request->header_count; i++)
		size += strlen(request->headers[i]) + 2;
	if (request->username)
		size += 3 * (strlen(request->username) + (request->password ? strlen(request->password) : 0) + 4);
	return size;
}

bool
exchange_compose(Place *place, const SmsflowRequest *request)
{
	const char *path = request->url + strlen(place->origin);
	bool get = strcmp(request->method, "GET") == 0;
	char length[48];

	if (!make_room(place, size_of(request)))
		return false;
	place->bytes_length = place->bytes_sent = 0;
	put_text(place, request->method);
	put_text(place, *path == '/' ? " " : " /");
	put_text(place, path);
	put_text(place, " HTTP/1.1\r\n");
	put_host(place);
	if (request->username)
		put_login(place, request);
	if (!has_header(request, "User-Agent:"))
		put_text(place, "User-Agent: smsflow\r\n");
	if (!has_header(request, "Accept:"))
		put_text(place, "Accept: */*\r\n");
	put_headers(place, request);
	if (!get)
	{
		if (!has_header(request, "Content-Type:"))
			put_text(place, "Content-Type: application/x-www-form-urlencoded\r\n");
		put(place, length, (size_t) snprintf(length, sizeof(length), "Content-Length: %zu\r\n", request->body_length));
	}
	put_text(place, "\r\n");
	if (!get && request->body_length > 0)
		put(place, request->body, request->body_length);
	return true;
}

/* ---- sending and receiving ---- */

static void
send_more(Place *place)
{
	while (place->bytes_sent < place->bytes_length)
	{
		size_t sent = 0;
		CURLcode code =
			curl_easy_send(place->easy, place->bytes + place->bytes_sent, place->bytes_length - place->bytes_sent, &sent);

		if (code == CURLE_AGAIN)
			break;
		if (code != CURLE_OK)
		{
			place_ended(place, code);
			return;
		}
		place->bytes_sent += sent;
	}
	loop_watch_place(place, place->bytes_sent < place->bytes_length ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* What the end of a connection means for the answer that it was to bring. */
static CURLcode
connection_ended(Place *place)
{
	if (smsflow_http_end(&place->reader) == SMSFLOW_HTTP_COMPLETE)
		return CURLE_OK;
	return place->bytes_come == 0 ? CURLE_GOT_NOTHING : place->reader.status == 0 ? CURLE_WEIRD_SERVER_REPLY : CURLE_PARTIAL_FILE;
}

/* Reads until the answer is whole, or nothing more is there. */
static void
receive(Place *place)
{
	static char buffer[SMSFLOW_ANSWER_SIZE];

	for (;;)
	{
		size_t come = 0;
		CURLcode code = curl_easy_recv(place->easy, buffer, sizeof(buffer), &come);
		SmsflowHttpProgress progress;

		if (code == CURLE_AGAIN)
			return;
		if (code != CURLE_OK || come == 0)
		{
			place_ended(place, code != CURLE_OK ? code : connection_ended(place));
			return;
		}
		place->bytes_come += come;
		progress = smsflow_http_read(&place->reader, buffer, come);
		if (progress == SMSFLOW_HTTP_MORE)
			continue;
		place_ended(place, progress == SMSFLOW_HTTP_COMPLETE ? CURLE_OK : CURLE_WEIRD_SERVER_REPLY);
		return;
	}
}

void
exchange_begin(Place *place)
{
	place->state = PLACE_EXCHANGING;
	place->bytes_come = 0;
	place->slow_at = 0;
	smsflow_http_begin(&place->reader, place->answer, sizeof(place->answer) - 1);
	if (place->on_wire(place->tag))
	{
		place->times_on_wire++;
		place->exchanges++;
		place_look_at(place->deadline);
		send_more(place);
	}
	else
		place_ended(place, CURLE_ABORTED_BY_CALLBACK);
	if (place->handed_over)
		place->handed_over();
}

void
exchange_move(Place *place)
{
	if (place->bytes_sent < place->bytes_length)
		send_more(place);
	if (place->state != PLACE_EXCHANGING)
		return;
	receive(place);
	if (place->state != PLACE_EXCHANGING || place->slow_at != 0 || place->bytes_come == 0)
		return;

	/* From the first byte of an answer on it has to come; before that, the gateway may take its time. */
	place->slow_at = monotonic_ms() + SLOW_MS;
	place->slow_from = place->bytes_come;
	place_look_at(place->slow_at);
}

int64_t
exchange_look(Place *place, int64_t now)
{
	if (place->state != PLACE_EXCHANGING)
		return -1;
	if (place->slow_at != 0 && now >= place->slow_at)
	{
		if (place->bytes_come - place->slow_from < SLOW_BYTES)
			place->deadline = now;
		place->slow_at = now + SLOW_MS;
		place->slow_from = place->bytes_come;
	}
	if (now >= place->deadline)
	{
		place_ended(place, CURLE_OPERATION_TIMEDOUT);
		return -1;
	}
	return place->slow_at != 0 && place->slow_at < place->deadline ? place->slow_at : place->deadline;
}

/* ---- afterwards ---- */

bool
exchange_is_clean(const Place *place)
{
	char byte;

	return recv(place->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* A request that was not even begun leaves a connection as it was. */
bool
exchange_keeps_alive(const Place *place)
{
	if (place->exchanges == 0)
		return false;
	return place->times_on_wire == 0 ||
		   (place->result == CURLE_OK && place->reader.keeps_alive && place->bytes_sent == place->bytes_length);
}
