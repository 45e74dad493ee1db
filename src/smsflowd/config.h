/* The configuration file of smsflowd. */
#ifndef SMSFLOWD_CONFIG_H
#define SMSFLOWD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

struct config
{
	/* Read once, at start. */
	char *listen;   /* as written: host:port or [host]:port */
	char *database; /* libpq connection string; may hold a password, never logged */
	char *spool_dir;
	char *report_listen;   /* as listen, a loopback address; NULL: there is no report */
	char *report_database; /* libpq connection string of a role with access analyst; NULL: there is no report */

	/* Derived from listen and report_listen. */
	char *listen_host;
	unsigned short listen_port;
	char *report_host;
	unsigned short report_port;

	/* Reread on SIGHUP. */
	long spool_limit; /* bytes */
	long batch_max;   /* callbacks per transaction */
	long batch_delay_ms;
	long max_body;    /* bytes */
	long max_headers; /* bytes, request line included */
	long timeout_s;   /* seconds a connection may stay silent */
	long max_connections;
	long link_cache;     /* links in memory; 0: no short links */
	long forwarded_hops; /* proxies in front that append to X-Forwarded-For */
};

/*
 * Reads the file into config, starting from the defaults.  On failure returns false with "path:line: what is wrong"
 * in error, without the offending value, and config holds nothing that has to be freed.
 */
bool config_read(const char *path, struct config *config, char *error, size_t error_size);

/* Takes over the settings that may change at run time; returns false if others differ and so need a restart. */
bool config_apply_reload(struct config *running, const struct config *fresh);

void config_free(struct config *config);

#endif
