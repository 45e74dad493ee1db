/*
 * common.c - see common.h.
 */
#include "worker/common.h"

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

#include "worker/worker.h"

/* Messages in hand of each worker, more or less; a contact for which there is no place waits. */
#define CONTACTS_OF_A_WORKER 8192

typedef struct Common
{
	Oid schema;
	int count;
	LimitUse limit[SMSFLOW_COMMON_LIMITS];
} Common;

typedef struct ContactKey
{
	int64 contact_id;
	int64 database; /* by its place in smsflow.databases */
} ContactKey;

typedef struct ContactEntry
{
	ContactKey key;
	int number; /* of the worker that has the message */
} ContactEntry;

static Common *commons = NULL; /* one for each database */
static HTAB *contacts = NULL;

static bool
shared_by_several(void)
{
	return smsflow_workers > 1;
}

static int
databases(void)
{
	NameData names[32];

	StaticAssertStmt(lengthof(names) >= SMSFLOW_MAX_DATABASES, "names of all databases");
	return smsflow_database_names(names);
}

static int
most_contacts(void)
{
	return databases() * smsflow_workers * CONTACTS_OF_A_WORKER;
}

Size
smsflow_common_size(void)
{
	if (!shared_by_several())
		return 0;
	return add_size(mul_size(databases(), sizeof(Common)), hash_estimate_size(most_contacts(), sizeof(ContactEntry)));
}

void
smsflow_common_start(void)
{
	HASHCTL control = {.keysize = sizeof(ContactKey), .entrysize = sizeof(ContactEntry)};
	bool found;

	if (!shared_by_several())
		return;
	commons = ShmemInitStruct("smsflow limits", mul_size(databases(), sizeof(Common)), &found);
	if (!found)
		memset(commons, 0, databases() * sizeof(Common));
	contacts = ShmemInitHash("smsflow contacts", most_contacts(), most_contacts(), &control, HASH_ELEM | HASH_BLOBS);
}

void
common_lock(void)
{
	if (shared_by_several())
		LWLockAcquire(smsflow_shared->common_lock, LW_EXCLUSIVE);
}

void
common_unlock(void)
{
	if (shared_by_several())
		LWLockRelease(smsflow_shared->common_lock);
}

/* ---- limits ---- */

static int
my_database(void)
{
	return (int) (worker.slot - smsflow_shared->slot) / smsflow_workers;
}

/* A worker that still works on the old tables ends with its next transaction. */
void
common_begin(Oid schema)
{
	Common *common;

	if (!shared_by_several())
		return;
	common = &commons[my_database()];
	common_lock();
	if (common->schema != schema)
		memset(common, 0, sizeof(*common));
	common->schema = schema;
	common_unlock();
}

static LimitUse *
find(Common *common, LimitKey key)
{
	for (int i = 0; i < common->count; i++)
		if (common->limit[i].key.scope == key.scope && common->limit[i].key.id == key.id)
			return &common->limit[i];
	if (common->count == SMSFLOW_COMMON_LIMITS)
		return NULL;
	common->limit[common->count].key = key;
	return &common->limit[common->count++];
}

LimitUse *
common_limit(LimitKey key)
{
	LimitUse *use;

	common_lock();
	use = find(&commons[my_database()], key);
	common_unlock();
	if (use == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("database \"%s\" has more than %d limits", NameStr(worker.slot->database), SMSFLOW_COMMON_LIMITS),
				 errdetail("Each gateway, sender, registration and paced campaign is one, and several workers share them."),
				 errhint("Set smsflow.workers to 1 and restart the server.")));
	return use;
}

/* ---- contacts ---- */

static ContactKey
contact_key(int64 contact_id)
{
	return (ContactKey){.contact_id = contact_id, .database = my_database()};
}

bool
common_take_contact(int64 contact_id)
{
	ContactKey key = contact_key(contact_id);
	ContactEntry *entry;
	bool found = false;

	if (!shared_by_several())
		return true;
	common_lock();
	entry = hash_search(contacts, &key, HASH_ENTER_NULL, &found);
	if (entry && !found)
		entry->number = worker.slot->number;
	common_unlock();
	return entry && !found;
}

void
common_leave_contact(int64 contact_id)
{
	ContactKey key = contact_key(contact_id);

	if (!shared_by_several())
		return;
	common_lock();
	hash_search(contacts, &key, HASH_REMOVE, NULL);
	common_unlock();
}

void
common_leave_contacts(void)
{
	HASH_SEQ_STATUS scan;
	ContactEntry *entry;

	if (!shared_by_several())
		return;
	common_lock();
	hash_seq_init(&scan, contacts);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->key.database == my_database() && entry->number == worker.slot->number)
			hash_search(contacts, &entry->key, HASH_REMOVE, NULL);
	common_unlock();
}

/* ---- news ---- */

static void
tell(SmsflowSlot *slot, uint32 news)
{
	pg_atomic_fetch_or_u32(&slot->news, news);
	smsflow_wake_worker(slot);
}

void
common_tell_first(uint32 news)
{
	tell(worker.slot - worker.slot->number, news);
}

void
common_tell_others(uint32 news)
{
	SmsflowSlot *slot;

	for (int at = 0; (slot = smsflow_next_slot(MyDatabaseId, &at)) != NULL;)
		if (slot != worker.slot)
			tell(slot, news);
}
