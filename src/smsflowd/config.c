/*
 * The configuration file: one "key = value" per line, "#" opens a comment line.  The value is the rest of the line,
 * so that a connection string needs no quoting of its own.  One table lists the settings; values are never repeated
 * in messages, because the connection string may hold a password.
 */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind
{
	TEXT,
	NUMBER,
	SIZE
};

struct setting
{
	const char *name;
	enum kind kind;
	size_t offset;
	long lowest;
	long highest;
};

static const struct setting settings[] = {
	{"listen", TEXT, offsetof(struct config, listen), 0, 0},
	{"database", TEXT, offsetof(struct config, database), 0, 0},
	{"spool_dir", TEXT, offsetof(struct config, spool_dir), 0, 0},
	{"report_listen", TEXT, offsetof(struct config, report_listen), 0, 0},
	{"report_database", TEXT, offsetof(struct config, report_database), 0, 0},
	{"spool_limit", SIZE, offsetof(struct config, spool_limit), 0, 1L << 40},
	{"batch_max", NUMBER, offsetof(struct config, batch_max), 1, 10000},
	{"batch_delay_ms", NUMBER, offsetof(struct config, batch_delay_ms), 0, 1000},
	{"max_body", SIZE, offsetof(struct config, max_body), 1, 16L << 20},
	{"max_headers", SIZE, offsetof(struct config, max_headers), 256, 1L << 20},
	{"timeout_s", NUMBER, offsetof(struct config, timeout_s), 1, 3600},
	{"max_connections", NUMBER, offsetof(struct config, max_connections), 1, 100000},
	{"link_cache", NUMBER, offsetof(struct config, link_cache), 0, 100000000},
	{"forwarded_hops", NUMBER, offsetof(struct config, forwarded_hops), 0, 10},
};

#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

static const struct config defaults = {
	.spool_limit = 64L << 20,
	.batch_max = 200,
	.batch_delay_ms = 5,
	.max_body = 256L << 10,
	.max_headers = 8L << 10,
	.timeout_s = 10,
	.max_connections = 1000,
	.link_cache = 100000,
	.forwarded_hops = 1,
};

static char *
trim(char *text)
{
	size_t length;

	while (isspace((unsigned char) *text))
		text++;
	length = strlen(text);
	while (length > 0 && isspace((unsigned char) text[length - 1]))
		text[--length] = '\0';
	return text;
}

/* The factor of a size unit as PostgreSQL writes them, or 0. */
static long
unit_factor(const char *unit)
{
	if (*unit == '\0' || strcmp(unit, "B") == 0)
		return 1;
	if (strcmp(unit, "kB") == 0)
		return 1L << 10;
	if (strcmp(unit, "MB") == 0)
		return 1L << 20;
	if (strcmp(unit, "GB") == 0)
		return 1L << 30;
	return 0;
}

static const char *
set_number(const struct setting *setting, const char *value, long *number)
{
	char *end;
	long factor = 1;

	errno = 0;
	*number = strtol(value, &end, 10);
	if (end == value || errno != 0)
		return "value is not a number";
	if (setting->kind == SIZE)
		factor = unit_factor(trim(end));
	else if (*end != '\0')
		factor = 0;
	if (factor == 0)
		return setting->kind == SIZE ? "unit is not one of B, kB, MB, GB" : "value is not a whole number";
	if (*number > setting->highest / factor || *number * factor < setting->lowest)
		return "value is out of range";
	*number *= factor;
	return NULL;
}

static const char *
set_value(struct config *config, const char *name, const char *value)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
	{
		void *field = (char *) config + settings[i].offset;

		if (strcmp(name, settings[i].name) != 0)
			continue;
		if (*value == '\0')
			return "value is missing";
		if (settings[i].kind != TEXT)
			return set_number(&settings[i], value, field);
		free(*(char **) field);
		*(char **) field = strdup(value);
		return NULL;
	}
	return "unknown key";
}

/* Splits an address into host and port; the host may be an IPv6 address in brackets. */
static bool
split_address(const char *address, char **host_found, unsigned short *port_found)
{
	static const struct setting port_range = {"listen", NUMBER, 0, 1, 65535};
	const char *colon = strrchr(address, ':');
	const char *host = address;
	size_t length;
	long port;

	if (colon == NULL || set_number(&port_range, colon + 1, &port) != NULL)
		return false;
	length = (size_t) (colon - host);
	if (length >= 2 && host[0] == '[' && host[length - 1] == ']')
	{
		host++;
		length -= 2;
	}
	if (length == 0)
		return false;
	*host_found = strndup(host, length);
	*port_found = (unsigned short) port;
	return true;
}

static bool
is_conninfo(const char *text)
{
	PQconninfoOption *options = PQconninfoParse(text, NULL);

	if (options == NULL)
		return false;
	PQconninfoFree(options);
	return true;
}

/* Written as digits: what a name leads to is decided elsewhere. */
static bool
is_loopback(const char *host)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static const char *
check_report(struct config *config)
{
	if (config->report_listen == NULL && config->report_database == NULL)
		return NULL;
	if (config->report_listen == NULL || config->report_database == NULL)
		return "\"report_listen\" and \"report_database\" need each other";
	if (!split_address(config->report_listen, &config->report_host, &config->report_port) || !is_loopback(config->report_host))
		return "\"report_listen\" is not a loopback address and a port, such as 127.0.0.1:8481";
	if (!is_conninfo(config->report_database))
		return "\"report_database\" is not a libpq connection string";
	return NULL;
}

static const char *
check_whole(struct config *config)
{
	if (config->database == NULL)
		return "\"database\" is not set";
	if (config->spool_dir == NULL)
		return "\"spool_dir\" is not set";
	if (config->listen == NULL)
		config->listen = strdup("127.0.0.1:8480");
	if (!split_address(config->listen, &config->listen_host, &config->listen_port))
		return "\"listen\" is not host:port";
	if (!is_conninfo(config->database))
		return "\"database\" is not a libpq connection string";
	return check_report(config);
}

/* Handles one line; a NULL return means that it was good. */
static const char *
read_line(struct config *config, char *line)
{
	char *name = trim(line);
	char *equals;

	if (*name == '\0' || *name == '#')
		return NULL;
	equals = strchr(name, '=');
	if (equals == NULL)
		return "line is not \"key = value\"";
	*equals = '\0';
	return set_value(config, trim(name), trim(equals + 1));
}

static const char *
read_lines(struct config *config, FILE *file, int *line_number)
{
	char *line = NULL;
	size_t capacity = 0;
	const char *problem = NULL;

	while (problem == NULL && getline(&line, &capacity, file) >= 0)
	{
		++*line_number;
		problem = read_line(config, line);
	}
	free(line);
	return problem;
}

bool
config_read(const char *path, struct config *config, char *error, size_t error_size)
{
	FILE *file = fopen(path, "re");
	int line_number = 0;
	const char *problem;

	*config = defaults;
	if (file == NULL)
	{
		snprintf(error, error_size, "%s: %s", path, strerror(errno));
		return false;
	}
	problem = read_lines(config, file, &line_number);
	fclose(file);
	if (problem == NULL)
		problem = check_whole(config);
	if (problem == NULL)
		return true;
	snprintf(error, error_size, "%s:%d: %s", path, line_number, problem);
	config_free(config);
	return false;
}

static bool
is_same_text(const char *one, const char *other)
{
	return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

bool
config_apply_reload(struct config *running, const struct config *fresh)
{
	bool same = true;

	for (size_t i = 0; i < SETTING_COUNT; i++)
	{
		void *ours = (char *) running + settings[i].offset;
		const void *theirs = (const char *) fresh + settings[i].offset;

		if (settings[i].kind == TEXT)
			same = same && is_same_text(*(char **) ours, *(char *const *) theirs);
		else
			memcpy(ours, theirs, sizeof(long));
	}
	return same;
}

void
config_free(struct config *config)
{
	free(config->listen);
	free(config->listen_host);
	free(config->database);
	free(config->spool_dir);
	free(config->report_listen);
	free(config->report_host);
	free(config->report_database);
	*config = defaults;
}
