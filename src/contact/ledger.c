/*
 * ledger.c - writing the consent ledger.
 *
 * Everything that is recorded about consent, one entry or a slice of an import, is written by the one statement below:
 * the entry, the contact's folded consent, the head of its chain and its proof, so that they cannot part. The caller
 * has locked the contacts. A contact appears at most once in a call, because each entry is chained to the one before.
 */
#include "contact/contact.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "errcodes.h"
#include "smsflow.h"
#include "types/types.h"

#define COLUMNS 10

static SmsflowStatement append_entries =
	{.sql = "WITH entry AS MATERIALIZED ("
			"  SELECT ROW(NULL, c.contact_id, n.kind, n.purposes::smsflow.purpose[], n.level::smsflow.consent_level, n.source,"
			"   n.disclosure, n.words, n.evidence, n.occurred_at, clock_timestamp(), session_user, pg_current_xact_id(),"
			"   c.ledger_head, NULL, n.version, s.salt, smsflow.personal_digest(s.salt, n.words, n.evidence)"
			"   )::smsflow.consent_event AS e"
			"  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
			"   AS n (contact_id, kind, purposes, level, source, disclosure, version, words, evidence, occurred_at)"
			"  JOIN smsflow.contact AS c USING (contact_id)"
			"  CROSS JOIN LATERAL (SELECT uuid_send(gen_random_uuid()) AS salt WHERE n.contact_id IS NOT NULL OFFSET 0) AS s"
			" ), appended AS ("
			"  INSERT INTO smsflow.consent_event (contact_id, kind, purposes, level, source, disclosure, words, evidence,"
			"   occurred_at, recorded_at, recorded_by, xid, previous_hash, hash, disclosure_version, salt, personal_digest)"
			"  SELECT (e).contact_id, (e).kind, (e).purposes, (e).level, (e).source, (e).disclosure, (e).words, (e).evidence,"
			"   (e).occurred_at, (e).recorded_at, (e).recorded_by, (e).xid, (e).previous_hash, smsflow.consent_event_hash(e),"
			"   (e).disclosure_version, (e).salt, (e).personal_digest"
			"  FROM entry RETURNING consent_event_id, contact_id, hash,"
			"   smsflow.consent_of(kind, purposes::text[], level::text, occurred_at) AS effect"
			" )"
			" UPDATE smsflow.contact AS c SET updated_at = clock_timestamp(), ledger_head = a.hash,"
			"  consent = c.consent OPERATOR(smsflow.+) a.effect,"
			"  proof = smsflow.next_proof(c.proof, c.consent, a.effect, a.consent_event_id)"
			" FROM appended AS a WHERE c.contact_id = a.contact_id",
	 .generic = true,
	 .nargs = COLUMNS,
	 .types = (const Oid[]){INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
							TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID}};

/* A revocation older than other entries may end the one that is the proof, and leave another. */
static SmsflowStatement renew_proof = {.sql =
										   "UPDATE smsflow.contact SET proof = smsflow.proof_of(contact_id) WHERE contact_id = $1"
										   " AND proof IS DISTINCT FROM smsflow.proof_of(contact_id)",
									   .nargs = 1,
									   .types = (const Oid[]){INT8OID}};

/* purpose_names returns a set of purposes as an array of names. */
static ArrayType *
purpose_names(unsigned purposes)
{
	Datum names[SMSFLOW_PURPOSES];
	int count = 0;

	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
		if (purposes & (1u << purpose))
			names[count++] = CStringGetTextDatum(smsflow_purpose_name((SmsflowPurpose) purpose));
	return construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT);
}

/* single returns an array of one element. */
static NullableDatum
single(NullableDatum element, Oid type)
{
	int one = 1;
	bool by_value = type == INT8OID || type == TIMESTAMPTZOID;
	char align = by_value ? TYPALIGN_DOUBLE : TYPALIGN_INT;

	return smsflow_value(PointerGetDatum(
		construct_md_array(&element.value, &element.isnull, 1, &one, &one, type, by_value ? 8 : -1, by_value, align)));
}

static NullableDatum
optional_text(const char *text)
{
	return text ? smsflow_value(CStringGetTextDatum(text)) : (NullableDatum){0, true};
}

static char *
purposes_literal(unsigned purposes)
{
	Oid out;
	bool is_varlena;

	getTypeOutputInfo(TEXTARRAYOID, &out, &is_varlena);
	return OidOutputFunctionCall(out, PointerGetDatum(purpose_names(purposes)));
}

void
smsflow_append_to_ledger(int64 contact_id, const LedgerEntry *entry)
{
	const NullableDatum args[COLUMNS] = {
		single(smsflow_value(Int64GetDatum(contact_id)), INT8OID),
		single(optional_text(entry->kind), TEXTOID),
		single(optional_text(purposes_literal(entry->purposes)), TEXTOID),
		single(optional_text(entry->level), TEXTOID),
		single(optional_text(entry->source), TEXTOID),
		single(entry->disclosure, TEXTOID),
		single(entry->disclosure_version, TEXTOID),
		single(entry->words, TEXTOID),
		single(entry->evidence, JSONBOID),
		single(smsflow_value(TimestampTzGetDatum(entry->occurred_at)), TIMESTAMPTZOID),
	};

	if (smsflow_execute(&append_entries, args) != 1)
		elog(ERROR, "contact disappeared while its consent was recorded");
}

void
smsflow_renew_proof(int64 contact_id)
{
	const NullableDatum key[] = {smsflow_value(Int64GetDatum(contact_id))};

	smsflow_execute(&renew_proof, key);
}

/* append_entries(contact_ids, kinds, purposes, levels, sources, disclosures, versions, words, evidence, instants) */
PG_FUNCTION_INFO_V1(smsflow_pg_append_entries);
Datum
smsflow_pg_append_entries(PG_FUNCTION_ARGS)
{
	NullableDatum args[COLUMNS];
	uint64 appended;

	for (int i = 0; i < COLUMNS; i++)
		args[i] = fcinfo->args[i];
	SPI_connect();
	appended = smsflow_execute(&append_entries, args);
	SPI_finish();
	PG_RETURN_INT64((int64) appended);
}

/* ---- what an entry says ---- */

SmsflowConsent
smsflow_effect_of(unsigned purposes, SmsflowLevel level, TimestampTz at)
{
	SmsflowConsent effect;

	smsflow_consent_clear(&effect);
	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
	{
		if ((purposes & (1u << purpose)) == 0)
			continue;
		if (level == SMSFLOW_LEVEL_NONE)
			smsflow_consent_revoke(&effect, (SmsflowPurpose) purpose, at);
		else
			smsflow_consent_grant(&effect, (SmsflowPurpose) purpose, level, at);
	}
	return effect;
}

/*
 * consent_of(kind text, purposes text[], level text, at timestamptz) returns consent: the value of one ledger entry.
 * The fold of the ledger, in every place where it is made, is the sum of these.
 */
PG_FUNCTION_INFO_V1(smsflow_pg_consent_of);
Datum
smsflow_pg_consent_of(PG_FUNCTION_ARGS)
{
	unsigned purposes = smsflow_purposes_argument(fcinfo, 1);
	SmsflowLevel level = SMSFLOW_LEVEL_NONE;
	SmsflowConsent effect;

	if (!PG_ARGISNULL(2))
	{
		const char *name = smsflow_level_argument(fcinfo, 2);

		smsflow_level_from_name(name, strlen(name), &level);
	}
	effect = smsflow_effect_of(purposes, level, PG_GETARG_TIMESTAMPTZ(3));
	PG_RETURN_CONSENT_P(&effect);
}

/* ---- proof ---- */

/* granted_level returns the level that an effect grants to a purpose in spite of the revocations known before. */
static SmsflowLevel
granted_level(const SmsflowConsent *effect, const SmsflowConsent *before, SmsflowPurpose purpose)
{
	SmsflowConsent sum = *effect;

	sum.revoked[purpose] = Max(sum.revoked[purpose], before->revoked[purpose]);
	return smsflow_consent_level(&sum, purpose);
}

static void
read_proof(ArrayType *array, int64 proof[SMSFLOW_PURPOSES])
{
	Datum *ids;
	int count;

	memset(proof, 0, sizeof(int64) * SMSFLOW_PURPOSES);
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &ids, NULL, &count);
	for (int i = 0; i < Min(count, SMSFLOW_PURPOSES); i++)
		proof[i] = DatumGetInt64(ids[i]);
}

/*
 * next_proof(proof bigint[], before consent, effect consent, consent_event_id bigint) returns bigint[]: per purpose the
 * entry that grants the highest level, of several the newest; 0 where nothing is permitted.
 */
PG_FUNCTION_INFO_V1(smsflow_pg_next_proof);
Datum
smsflow_pg_next_proof(PG_FUNCTION_ARGS)
{
	const SmsflowConsent *before = PG_GETARG_CONSENT_P(1);
	const SmsflowConsent *effect = PG_GETARG_CONSENT_P(2);
	SmsflowConsent after = *before;
	int64 proof[SMSFLOW_PURPOSES];
	Datum ids[SMSFLOW_PURPOSES];

	read_proof(PG_GETARG_ARRAYTYPE_P(0), proof);
	smsflow_consent_merge(&after, effect);
	for (SmsflowPurpose purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
	{
		SmsflowLevel granted = granted_level(effect, before, purpose);

		if (granted != SMSFLOW_LEVEL_NONE && granted >= smsflow_consent_level(before, purpose))
			proof[purpose] = PG_GETARG_INT64(3);
		else if (smsflow_consent_level(&after, purpose) == SMSFLOW_LEVEL_NONE)
			proof[purpose] = 0;
		ids[purpose] = Int64GetDatum(proof[purpose]);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(ids, SMSFLOW_PURPOSES, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
