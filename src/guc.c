/*
 * guc.c - settings of smsflow, in alphabetical order. No secret is ever a
 * setting: SHOW and pg_settings would tell it.
 */
#include "smsflow.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "compat.h"
#include "fault.h"
#include "worker/transport.h"

char *smsflow_ca_file;
char *smsflow_databases;
bool smsflow_enabled;
int smsflow_failover_hold;
char *smsflow_secrets_dir;
bool smsflow_allow_insecure_gateway;
bool smsflow_allow_private_gateway;
int smsflow_max_in_flight;
int smsflow_predicate_timeout;
int smsflow_sweep_interval;
static int retention, event_retention; /* read by SQL */
char *smsflow_public_url;
bool smsflow_require_sync_standby;
int smsflow_workers = 1;
char *smsflow_default_region;
int smsflow_arm_policy;

static const struct config_enum_entry arm_policies[] = {{"system", SMSFLOW_ARM_SYSTEM, false},
														{"timeline", SMSFLOW_ARM_TIMELINE, false},
														{NULL, 0, false}};

static bool
check_region(char **newval, void **extra, GucSource source)
{
	const char *region = *newval;

	if (region == NULL || region[0] == '\0')
		return true;
	if (strlen(region) == 2 && isupper((unsigned char) region[0]) && isupper((unsigned char) region[1]))
		return true;
	GUC_check_errdetail("A region is two capital letters, such as \"US\".");
	return false;
}

static bool
check_public_url(char **newval, void **extra, GucSource source)
{
	const char *url = *newval;

	if (url == NULL || url[0] == '\0')
		return true;
	if ((strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0) && strpbrk(url, "?# \t\r\n") == NULL)
		return true;
	GUC_check_errdetail("The base of callback URLs is http:// or https://, a host, and perhaps a path.");
	return false;
}

/* Fixed at server start, so they only exist in a server that preloads smsflow. */
static void
define_workers(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomStringVariable("smsflow.databases", "Databases that have a worker, separated by commas.",
							   "Each takes one slot of max_worker_processes.", &smsflow_databases, "", PGC_POSTMASTER,
							   GUC_LIST_INPUT, NULL, NULL, NULL);
	DefineCustomIntVariable("smsflow.workers", "Workers of each database.",
							"They share the gateways among themselves; each takes one slot of max_worker_processes.",
							&smsflow_workers, 1, 1, SMSFLOW_MAX_WORKERS, PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

void
smsflow_define_settings(void)
{
	DefineCustomBoolVariable("smsflow.allow_insecure_gateway", "Allows gateways with plain http.",
							 "For gateways on the loopback interface and for tests; secrets travel in clear.",
							 &smsflow_allow_insecure_gateway, false, PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomBoolVariable("smsflow.allow_private_gateway", "Allows gateways on this machine and in private networks.",
							 "As smsflow.allow_insecure_gateway does. Link-local addresses are never allowed.",
							 &smsflow_allow_private_gateway, false, PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomEnumVariable("smsflow.arm_policy", "What makes a database a copy that must be armed again.",
							 "system: another system identifier or database; timeline: also a promotion or recovery.",
							 &smsflow_arm_policy, SMSFLOW_ARM_SYSTEM, arm_policies, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("smsflow.ca_file", "File of certificates that gateways with https are verified by.",
							   "Empty: those of the system.", &smsflow_ca_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL,
							   NULL);
	define_workers();
	DefineCustomStringVariable("smsflow.default_region", "Region of phone numbers written without a country code.",
							   "Two capital letters, or empty: such numbers are refused.", &smsflow_default_region, "",
							   PGC_USERSET, 0, check_region, NULL, NULL);
	DefineCustomBoolVariable("smsflow.enabled", "Lets the worker run.",
							 "Off: the worker waits without a connection to its database and sends nothing.", &smsflow_enabled,
							 true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("smsflow.failover_hold", "Time for which a promoted server holds marketing.",
							"Reports of what the lost server sent come in meanwhile.", &smsflow_failover_hold, 120, 0, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("smsflow.max_in_flight", "Requests on the wire at one time, over all gateways.", NULL,
							&smsflow_max_in_flight, 256, 1, SMSFLOW_MAX_PLACES, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("smsflow.predicate_timeout", "Time after which a condition written by a user is ended.",
							"One look at a batch of contacts, by the segment of a cap or a condition of a sequence.",
							&smsflow_predicate_timeout, 3000, 10, 600000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("smsflow.public_url", "Base of callback URLs, as gateways reach smsflowd.",
							   "Empty: gateways are not asked for delivery reports.", &smsflow_public_url, "", PGC_SIGHUP, 0,
							   check_public_url, NULL, NULL);
	DefineCustomBoolVariable("smsflow.require_sync_standby", "Sends only when a standby confirms each claim.",
							 "Needs synchronous_standby_names; then nothing sent is unknown to that standby.",
							 &smsflow_require_sync_standby, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("smsflow.secrets_dir", "Directory with one file per secret, named as the gateway.",
							   "Files belong to the server's user and are readable by nobody else.", &smsflow_secrets_dir, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("smsflow.sweep_interval", "Time after which the worker looks for work without being woken.",
							"Covers prepared transactions and lost wake-ups.", &smsflow_sweep_interval, 30000, 100, 3600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("smsflow.retention", "Age at which messages are dropped by smsflow.apply_retention(), 0 never.",
							"They go in segments of 1,048,576, when the youngest of a segment has this age.", &retention, 0, 0,
							PG_INT32_MAX, PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("smsflow.event_retention", "Age at which events are deleted by smsflow.apply_retention(), 0 never.",
							"Facts of the profile keep what they counted.", &event_retention, 0, 0, PG_INT32_MAX, PGC_SUSET,
							GUC_UNIT_MIN, NULL, NULL, NULL);
	smsflow_define_faults();
	MarkGUCPrefixReserved(SMSFLOW_SCHEMA);
}
