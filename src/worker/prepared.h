/*
 * prepared.h - transactions that are prepared and have something for the worker.
 *
 * PostgreSQL calls nobody at COMMIT PREPARED. So what such a transaction would
 * have told at its commit is kept in shared memory from PREPARE on, under its
 * transaction id. While it is undecided, no marketing message that it may stop
 * is started; once it is not in progress any more, whichever way it ended, its
 * notes are published, and the gate looks again at what they concern.
 */
#ifndef SMSFLOW_PREPARED_H
#define SMSFLOW_PREPARED_H

#include "worker/shared.h"

/* Microseconds after which the worker looks whether one has ended. */
#define SMSFLOW_PREPARED_LOOK (USECS_PER_SEC / 10)

extern Size smsflow_prepared_size(void);
extern void smsflow_prepared_start(void);

/*
 * Before the transaction under way is prepared. Returns when no request that it
 * may stop is being started. Raises insufficient_resources when there are more
 * of them than max_prepared_transactions lets the server have.
 */
extern void smsflow_prepared_register(const SmsflowNotes *notes);

/* For the worker: one that was prepared before the server started, about which nothing is known. */
extern void smsflow_prepared_register_unknown(TransactionId xid);

/* True while a prepared transaction of this database has something for its worker. */
extern bool smsflow_prepared_any(void);

/* True while the notes of one of them concern what is asked about. */
extern bool smsflow_prepared_concerns(bool (*concerns)(const SmsflowNotes *notes, const void *what), const void *what);

/* Publishes the notes of those that have ended. */
extern void smsflow_prepared_settle(void);

#endif
