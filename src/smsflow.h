/*
 * smsflow.h - what the rooms of the extension share: the settings, and the
 * words a backend says to the worker. Everything a backend says is kept until
 * its transaction commits, and is lost with it when it does not.
 */
#ifndef SMSFLOW_H
#define SMSFLOW_H

#include "postgres.h"
#include "utils/timestamp.h"

#define SMSFLOW_SCHEMA "smsflow"

/* Settings, defined in guc.c. */
extern char *smsflow_ca_file;
extern char *smsflow_databases;
extern bool smsflow_enabled;
extern int smsflow_failover_hold; /* seconds */
extern bool smsflow_require_sync_standby;
extern char *smsflow_secrets_dir;
extern bool smsflow_allow_insecure_gateway;
extern bool smsflow_allow_private_gateway;
extern int smsflow_max_in_flight;     /* requests, over all gateways */
extern int smsflow_predicate_timeout; /* milliseconds */
extern int smsflow_sweep_interval;    /* milliseconds */
extern char *smsflow_public_url;
extern char *smsflow_default_region;
extern int smsflow_arm_policy;
extern int smsflow_workers; /* of each database */

#define SMSFLOW_MAX_WORKERS 8

typedef enum SmsflowArmPolicy
{
	SMSFLOW_ARM_SYSTEM,  /* same system identifier and database */
	SMSFLOW_ARM_TIMELINE /* and no promotion or recovery since */
} SmsflowArmPolicy;

extern void smsflow_define_settings(void);

/* What must no longer be sent, published to the worker at commit. */
typedef enum SmsflowRevocationKind
{
	SMSFLOW_REVOKE_CONTACT = 1,
	SMSFLOW_REVOKE_MESSAGE,
	SMSFLOW_REVOKE_CAMPAIGN,
	SMSFLOW_REVOKE_ENROLLMENT
} SmsflowRevocationKind;

typedef struct SmsflowRevocation
{
	SmsflowRevocationKind kind;
	int64 id;
} SmsflowRevocation;

extern void smsflow_note_enqueued(int32 queue_id);
extern void smsflow_note_event(void);
extern void smsflow_note_callback(void);
extern void smsflow_note_config(void);
extern void smsflow_note_rules(void);
extern void smsflow_note_revocation(SmsflowRevocationKind kind, int64 id);

/*
 * The COMMIT of this transaction returns when the worker has nothing for this
 * contact in hand any more, or after 30 seconds with a WARNING. A transaction
 * that is prepared cannot wait (SF005). See await.c.
 */
extern void smsflow_await_after_commit(int64 contact_id);

/* True when the library was preloaded, so that shared memory exists. */
extern bool smsflow_preloaded(void);

/* Registration of the static workers, smsflow.workers of them per name in smsflow.databases. */
extern void smsflow_register_workers(void);
extern void smsflow_request_shared_memory(void);
PGDLLEXPORT void smsflow_worker_main(Datum main_arg);

/*
 * Reads the secret of that name from smsflow.secrets_dir, or else from the
 * table smsflow.secret (needs a transaction). Returns a palloc'ed string, or
 * NULL with the reason in *problem (words, never the secret).
 */
extern char *smsflow_read_secret(const char *name, const char **problem);

/* In PG_CATCH: raises the error again, one of our own without the lines of CONTEXT that PostgreSQL added (outer.c). */
extern void smsflow_rethrow_bare(MemoryContext context) __attribute__((noreturn));

/* HMAC-SHA256 of text under key, first 16 bytes as 32 hex digits. */
#define SMSFLOW_MAC_LENGTH 32
extern void smsflow_mac(const char *key, const char *text, char out[SMSFLOW_MAC_LENGTH + 1]);

#endif
