/*
 * media.h - pictures and the like that a message brings along (MMS).
 */
#ifndef SMSFLOW_MEDIA_H
#define SMSFLOW_MEDIA_H

#include "postgres.h"

#include "utils/array.h"

/* Raises SF007 unless there are 1 to 10 URLs of http or https. */
extern void smsflow_check_media(ArrayType *urls);

/*
 * Of these queues, keeps those whose gateway takes media, and returns how many
 * they are; queues without a sender are kept. Raises 0A000 for none. Needs SPI.
 */
extern int smsflow_keep_media_queues(int32 *queues, int count);

#endif
