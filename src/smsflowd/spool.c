/*
 * The disk spool: one append-only file, "callbacks.spool", deleted when everything in it has been committed.  Behind
 * 8 bytes of magic, each record is its length, the CRC-32 of its bytes (both big-endian), and the bytes.  Records are
 * collected and made durable together with one fdatasync.  How far replay has come is not stored: after a crash
 * it starts from the beginning again, which is harmless because the receiving function ignores what it knows.
 */
#include "spool.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "callback.h"
#include "log.h"

#define SPOOL_FILE "callbacks.spool"
#define REJECTED_FILE "rejected.spool"
#define MAGIC "smsflow1"
#define MAGIC_SIZE 8
#define FRAME_SIZE 8 /* length and CRC in front of each record */
#define LONGEST_RECORD (32L << 20)

struct spool
{
	int directory; /* locked as long as the spool is open */
	int file;      /* -1 while there is none */
	int64_t limit;
	int64_t committed;      /* offset of the oldest record not yet dropped */
	int64_t next;           /* offset of the next record to replay */
	int64_t size;           /* end of the durable records */
	struct evbuffer *group; /* frames not written yet */
	char *record;           /* what spool_next returned last */
};

/* CRC-32 as in IEEE 802.3, a bit at a time: spooling waits for the disk anyway. */
static uint32_t
checksum(struct slice bytes)
{
	uint32_t crc = 0xFFFFFFFF;

	for (size_t i = 0; i < bytes.size; i++)
	{
		crc ^= (unsigned char) bytes.data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320 : 0);
	}
	return ~crc;
}

static bool
write_all(int file, struct slice bytes, int64_t offset)
{
	while (bytes.size > 0)
	{
		ssize_t written = pwrite(file, bytes.data, bytes.size, offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		bytes = (struct slice){bytes.data + written, bytes.size - (size_t) written};
		offset += written;
	}
	return true;
}

static bool
read_all(int file, char *to, size_t size, int64_t offset)
{
	while (size > 0)
	{
		ssize_t got = pread(file, to, size, offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		to += got;
		size -= (size_t) got;
		offset += got;
	}
	return true;
}

/* Opens a file of the spool, creating it durably with its magic; its size is returned in size. */
static int
open_file(struct spool *spool, const char *name, int flags, int64_t *size)
{
	int file = openat(spool->directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	struct stat status;

	if (file < 0)
		return -1;
	if (fstat(file, &status) == 0)
	{
		*size = status.st_size;
		if (*size >= MAGIC_SIZE)
			return file;
		*size = MAGIC_SIZE;
		if (write_all(file, (struct slice){MAGIC, MAGIC_SIZE}, 0) && fsync(file) == 0 && fsync(spool->directory) == 0)
			return file;
	}
	close(file);
	return -1;
}

/* Reads the record at an offset; its frame ends before end.  The bytes replace spool->record. */
static struct slice
read_record(struct spool *spool, int64_t offset, int64_t end)
{
	const struct slice none = {NULL, 0};
	char frame[FRAME_SIZE];
	struct slice record;
	int64_t length;

	if (end - offset < FRAME_SIZE || !read_all(spool->file, frame, FRAME_SIZE, offset))
		return none;
	length = get_uint32(frame);
	if (length == 0 || length > LONGEST_RECORD || length > end - offset - FRAME_SIZE)
		return none;
	free(spool->record);
	spool->record = malloc((size_t) length);
	if (spool->record == NULL || !read_all(spool->file, spool->record, (size_t) length, offset + FRAME_SIZE))
		return none;
	record = (struct slice){spool->record, (size_t) length};
	return checksum(record) == get_uint32(frame + 4) ? record : none;
}

/* Cuts off an incomplete record at the end: its client was never told that it had been accepted. */
static bool
check_records(struct spool *spool, int64_t file_size)
{
	int64_t good = MAGIC_SIZE;
	long count = 0;
	struct slice record;

	while (record = read_record(spool, good, file_size), record.size > 0)
	{
		good += FRAME_SIZE + (int64_t) record.size;
		count++;
	}
	if (good < file_size)
	{
		log_line("spool: dropped %lld bytes of an incomplete record at the end", (long long) (file_size - good));
		if (ftruncate(spool->file, good) != 0)
			return false;
	}
	spool->size = good;
	log_line("spool: %ld callbacks of an earlier run to replay", count);
	return true;
}

static bool
load_existing(struct spool *spool)
{
	char magic[MAGIC_SIZE];
	int64_t file_size;

	spool->file = open_file(spool, SPOOL_FILE, 0, &file_size);
	if (spool->file < 0)
		return errno == ENOENT;
	if (!read_all(spool->file, magic, MAGIC_SIZE, 0) || memcmp(magic, MAGIC, MAGIC_SIZE) != 0)
	{
		errno = EILSEQ;
		return false;
	}
	return check_records(spool, file_size);
}

/* Removes the drained file.  If that fails, the records would be replayed at the next start, which is harmless. */
static void
delete_file(struct spool *spool)
{
	if (spool->file >= 0)
	{
		close(spool->file);
		if (unlinkat(spool->directory, SPOOL_FILE, 0) != 0)
			log_line("spool: cannot delete the drained file: %s", strerror(errno));
	}
	spool->file = -1;
	spool->committed = spool->next = spool->size = MAGIC_SIZE;
}

struct spool *
spool_open(const char *directory, int64_t limit)
{
	struct spool *spool = calloc(1, sizeof(*spool));

	if (spool == NULL)
		return NULL;
	*spool = (struct spool){.file = -1,
							.limit = limit,
							.committed = MAGIC_SIZE,
							.next = MAGIC_SIZE,
							.size = MAGIC_SIZE,
							.group = evbuffer_new()};
	spool->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool->directory >= 0 && flock(spool->directory, LOCK_EX | LOCK_NB) == 0 && load_existing(spool))
	{
		if (spool_is_empty(spool))
			delete_file(spool);
		return spool;
	}
	log_line("spool: cannot use directory \"%s\": %s", directory,
			 errno == EWOULDBLOCK ? "another smsflowd does" : strerror(errno));
	spool_close(spool);
	return NULL;
}

void
spool_close(struct spool *spool)
{
	if (spool->file >= 0)
		close(spool->file);
	if (spool->directory >= 0)
		close(spool->directory);
	evbuffer_free(spool->group);
	free(spool->record);
	free(spool);
}

void
spool_set_limit(struct spool *spool, int64_t limit)
{
	spool->limit = limit;
}

static void
add_frame(struct evbuffer *group, struct slice record)
{
	char frame[FRAME_SIZE];

	put_uint32(frame, (uint32_t) record.size);
	put_uint32(frame + 4, checksum(record));
	evbuffer_add(group, frame, FRAME_SIZE);
	evbuffer_add(group, record.data, record.size);
}

bool
spool_append(struct spool *spool, struct slice record)
{
	int64_t size = spool->size + (int64_t) evbuffer_get_length(spool->group);

	if (record.size > LONGEST_RECORD || size + FRAME_SIZE + (int64_t) record.size > spool->limit)
		return false;
	add_frame(spool->group, record);
	return true;
}

static bool
write_group(struct evbuffer *group, int file, int64_t offset)
{
	struct slice bytes = {(const char *) evbuffer_pullup(group, -1), evbuffer_get_length(group)};

	return bytes.data != NULL && write_all(file, bytes, offset) && fdatasync(file) == 0;
}

bool
spool_sync(struct spool *spool)
{
	int64_t length = (int64_t) evbuffer_get_length(spool->group);
	int64_t ignored;
	bool good;

	if (length == 0)
		return true;
	if (spool->file < 0)
		spool->file = open_file(spool, SPOOL_FILE, O_CREAT, &ignored);
	good = spool->file >= 0 && write_group(spool->group, spool->file, spool->size);
	if (good)
		spool->size += length;
	else
	{
		log_line("spool: cannot write: %s", strerror(errno));
		if (spool->file >= 0 && ftruncate(spool->file, spool->size) != 0)
			log_line("spool: cannot cut off a failed write: %s", strerror(errno));
	}
	evbuffer_drain(spool->group, (size_t) length);
	return good;
}

struct slice
spool_next(struct spool *spool)
{
	struct slice record = {NULL, 0};

	if (spool->next < spool->size)
		record = read_record(spool, spool->next, spool->size);
	if (record.size > 0)
		spool->next += FRAME_SIZE + (int64_t) record.size;
	return record;
}

void
spool_forget(struct spool *spool, struct slice record)
{
	spool->committed += FRAME_SIZE + (int64_t) record.size;
	if (spool_is_empty(spool))
	{
		log_line("spool: everything replayed");
		delete_file(spool);
	}
}

void
spool_rewind(struct spool *spool)
{
	spool->next = spool->committed;
}

void
spool_reject(struct spool *spool, struct slice record)
{
	struct evbuffer *frame = evbuffer_new();
	int64_t size = 0;
	int file = open_file(spool, REJECTED_FILE, O_CREAT, &size);

	add_frame(frame, record);
	if (file < 0 || size + (int64_t) evbuffer_get_length(frame) > spool->limit || !write_group(frame, file, size))
		log_line("spool: a callback the database refused is lost, \"%s\" cannot take it", REJECTED_FILE);
	else
		log_line("spool: a callback the database refused is kept in \"%s\"", REJECTED_FILE);
	if (file >= 0)
		close(file);
	evbuffer_free(frame);
}

bool
spool_is_empty(const struct spool *spool)
{
	return spool->committed == spool->size;
}

int64_t
spool_bytes(const struct spool *spool)
{
	return spool->file < 0 ? 0 : spool->size;
}
