/*
 * gateway.h - what receiving a callback needs to know of its gateway: how its
 * profile lays out, signs and answers callbacks.
 */
#ifndef SMSFLOW_CALLBACK_GATEWAY_H
#define SMSFLOW_CALLBACK_GATEWAY_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "callback/fields.h"

/* Where a reply keeps what; NULL: nowhere. */
typedef struct ReplyPaths
{
	const char *from;
	const char *to;
	const char *body;
	const char *id;
	const char *charset;
	const char *binary;
	const char *part_ref;
	const char *part_total;
	const char *part_number;
	bool percent;
} ReplyPaths;

typedef struct CallbackGateway
{
	int32 id;
	char *name;
	Jsonb *report;
	Jsonb *inbound;
	Jsonb *callback;
	Jsonb *signature; /* with the gateway's own settings */
	bool ready;       /* what follows is filled in */

	SmsflowBodyRules rules;
	ReplyPaths reply;
	Jsonb *reply_when; /* fields that tell a reply from a report; NULL: no status does */
	const char *status_path;
	const char *reference_path;
	const char *confirm_path; /* of a URL that a person has to visit */
	const char *answer;
	const char *answer_type;
	char **keys;    /* secrets that sign callbacks, ended by NULL; NULL: not signed */
	bool keys_fail; /* there are some, but they cannot be read */
} CallbackGateway;

/* Every gateway, by name; needs SPI. */
typedef struct CallbackGateways
{
	int count;
	CallbackGateway *gateway;
} CallbackGateways;

extern CallbackGateways smsflow_callback_gateways(void);

/* The gateway of this name, ready for use, or NULL. */
extern CallbackGateway *smsflow_callback_gateway(CallbackGateways *gateways, const char *name);

/* The text at paths of a record, palloc'ed, or NULL; paths may be NULL. */
extern char *smsflow_record_text(Jsonb *record, const char *paths);

#endif
