/*
 * The spool of smsflowd, damaged: each byte of a file of a few records changed, the file cut off at each offset, pages
 * zeroed, before the start and during replay.  Every undamaged record comes out exactly once and in order, and what is
 * not read is in the file of damage.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "smsflowd/callback.h"
#include "smsflowd/log.h"
#include "smsflowd/spool.h"
#include "unit.h"

#define RECORDS 4
#define MAGIC_SIZE 8
#define FRAME_SIZE 8
#define LIMIT (1L << 20)

static char folder[64];
static char path[128];
static char damaged_path[128];
static struct callback *records[RECORDS];

/* The file that holds all of them, and where each begins; the last entry is its size. */
static char file[1 << 16];
static size_t starts[RECORDS + 1];

/* The disk is not what is tried here, and neither is what is said. */
int
fsync(int descriptor)
{
	return descriptor < 0 ? -1 : 0;
}

int
fdatasync(int descriptor)
{
	return descriptor < 0 ? -1 : 0;
}

void
log_line(const char *format, ...)
{
	(void) format;
}

static struct slice
record_of(const struct callback *callback)
{
	return (struct slice){callback->record, callback->size};
}

static struct callback *
make_record(const char *body, size_t size)
{
	const struct slice fields[FIELD_COUNT] = {{"gate", 4}, {"POST", 4}, {"/in/gate/x", 10}, {"", 0}, {"{}", 2}, {body, size}};

	return callback_new(fields);
}

static void
write_file(const char *bytes, size_t size)
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(descriptor >= 0 && write(descriptor, bytes, size) == (ssize_t) size);
	close(descriptor);
}

static size_t
read_file(const char *name, char *to, size_t most)
{
	int descriptor = open(name, O_RDONLY);
	ssize_t size = descriptor < 0 ? 0 : read(descriptor, to, most);

	if (descriptor >= 0)
		close(descriptor);
	return size > 0 ? (size_t) size : 0;
}

static size_t
file_size(const char *name)
{
	struct stat status;

	return stat(name, &status) == 0 ? (size_t) status.st_size : 0;
}

/* Bytes in the file of damage, without its frames. */
static size_t
damage_kept(void)
{
	static char bytes[1 << 17];
	size_t size = read_file(damaged_path, bytes, sizeof(bytes));
	size_t kept = 0;

	for (size_t offset = MAGIC_SIZE; offset + FRAME_SIZE <= size; offset += FRAME_SIZE + get_uint32(bytes + offset))
		kept += get_uint32(bytes + offset);
	return kept;
}

static struct spool *
open_spool(void)
{
	struct spool *spool = spool_open(folder, LIMIT);

	if (spool == NULL)
	{
		printf("no spool in %s\n", folder);
		exit(1);
	}
	return spool;
}

static bool
is_record(struct slice found, int n)
{
	return found.size == records[n]->size && memcmp(found.data, records[n]->record, found.size) == 0;
}

/* Replays all; a bit for each record that came, and -1 where one came twice, out of order or not as it was. */
static int
drain(struct spool *spool)
{
	int seen = 0;
	int last = -1;
	struct slice found;

	while (found = spool_next(spool), found.size > 0)
	{
		int n = last + 1;

		while (n < RECORDS && !is_record(found, n))
			n++;
		if (n == RECORDS)
			return -1;
		last = n;
		seen |= 1 << n;
		spool_forget(spool, spool_position(spool));
	}
	return seen;
}

/* The records that lie outside of what was damaged: from one offset, up to another. */
static int
undamaged(size_t from, size_t to)
{
	int expected = 0;

	for (int n = 0; n < RECORDS; n++)
		if (to <= starts[n] || from >= starts[n + 1])
			expected |= 1 << n;
	return expected;
}

static size_t
size_of(int seen)
{
	size_t size = 0;

	for (int n = 0; n < RECORDS; n++)
		if (seen & 1 << n)
			size += starts[n + 1] - starts[n];
	return size;
}

/* What came, with so many bytes in the file: the rest of them is kept, and the file is gone. */
static void
check_drained(struct spool *spool, int expected, size_t size, bool magic_lost)
{
	size_t rest = size < MAGIC_SIZE ? 0 : size - MAGIC_SIZE - size_of(expected) + (magic_lost ? MAGIC_SIZE : 0);

	CHECK_EQ(drain(spool), expected);
	CHECK(spool_is_empty(spool));
	CHECK_EQ(spool_damaged(spool), rest);
	CHECK_EQ(damage_kept(), rest);
	CHECK_EQ(file_size(path), 0);
	spool_close(spool);
	unlink(damaged_path);
}

static void
make_file(void)
{
	struct spool *spool;

	records[0] = make_record("first", 5);
	records[1] = make_record("the second of them", 18);
	records[2] = make_record("\0third\xff", 7);
	records[3] = make_record("", 0);
	spool = open_spool();
	starts[0] = MAGIC_SIZE;
	for (int n = 0; n < RECORDS; n++)
	{
		CHECK(spool_append(spool, record_of(records[n])));
		starts[n + 1] = starts[n] + FRAME_SIZE + records[n]->size;
	}
	CHECK(spool_sync(spool));
	spool_close(spool);
	CHECK_EQ(read_file(path, file, sizeof(file)), starts[RECORDS]);
}

static void
test_changed_bytes(void)
{
	size_t size = starts[RECORDS];

	for (size_t offset = 0; offset < size; offset++)
		for (int mask = 1; mask < 0x100; mask *= 16)
		{
			char flip = (char) mask;

			file[offset] ^= flip;
			write_file(file, size);
			check_drained(open_spool(), undamaged(offset, offset + 1), size, offset < MAGIC_SIZE);

			/* The file is whole when it is opened, and damaged when it is read again. */
			file[offset] ^= flip;
			write_file(file, size);
			if (offset >= MAGIC_SIZE)
			{
				struct spool *spool = open_spool();

				file[offset] ^= flip;
				write_file(file, size);
				file[offset] ^= flip;
				check_drained(spool, undamaged(offset, offset + 1), size, false);
			}
			unlink(path);
		}
}

static void
test_cut_off(void)
{
	for (size_t size = 0; size < starts[RECORDS]; size++)
	{
		struct spool *spool;

		write_file(file, size);
		check_drained(open_spool(), size < MAGIC_SIZE ? 0 : undamaged(size, starts[RECORDS]), size, false);

		/* What comes after the start follows the last whole record. */
		write_file(file, size);
		spool = open_spool();
		CHECK(spool_append(spool, record_of(records[3])) && spool_sync(spool));
		CHECK_EQ(drain(spool), (size < MAGIC_SIZE ? 0 : undamaged(size, starts[RECORDS])) | 1 << 3);
		CHECK_EQ(file_size(path), 0);
		spool_close(spool);
		unlink(damaged_path);
	}
}

static void
test_zeroed(void)
{
	static char torn[sizeof(file)];
	size_t size = starts[RECORDS];

	for (size_t from = 0; from < size; from++)
		for (size_t to = from + 1; to <= size; to += 37)
		{
			bool magic_lost = from < MAGIC_SIZE;
			int expected = undamaged(from, to);

			memcpy(torn, file, size);
			memset(torn + from, 0, to - from);

			/* A zero that was one before is no damage. */
			for (int n = 0; n < RECORDS; n++)
				if (memcmp(torn + starts[n], file + starts[n], starts[n + 1] - starts[n]) == 0)
					expected |= 1 << n;
			write_file(torn, size);
			check_drained(open_spool(), expected, size, magic_lost);
		}
}

/* Damage is kept once, however often the spool is opened, and rewinding comes past it again. */
static void
test_again(void)
{
	size_t size = starts[RECORDS];
	size_t length = starts[2] - starts[1];
	struct spool *spool;

	file[starts[1]] ^= 1;
	write_file(file, size);
	file[starts[1]] ^= 1;
	for (int time = 0; time < 3; time++)
	{
		spool = open_spool();
		CHECK_EQ(spool_damaged(spool), length);
		CHECK(is_record(spool_next(spool), 0));
		CHECK(is_record(spool_next(spool), 2));
		spool_rewind(spool);
		CHECK(is_record(spool_next(spool), 0));
		spool_forget(spool, spool_position(spool));
		CHECK(is_record(spool_next(spool), 2));
		spool_rewind(spool);
		CHECK(is_record(spool_next(spool), 2));
		CHECK_EQ(spool_damaged(spool), length);
		CHECK_EQ(damage_kept(), length);
		spool_close(spool);
	}
	check_drained(open_spool(), undamaged(starts[1], starts[2]), size, false);
}

/* A record in the body of another is none, also where its bytes around are damaged. */
static void
test_nested(void)
{
	struct callback *outer = make_record(file + starts[2], starts[3] - starts[2]);
	static char bytes[sizeof(file)];
	struct spool *spool = open_spool();
	size_t size;

	CHECK(spool_append(spool, record_of(outer)) && spool_append(spool, record_of(records[3])) && spool_sync(spool));
	size = read_file(path, bytes, sizeof(bytes));
	bytes[MAGIC_SIZE + FRAME_SIZE + 4] ^= 1;
	write_file(bytes, size);
	CHECK_EQ(drain(spool), 1 << 3);
	CHECK_EQ(spool_damaged(spool), FRAME_SIZE + outer->size);
	spool_close(spool);
	unlink(damaged_path);
	free(outer);
}

/* Megabytes of garbage between two records, with lengths that look like those of records. */
static void
test_garbage(void)
{
	size_t garbage = 3 << 20;
	size_t size = starts[2] + garbage + (starts[4] - starts[2]);
	char *bytes = malloc(size);
	struct spool *spool;

	for (size_t i = 0; i < garbage; i++)
		bytes[starts[2] + i] = (char) (i % 4 == 1 ? 1 : i % 11 == 0);
	memcpy(bytes, file, starts[2]);
	memcpy(bytes + starts[2] + garbage, file + starts[2], starts[4] - starts[2]);
	write_file(bytes, size);
	spool = open_spool();
	CHECK_EQ(spool_damaged(spool), garbage);
	CHECK_EQ(drain(spool), 15);
	CHECK_EQ(file_size(damaged_path), MAGIC_SIZE + garbage + 3 * FRAME_SIZE);
	spool_close(spool);
	unlink(damaged_path);
	free(bytes);
}

int
main(void)
{
	const char *temporary = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%.40s/spool.XXXXXX", temporary != NULL ? temporary : "/tmp");
	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/callbacks.spool", folder);
	snprintf(damaged_path, sizeof(damaged_path), "%s/damaged.spool", folder);
	make_file();
	test_changed_bytes();
	test_cut_off();
	test_zeroed();
	test_again();
	test_nested();
	test_garbage();
	for (int n = 0; n < RECORDS; n++)
		free(records[n]);
	unlink(path);
	rmdir(folder);
	return unit_report();
}
