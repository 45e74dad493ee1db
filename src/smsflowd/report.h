/* The web report: pages of figures on a port of their own, for people on this machine. */
#ifndef SMSFLOWD_REPORT_H
#define SMSFLOWD_REPORT_H

#include <event2/event.h>

#include "config.h"
#include "exchange.h"

struct report;

/* Listens and connects to the database as the configuration says; returns NULL after logging why it cannot. */
struct report *report_open(struct event_base *base, const struct config *config, struct exchanges *exchanges);

void report_stop_accepting(struct report *report);

/* Gives up on the database. */
void report_stop(struct report *report);
void report_close(struct report *report);

#endif
