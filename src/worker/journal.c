/*
 * journal.c - see journal.h.
 */
#include "worker/journal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/fd.h"

#define JOURNAL_MAGIC UINT64CONST(0x736d73666c6f7731)
#define BOOT_ID_SIZE 40

typedef struct Entry
{
	int64 message_id;
	int32 attempt;
	volatile int32 on_wire;
} Entry;

typedef struct Journal
{
	uint64 magic;
	int64 generation;
	char boot_id[BOOT_ID_SIZE];
	Entry entries[SMSFLOW_JOURNAL_PLACES];
} Journal;

static Journal *journal = NULL;
static int free_places[SMSFLOW_JOURNAL_PLACES];
static int free_count = 0;

/* Differs after every boot; empty where the system does not tell. */
static void
read_boot_id(char *boot_id)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, boot_id, BOOT_ID_SIZE - 1);

	if (fd >= 0)
		close(fd);
	boot_id[length < 0 ? 0 : length] = '\0';
}

static int
open_file(const char *path)
{
	int fd = OpenTransientFile(path, O_RDWR | O_CREAT | PG_BINARY);

	/* Reserved, not only sized: a store into a hole of a full disk kills the server. */
	if (fd >= 0)
		errno = posix_fallocate(fd, 0, sizeof(Journal));
	if (fd < 0 || errno != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not make the journal \"%s\": %m", path),
						errhint("The worker needs a few kilobytes in the data directory.")));
	return fd;
}

void
smsflow_journal_open(Oid database, int number)
{
	char path[MAXPGPATH];
	int fd;

	if (journal)
		return;
	if (MakePGDirectory("smsflow") < 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create directory \"smsflow\": %m")));
	if (number == 0)
		snprintf(path, sizeof(path), "smsflow/%u.journal", database);
	else
		snprintf(path, sizeof(path), "smsflow/%u.%d.journal", database, number);
	fd = open_file(path);
	journal = mmap(NULL, sizeof(Journal), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CloseTransientFile(fd);
	if (journal == MAP_FAILED)
	{
		journal = NULL;
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not map the journal \"%s\": %m", path)));
	}
}

bool
smsflow_journal_trusted(int64 generation)
{
	char boot_id[BOOT_ID_SIZE] = {0};

	read_boot_id(boot_id);
	return journal->magic == JOURNAL_MAGIC && journal->generation == generation && boot_id[0] != '\0' &&
		   memcmp(boot_id, journal->boot_id, BOOT_ID_SIZE) == 0;
}

bool
smsflow_journal_had(int64 message_id, int attempt)
{
	for (int i = 0; i < SMSFLOW_JOURNAL_PLACES; i++)
		if (journal->entries[i].message_id == message_id && journal->entries[i].attempt == attempt)
			return journal->entries[i].on_wire != 0;
	return false;
}

void
smsflow_journal_begin(int64 generation)
{
	memset(journal, 0, sizeof(Journal));
	read_boot_id(journal->boot_id);
	journal->generation = generation;
	pg_write_barrier();
	journal->magic = JOURNAL_MAGIC;
	free_count = 0;
	for (int i = SMSFLOW_JOURNAL_PLACES - 1; i >= 0; i--)
		free_places[free_count++] = i;
}

int
smsflow_journal_take(int64 message_id, int attempt)
{
	int place;

	if (free_count == 0)
		return -1;
	place = free_places[--free_count];
	journal->entries[place].on_wire = 0;
	journal->entries[place].attempt = attempt;
	journal->entries[place].message_id = message_id;
	return place;
}

void
smsflow_journal_on_wire(int place)
{
	journal->entries[place].on_wire = 1;
	pg_write_barrier();
}

void
smsflow_journal_release(int place)
{
	journal->entries[place].message_id = 0;
	journal->entries[place].on_wire = 0;
	free_places[free_count++] = place;
}
