/*
 * secret.h - what the callback room and the worker need of secrets, next to
 * smsflow_read_secret() and smsflow_mac() in smsflow.h.
 *
 * The path of a URL we hand out is signed: the MAC is that of everything
 * before the separator in front of it, so of "/callback/<gateway>/<message>.<attempt>"
 * or "/in/<gateway>".
 */
#ifndef SMSFLOW_SECRET_H
#define SMSFLOW_SECRET_H

#include "smsflow.h"

/* Name of the key of our own URLs in smsflow.secret; arm() makes it. */
#define SMSFLOW_CALLBACK_KEY "callback_key"

/*
 * The key, palloc'ed, or NULL when there is none yet. Only the table counts: a
 * copy of the database must not answer for URLs of the original.
 */
extern char *smsflow_callback_key(void);

/*
 * smsflow_read_secret() for what goes into requests: of one line, because a header can have no other, and messages would be
 * set aside for it, one after the other.
 */
extern char *smsflow_read_gateway_secret(const char *name, const char **problem);

/* Whether this problem of smsflow_read_secret() is that there is no such secret at all. */
extern bool smsflow_secret_is_missing(const char *problem);

/* Compares two MACs in a time that does not depend on where they differ. */
extern bool smsflow_mac_equal(const char *mac, const char *expected);

#endif
