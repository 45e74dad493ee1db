/*
 * contact.h - what other rooms need from contacts: brands, purposes and running the statements of a room.
 */
#ifndef SMSFLOW_CONTACT_H
#define SMSFLOW_CONTACT_H

#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"

#include "core/consent.h"
#include "core/purpose.h"
#include "utils/timestamp.h"

/* A statement that is planned once per backend and kept. */
typedef struct SmsflowStatement
{
	const char *sql;
	int nargs;
	const Oid *types;
	bool generic;    /* one plan for all values: planning anew costs more than it saves */
	SPIPlanPtr plan; /* NULL until first used */
} SmsflowStatement;

/*
 * smsflow_execute runs a statement inside an open SPI connection, with a snapshot of its own; rows are in SPI_tuptable.
 * Returns how many rows it gave or changed.
 */
extern uint64 smsflow_execute(SmsflowStatement *statement, const NullableDatum *args);

/* smsflow_result reads a column (from 1) of the first row of the last statement. */
extern NullableDatum smsflow_result(int column);

static inline NullableDatum
smsflow_value(Datum value)
{
	return (NullableDatum){value, false};
}

typedef struct LedgerEntry
{
	const char *kind;  /* grant, confirm or revoke */
	unsigned purposes; /* bits (1 << SmsflowPurpose) */
	const char *level; /* NULL for a revocation */
	const char *source;
	NullableDatum disclosure;
	NullableDatum disclosure_version;
	NullableDatum words;
	NullableDatum evidence;
	TimestampTz occurred_at;
} LedgerEntry;

/*
 * smsflow_append_to_ledger writes an entry and its effect; the caller has locked the contact. Needs an open SPI
 * connection.
 */
extern void smsflow_append_to_ledger(int64 contact_id, const LedgerEntry *entry);

/* smsflow_renew_proof recomputes contact.proof from the ledger, after a revocation recorded late. */
extern void smsflow_renew_proof(int64 contact_id);

/* smsflow_effect_of returns what one ledger entry adds to a consent; level NONE is a revocation. */
extern SmsflowConsent smsflow_effect_of(unsigned purposes, SmsflowLevel level, TimestampTz at);

/* Arguments that are purposes (as bits) or a level that can be granted; both raise SF007. */
extern unsigned smsflow_purposes_argument(FunctionCallInfo fcinfo, int n);
extern const char *smsflow_level_argument(FunctionCallInfo fcinfo, int n);

/*
 * smsflow_phone_argument reads a phone number and gives its text as E.164; raises SF007 for none, SF001 for a bad one.
 * smsflow_purpose_argument checks the name of a purpose; raises SF007.
 */
extern NullableDatum smsflow_phone_argument(FunctionCallInfo fcinfo, int n);
extern NullableDatum smsflow_purpose_argument(FunctionCallInfo fcinfo, int n);

/* smsflow_new_phone_argument is the same for somebody who may become a contact: a number that no phone can have is SF001. */
extern NullableDatum smsflow_new_phone_argument(FunctionCallInfo fcinfo, int n);

/* Arguments that must be a text with something in it, and a JSON object (null is an empty one); `name` is for the SF007 they raise. */
extern const char *smsflow_text_argument(FunctionCallInfo fcinfo, int n, const char *name);
extern NullableDatum smsflow_object_argument(FunctionCallInfo fcinfo, int n, const char *name);

/* smsflow_check_place raises SF007 for a time zone, and warns of a region, among the attributes of a contact (jsonb) that does not exist. */
extern void smsflow_check_place(NullableDatum attributes);

/* smsflow_purpose_named returns a purpose by name; raises SF007. */
extern SmsflowPurpose smsflow_purpose_named(const char *name);

/* smsflow_brand_argument is smsflow_brand_id of an argument; a null is the default brand. */
extern int32 smsflow_brand_argument(FunctionCallInfo fcinfo, int n);

/* smsflow_brand_id returns the id of a brand; raises SF004. Needs an open SPI connection. */
extern int32 smsflow_brand_id(const char *name);

#endif /* SMSFLOW_CONTACT_H */
