/*
 * policy.c - the consent level a purpose needs, from smsflow.policy_rule.
 *
 * The gate asks for every message, so a session keeps the rules in memory. It
 * forgets them when somebody changes the table, and when a rule begins or ends
 * to be in force.
 */
#include "smsflow.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "catalog/namespace.h"

#include "message/spi.h"
#include "types/types.h"

static SmsflowLevel required[SMSFLOW_PURPOSES];
static TimestampTz valid_until = 0; /* 0: nothing loaded */
static Oid	rules_relid = InvalidOid;

static void
forget_rules(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == rules_relid)
		valid_until = 0;
}

static void
watch_rules(void)
{
	static bool watching = false;

	rules_relid = get_relname_relid("policy_rule", get_namespace_oid(SMSFLOW_SCHEMA, false));
	if (!watching)
		CacheRegisterRelcacheCallback(forget_rules, (Datum) 0);
	watching = true;
}

static void
read_rules(void)
{
	SmsflowPurpose purpose;
	SmsflowLevel level;
	bool		isnull;

	/* A purpose without a rule needs the most. */
	for (int i = 0; i < SMSFLOW_PURPOSES; i++)
		required[i] = SMSFLOW_LEVEL_CONFIRMED;

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		char	   *name = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1);
		char	   *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 2);

		if (name && value && smsflow_purpose_from_name(name, strlen(name), &purpose) &&
			smsflow_level_from_name(value, strlen(value), &level))
			required[purpose] = level;
		valid_until = DatumGetTimestampTz(smsflow_spi_value(row, 3, &isnull));
	}
}

static void
load_rules(void)
{
	static SPIPlanPtr plan = NULL;

	watch_rules();
	valid_until = DT_NOEND;
	SPI_connect();
	smsflow_spi_plan(&plan,
					 "SELECT DISTINCT ON (p.purpose) p.purpose::text, p.value,"
					 " COALESCE((SELECT min(x.at) FROM (SELECT lower(effective) FROM smsflow.policy_rule"
					 "  UNION ALL SELECT upper(effective) FROM smsflow.policy_rule) AS x (at)"
					 "  WHERE x.at > statement_timestamp() AND isfinite(x.at)), 'infinity')"
					 " FROM smsflow.policy_rule p"
					 " WHERE p.kind = 'consent_level' AND p.jurisdiction = '*' AND p.effective @> statement_timestamp()"
					 " ORDER BY p.purpose, p.policy_rule_id DESC", 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	read_rules();
	SPI_finish();
}

static SmsflowLevel
required_level(SmsflowPurpose purpose)
{
	if (GetCurrentTimestamp() >= valid_until)
		load_rules();
	return required[purpose];
}

static bool
ever_granted(const SmsflowConsent *consent, SmsflowPurpose purpose)
{
	for (int i = 0; i < SMSFLOW_LEVELS - 1; i++)
		if (consent->granted[purpose][i] != SMSFLOW_NEVER)
			return true;
	return false;
}

PG_FUNCTION_INFO_V1(smsflow_consent_refusal);
Datum
smsflow_consent_refusal(PG_FUNCTION_ARGS)
{
	SmsflowConsent *consent = PG_GETARG_CONSENT_P(0);
	SmsflowPurpose purpose = smsflow_purpose_from_oid(PG_GETARG_OID(1));
	SmsflowLevel level = smsflow_consent_level(consent, purpose);
	const char *reason;

	if (level >= required_level(purpose))
		PG_RETURN_NULL();
	if (level != SMSFLOW_LEVEL_NONE)
		reason = "consent_too_low";
	else if (consent->revoked[purpose] != SMSFLOW_NEVER || ever_granted(consent, purpose))
		reason = "opted_out";
	else
		reason = "no_consent";
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

PG_FUNCTION_INFO_V1(smsflow_policy_changed);
Datum
smsflow_policy_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
