/*
 * secret.c - secrets of gateways, and the key that signs our own URLs.
 *
 * In production a secret is a file that only the server's user can read: it is
 * in no dump, no replica's WAL and no statement log. The table is for
 * development. Nothing here ever puts a value into a message; what is wrong
 * with a secret is told in fixed words.
 */
#include "gateway/secret.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "errcodes.h"
#include "message/spi.h"

#define MAX_SECRET 8192

static const char missing[] = "there is neither a file nor a row of this name";

/* A name becomes part of a path, so it may have nothing that leads elsewhere. */
static bool
is_plain(const char *name)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

	return name[0] != '\0' && strlen(name) < NAMEDATALEN && name[strspn(name, plain)] == '\0';
}

/* PostgreSQL's own rule for private keys: ours alone, or root's and ours to read. */
static const char *
problem_of_file(const struct stat *file)
{
	mode_t forbidden = file->st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;

	if (!S_ISREG(file->st_mode))
		return "not a regular file";
	if (file->st_uid != geteuid() && file->st_uid != 0)
		return "file belongs to another user";
	if (file->st_mode & forbidden)
		return "file is accessible to others";
	if (file->st_size > MAX_SECRET)
		return "file is larger than 8 kB";
	return NULL;
}

static const char *
take_secret(char *text, size_t len, char **secret)
{
	if (memchr(text, '\0', len) != NULL)
		return "file holds a zero byte";
	text[len] = '\0';
	if (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	if (len > 0 && text[len - 1] == '\r')
		text[--len] = '\0';
	if (len == 0)
		return "file is empty";
	*secret = text;
	return NULL;
}

static const char *
read_open_file(int fd, char **secret)
{
	struct stat file;
	const char *problem;
	char *text;
	size_t len = 0;
	ssize_t got;

	if (fstat(fd, &file) != 0)
		return "file cannot be read";
	problem = problem_of_file(&file);
	if (problem)
		return problem;

	text = palloc(MAX_SECRET + 1);
	while ((got = read(fd, text + len, MAX_SECRET + 1 - len)) > 0)
		len += (size_t) got;
	if (got < 0)
		return "file cannot be read";
	if (len > MAX_SECRET)
		return "file is larger than 8 kB";
	return take_secret(text, len, secret);
}

/* Returns what is wrong; NULL with *secret NULL when there is no such file. */
static const char *
read_file(const char *name, char **secret)
{
	const char *problem;
	char *path;
	int fd;

	if (smsflow_secrets_dir == NULL || smsflow_secrets_dir[0] == '\0')
		return NULL;
	path = psprintf("%s/%s", smsflow_secrets_dir, name);
	/* O_NONBLOCK: opening a named pipe must not wait for its writer. */
	fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
	{
		if (errno == ENOENT)
			return NULL;
		return errno == ELOOP ? "file is a symbolic link" : "file cannot be read";
	}
	problem = read_open_file(fd, secret);
	CloseTransientFile(fd);
	return problem;
}

static char *
read_table(const char *name)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext caller = CurrentMemoryContext;
	Datum argument = CStringGetTextDatum(name);
	bool pushed = !ActiveSnapshotSet();
	char *secret = NULL;
	bool isnull;

	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	smsflow_spi_plan(&plan, "SELECT value FROM smsflow.secret WHERE name = $1", 1, (Oid[]){TEXTOID});
	smsflow_spi_run(plan, &argument, NULL, true, SPI_OK_SELECT);
	if (SPI_processed > 0)
		secret = MemoryContextStrdup(caller, TextDatumGetCString(smsflow_spi_value(0, 1, &isnull)));
	SPI_finish();
	if (pushed)
		PopActiveSnapshot();
	return secret;
}

char *
smsflow_read_secret(const char *name, const char **problem)
{
	char *secret = NULL;

	*problem = is_plain(name) ? read_file(name, &secret) : "name is not plain";
	if (*problem)
		return NULL;
	if (secret == NULL)
		secret = read_table(name);
	if (secret == NULL)
		*problem = missing;
	return secret;
}

char *
smsflow_read_gateway_secret(const char *name, const char **problem)
{
	char *secret = smsflow_read_secret(name, problem);
	size_t len = secret ? strlen(secret) : 0;

	/* What an editor leaves behind is no part of it. */
	while (len > 0 && (secret[len - 1] == '\n' || secret[len - 1] == '\r'))
		secret[--len] = '\0';
	if (secret == NULL || secret[strcspn(secret, "\r\n")] == '\0')
		return secret;
	explicit_bzero(secret, len);
	pfree(secret);
	*problem = "it has more than one line";
	return NULL;
}

bool
smsflow_secret_is_missing(const char *problem)
{
	return problem == missing;
}

char *
smsflow_callback_key(void)
{
	return read_table(SMSFLOW_CALLBACK_KEY);
}

void
smsflow_mac(const char *key, const char *text, char out[SMSFLOW_MAC_LENGTH + 1])
{
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);

	if (hmac == NULL || pg_hmac_init(hmac, (const uint8 *) key, strlen(key)) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) text, strlen(text)) < 0 || pg_hmac_final(hmac, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute a message authentication code");
	pg_hmac_free(hmac);
	hex_encode((const char *) digest, SMSFLOW_MAC_LENGTH / 2, out);
	out[SMSFLOW_MAC_LENGTH] = '\0';
}

bool
smsflow_mac_equal(const char *mac, const char *expected)
{
	volatile unsigned char difference = 0;

	for (int i = 0; i < SMSFLOW_MAC_LENGTH; i++)
		difference |= (unsigned char) (mac[i] ^ expected[i]);
	return difference == 0;
}

/* callback_mac(path text) returns text */
PG_FUNCTION_INFO_V1(smsflow_pg_callback_mac);
Datum
smsflow_pg_callback_mac(PG_FUNCTION_ARGS)
{
	char *key = smsflow_callback_key();
	char mac[SMSFLOW_MAC_LENGTH + 1];

	if (key == NULL)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_NOT_READY), errmsg("the key that signs callback URLs does not exist yet"),
						errdetail("It belongs to this copy of the database and is made when the copy is armed."),
						errhint("Call smsflow.arm() first.")));
	smsflow_mac(key, text_to_cstring(PG_GETARG_TEXT_PP(0)), mac);
	PG_RETURN_TEXT_P(cstring_to_text(mac));
}

/* problem_of_secret(name text) returns text */
PG_FUNCTION_INFO_V1(smsflow_pg_problem_of_secret);
Datum
smsflow_pg_problem_of_secret(PG_FUNCTION_ARGS)
{
	const char *problem;

	smsflow_read_gateway_secret(text_to_cstring(PG_GETARG_TEXT_PP(0)), &problem);
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}
