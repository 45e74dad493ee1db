/*
 * init.c - entry point of the extension: settings always; shared memory and
 * workers only when the server preloads the library.
 */
#include "smsflow.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "compat.h"

SMSFLOW_MODULE_MAGIC;

void _PG_init(void);

void
_PG_init(void)
{
	smsflow_define_settings();

	if (!process_shared_preload_libraries_in_progress)
		return;

	smsflow_request_shared_memory();

	/* pg_upgrade starts the server only to copy it; nothing may be sent. */
	if (!IsBinaryUpgrade)
		smsflow_register_workers();
}
