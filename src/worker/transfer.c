/*
 * transfer.c - what libcurl is told: to connect and no more, or, for requests out
 * of the ordinary, to do all of it.
 *
 * In a transfer libcurl silently sends a POST again on a new connection when a
 * kept-alive one turns out to be dead. The second call of the pre-request callback
 * stops that: the gateway may have read the first.
 */
#include "worker/transport_curl.h"

#include <string.h>

#define CONNECT_TIMEOUT_MS 5000L

/* ---- callbacks of libcurl's transfers ---- */

static int
on_request(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	Place *place = arg;

	(void) remote_ip;
	(void) local_ip;
	(void) remote_port;
	(void) local_port;
	if (place->state == PLACE_CONNECTING)
		return CURL_PREREQFUNC_OK;
	if (place->times_on_wire > 0)
		return CURL_PREREQFUNC_ABORT;
	if (place->handed_over)
		loop_after_step(place->handed_over);
	if (!place->on_wire(place->tag))
		return CURL_PREREQFUNC_ABORT;
	place->times_on_wire++;
	return CURL_PREREQFUNC_OK;
}

/* From the first byte of an answer on it has to come; before that, the gateway may take its time. */
static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
	Place *place = arg;

	(void) data;
	if (place->header_length == 0)
	{
		curl_easy_setopt(place->easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES_PER_SECOND);
		curl_easy_setopt(place->easy, CURLOPT_LOW_SPEED_TIME, SLOW_SECONDS);
	}
	place->header_length += size * count;
	return place->header_length > SMSFLOW_HTTP_MAX_HEADER_BYTES ? 0 : size * count;
}

static size_t
on_answer(char *data, size_t size, size_t count, void *arg)
{
	Place *place = arg;
	size_t length = size * count;
	size_t room = sizeof(place->answer) - 1 - place->answer_length;
	size_t kept = length < room ? length : room;

	memcpy(place->answer + place->answer_length, data, kept);
	place->answer_length += kept;
	if (kept < length)
	{
		/* Nothing useful follows, and a hostile gateway may never end. */
		place->truncated = true;
		return 0;
	}
	return length;
}

/* ---- preparing ---- */

/*
 * What is the same for all requests. A compressed answer is never asked for,
 * and never unpacked.
 */
static void
prepare_place(Place *place)
{
	CURL *easy = place->easy;

	if (place->settings == transport_settings.number)
		return;
	place->settings = transport_settings.number;
	curl_easy_reset(easy);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, place);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, transport_settings.allow_insecure ? "http,https" : "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 60L);
	if (transport_settings.ca_file[0] != '\0')
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO, transport_settings.ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 60L);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, 50L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, place);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, place);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, place);
	loop_own_sockets(place);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "smsflow");
}

static bool
set_headers(Place *place, const SmsflowRequest *request)
{
	/* No "Expect: 100-continue": it would delay every larger body by a second. */
	place->headers = curl_slist_append(NULL, "Expect:");
	for (int i = 0; i < request->header_count && place->headers; i++)
	{
		struct curl_slist *longer = curl_slist_append(place->headers, request->headers[i]);

		if (longer == NULL)
			return false;
		place->headers = longer;
	}
	return place->headers != NULL;
}

static void
set_login(CURL *easy, const SmsflowRequest *request)
{
	curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, request->sigv4);
	if (request->sigv4 == NULL)
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
	curl_easy_setopt(easy, CURLOPT_USERNAME, request->username);
	curl_easy_setopt(easy, CURLOPT_PASSWORD, request->username ? (request->password ? request->password : "") : NULL);
}

static bool
set_body(Place *place, const SmsflowRequest *request)
{
	CURL *easy = place->easy;

	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_length);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, strcmp(request->method, "POST") == 0 ? NULL : request->method);
	return curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body ? request->body : "") == CURLE_OK;
}

static void
set_times(Place *place, long timeout_ms)
{
	curl_easy_setopt(place->easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(place->easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS);
	curl_easy_setopt(place->easy, CURLOPT_LOW_SPEED_LIMIT, 0L);
	curl_easy_setopt(place->easy, CURLOPT_LOW_SPEED_TIME, 0L);
}

/* What an earlier request of this place had set is set again, or unset. */
bool
transfer_prepare(Place *place, const SmsflowRequest *request)
{
	CURL *easy = place->easy;

	place->state = PLACE_TRANSFER;
	prepare_place(place);
	if (!set_headers(place, request))
		return false;
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, place->headers);
	set_times(place, request->timeout_ms);
	set_login(easy, request);
	if (strcmp(request->method, "GET") == 0)
	{
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	}
	else if (!set_body(place, request))
		return false;
	return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK;
}

/* No name, password or header of a request is told to libcurl: it connects, and no more. */
bool
transfer_connect(Place *place, const SmsflowRequest *request)
{
	CURL *easy = place->easy;

	place->state = PLACE_CONNECTING;
	place->settings = 0;
	prepare_place(place);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	set_times(place, request->timeout_ms);
	return curl_easy_setopt(easy, CURLOPT_URL, place->origin) == CURLE_OK;
}
