/*
 * The disk spool: one append-only file, "callbacks.spool", deleted when everything in it has been committed.  Behind
 * 8 bytes of magic, each record is its length, the CRC-32 of its bytes (both big-endian), and the bytes.  Records are
 * collected and made durable together with one fdatasync.  How far replay has come is not stored: after a crash
 * it starts from the beginning again, which is harmless because the receiving function ignores what it knows.
 *
 * What is no record, because a write was torn or the disk lost something, is passed over: the next record is found by its
 * form and its CRC.  A stranger who puts a record into the body of one that is damaged gets no further than with a
 * request of its own, because the database trusts neither.
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
#include "memory.h"

#define SPOOL_FILE "callbacks.spool"
#define REJECTED_FILE "rejected.spool"
#define DAMAGED_FILE "damaged.spool"
#define MAGIC "smsflow1"
#define MAGIC_SIZE 8
#define FRAME_SIZE 8 /* length and CRC in front of each record */
#define SHORTEST_RECORD (4 * FIELD_COUNT)
#define LONGEST_RECORD (32L << 20)
#define PAGE_SIZE 4096
#define PIECE_SIZE (1L << 20) /* of damage, in DAMAGED_FILE */

struct spool
{
	int directory; /* locked as long as the spool is open */
	int file;      /* -1 while there is none */
	int64_t limit;
	int64_t committed;      /* offset of the oldest record not yet dropped */
	int64_t next;           /* offset of the next record to replay */
	int64_t size;           /* end of the durable records */
	int64_t kept;           /* damage in front of this offset was kept aside */
	uint64_t damaged;       /* bytes of damage */
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

/* Reads what can be read; a page that the disk does not give is zeros. */
static void
read_pages(int file, char *to, size_t size, int64_t offset)
{
	memset(to, 0, size);
	while (size > 0)
	{
		size_t rest = (size_t) (PAGE_SIZE - offset % PAGE_SIZE);
		size_t piece = size < rest ? size : rest;

		if (!read_all(file, to, piece, offset))
			memset(to, 0, piece);
		to += piece;
		size -= piece;
		offset += (int64_t) piece;
	}
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

/* ---- records, and what is between them ---- */

static bool
is_length(int64_t length, int64_t room)
{
	return length >= SHORTEST_RECORD && length <= LONGEST_RECORD && length <= room - FRAME_SIZE;
}

/* Where a record would end that has the form of one, its fields filling the length that its frame says; -1 if it has not. */
static int64_t
form_end(const struct spool *spool, int64_t offset, int64_t room)
{
	char size[4];
	int64_t end;

	if (room < FRAME_SIZE || !read_all(spool->file, size, 4, offset) || !is_length(get_uint32(size), room))
		return -1;
	end = offset + FRAME_SIZE + (int64_t) get_uint32(size);
	offset += FRAME_SIZE;
	for (int i = 0; i < FIELD_COUNT; i++)
	{
		if (end - offset < 4 || !read_all(spool->file, size, 4, offset))
			return -1;
		offset += 4 + (int64_t) get_uint32(size);
	}
	return offset == end ? end : -1;
}

/* Reads the record at an offset, which ends before end; empty if there is none.  The bytes replace spool->record. */
static struct slice
read_record(struct spool *spool, int64_t offset, int64_t end)
{
	const struct slice none = {NULL, 0};
	int64_t length = form_end(spool, offset, end - offset) - offset - FRAME_SIZE;
	struct slice record;
	char crc[4];

	if (length <= 0 || !read_all(spool->file, crc, 4, offset + 4))
		return none;
	free(spool->record);
	spool->record = allocate((size_t) length);
	record = (struct slice){spool->record, (size_t) length};
	if (!read_all(spool->file, spool->record, record.size, offset + FRAME_SIZE) || checksum(record) != get_uint32(crc))
		return none;
	return record;
}

/* The first record from an offset on, which is moved to it; empty, and the offset at end, when there is none. */
static struct slice
find_record(struct spool *spool, int64_t *offset, int64_t end)
{
	char window[PAGE_SIZE];
	int64_t start = 0;
	int64_t filled = 0;

	while (end - *offset >= FRAME_SIZE + SHORTEST_RECORD)
	{
		struct slice record = {NULL, 0};

		if (*offset + 4 > start + filled)
		{
			start = *offset;
			filled = end - start < PAGE_SIZE ? end - start : PAGE_SIZE;
			read_pages(spool->file, window, (size_t) filled, start);
		}
		if (is_length(get_uint32(window + (*offset - start)), end - *offset))
			record = read_record(spool, *offset, end);
		if (record.size > 0)
			return record;
		(*offset)++;
	}
	*offset = end;
	return (struct slice){NULL, 0};
}

/* ---- what is kept aside ---- */

static void
add_frame(struct evbuffer *group, struct slice record)
{
	char frame[FRAME_SIZE];

	put_uint32(frame, (uint32_t) record.size);
	put_uint32(frame + 4, checksum(record));
	evbuffer_add(group, frame, FRAME_SIZE);
	evbuffer_add(group, record.data, record.size);
}

static bool
write_group(struct evbuffer *group, int file, int64_t offset)
{
	struct slice bytes = {(const char *) evbuffer_pullup(group, -1), evbuffer_get_length(group)};

	return bytes.data != NULL && write_all(file, bytes, offset) && fdatasync(file) == 0;
}

/* True if a file of frames has these bytes: damage is met at each start until the spool is drained. */
static bool
has_bytes(int file, int64_t size, struct slice bytes)
{
	uint32_t crc = checksum(bytes);
	char frame[FRAME_SIZE];

	for (int64_t offset = MAGIC_SIZE; size - offset >= FRAME_SIZE && read_all(file, frame, FRAME_SIZE, offset);
		 offset += FRAME_SIZE + (int64_t) get_uint32(frame))
		if (get_uint32(frame) == bytes.size && get_uint32(frame + 4) == crc)
			return true;
	return false;
}

/* Appends bytes, framed as a record is, to a file of their own. */
static bool
keep_bytes(struct spool *spool, const char *name, struct slice bytes, int64_t limit, bool once)
{
	struct evbuffer *frame = evbuffer_new();
	int64_t size = 0;
	int file = open_file(spool, name, O_CREAT, &size);
	bool kept = false;

	add_frame(frame, bytes);
	if (file >= 0)
	{
		kept = (once && has_bytes(file, size, bytes)) ||
			   (size + (int64_t) evbuffer_get_length(frame) <= limit && write_group(frame, file, size));
		close(file);
	}
	evbuffer_free(frame);
	return kept;
}

/* Keeps and counts the bytes between two offsets that are no record, unless that was done before. */
static void
keep_damage(struct spool *spool, int64_t from, int64_t to)
{
	bool kept = true;

	if (to <= spool->kept)
		return;
	for (int64_t offset = from; offset < to; offset += PIECE_SIZE)
	{
		size_t size = (size_t) (to - offset < PIECE_SIZE ? to - offset : PIECE_SIZE);
		char *bytes = allocate(size);

		read_pages(spool->file, bytes, size, offset);
		kept = keep_bytes(spool, DAMAGED_FILE, (struct slice){bytes, size}, INT64_MAX, true) && kept;
		free(bytes);
	}
	log_line("spool: %lld bytes at offset %lld are damaged, or of a callback that was never answered, and %s \"%s\"",
			 (long long) (to - from), (long long) from, kept ? "kept in" : "lost: they cannot be written to", DAMAGED_FILE);
	spool->damaged += (uint64_t) (to - from);
	spool->kept = to;
}

/* ---- the file ---- */

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
	spool->kept = 0;
}

/*
 * Passes over damage in front of the next record, or cuts it off at the end.  A record that has its form still is
 * passed over as a whole: what a stranger has put among its bytes need not be looked at.
 */
static struct slice
pass_damage(struct spool *spool)
{
	int64_t end = form_end(spool, spool->next, spool->size - spool->next);
	int64_t offset = end > 0 ? end : spool->next + 1;
	struct slice record = find_record(spool, &offset, spool->size);

	keep_damage(spool, spool->next, offset);
	if (record.size > 0)
	{
		spool->next = offset;
		return record;
	}
	if (ftruncate(spool->file, spool->next) != 0)
		log_line("spool: cannot cut off damage: %s", strerror(errno));
	spool->size = spool->next;
	if (spool_is_empty(spool))
		delete_file(spool);
	return record;
}

/* Counts what an earlier run left, and finds its damage. */
static bool
load_existing(struct spool *spool)
{
	char magic[MAGIC_SIZE];
	long count = 0;

	spool->file = open_file(spool, SPOOL_FILE, 0, &spool->size);
	if (spool->file < 0)
		return errno == ENOENT;
	read_pages(spool->file, magic, MAGIC_SIZE, 0);
	if (memcmp(magic, MAGIC, MAGIC_SIZE) != 0)
	{
		keep_damage(spool, 0, MAGIC_SIZE);
		if (!write_all(spool->file, (struct slice){MAGIC, MAGIC_SIZE}, 0))
			return false;
	}
	while (spool_next(spool).size > 0)
		count++;
	spool_rewind(spool);
	log_line("spool: %ld callbacks of an earlier run to replay, %llu bytes damaged", count, (unsigned long long) spool->damaged);
	return true;
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

bool
spool_append(struct spool *spool, struct slice record)
{
	int64_t size = spool->size + (int64_t) evbuffer_get_length(spool->group);

	if (record.size > LONGEST_RECORD || size + FRAME_SIZE + (int64_t) record.size > spool->limit)
		return false;
	add_frame(spool->group, record);
	return true;
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

	if (spool->next >= spool->size)
		return record;
	record = read_record(spool, spool->next, spool->size);
	if (record.size == 0)
		record = pass_damage(spool);
	if (record.size > 0)
		spool->next += FRAME_SIZE + (int64_t) record.size;
	return record;
}

int64_t
spool_position(const struct spool *spool)
{
	return spool->next;
}

void
spool_forget(struct spool *spool, int64_t position)
{
	spool->committed = position;
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
	if (keep_bytes(spool, REJECTED_FILE, record, spool->limit, false))
		log_line("spool: a callback the database refused is kept in \"%s\"", REJECTED_FILE);
	else
		log_line("spool: a callback the database refused is lost, \"%s\" cannot take it", REJECTED_FILE);
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

uint64_t
spool_damaged(const struct spool *spool)
{
	return spool->damaged;
}
