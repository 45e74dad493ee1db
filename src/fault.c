/*
 * fault.c - see fault.h. The setting smsflow.fault is "point:action[:n]": at the
 * n-th time (1 by default) that a process comes to the point, it raises an error,
 * is killed, pauses for half a second, or hangs for a minute without looking at anything. It happens once:
 * a file named after the setting says that it has, also to the processes after
 * it, and to the test. Transactions that have written nothing pass.
 */
#ifndef SMSFLOW_FAULTS
#define SMSFLOW_FAULTS
#endif
#include "fault.h"

#include "smsflow.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"

/* In the data directory, where the worker has its journal. */
#define MARK "smsflow/fault."
#define HANG_SECONDS 60
#define PAUSE_MICROSECONDS 500000

static char *setting;
static int hits;

static void
count_anew(const char *newval, void *extra)
{
	hits = 0;
}

void
smsflow_define_faults(void)
{
	DefineCustomStringVariable("smsflow.fault", "Place and way in which a process fails, for tests.", "point:action[:n]",
							   &setting, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, count_anew, NULL);
}

static bool
nothing_to_lose(void)
{
	return IsTransactionState() && !TransactionIdIsValid(GetTopTransactionIdIfAny());
}

/* Action of the setting when it is about this point, and due at this time. */
static const char *
action_due(const char *point)
{
	size_t length = strlen(point);
	const char *number;

	if (setting == NULL || strncmp(setting, point, length) != 0 || setting[length] != ':' || nothing_to_lose())
		return NULL;
	number = strchr(setting + length + 1, ':');
	return ++hits >= (number ? atoi(number + 1) : 1) ? setting + length + 1 : NULL;
}

/* False when it has happened before, perhaps in a process that is gone. */
static bool
mark(void)
{
	char path[MAXPGPATH];
	int fd;

	snprintf(path, sizeof(path), MARK "%s", setting);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void
smsflow_fault(const char *point)
{
	const char *action = action_due(point);

	if (action == NULL || !mark())
		return;
	if (strncmp(action, "kill", 4) == 0)
		kill(MyProcPid, SIGKILL);
	else if (strncmp(action, "pause", 5) == 0)
		pg_usleep(PAUSE_MICROSECONDS);
	else if (strncmp(action, "hang", 4) == 0)
		for (int i = 0; i < HANG_SECONDS * 10; i++)
			pg_usleep(100000);
	else
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("fault at \"%s\"", point)));
}
