/*
 * shortcode.h - codes of short links: eight characters that stand for one link of one message.
 *
 * A code is the number of the message and of the link in it under a keyed permutation of all 58^8 codes, so a million
 * recipients need a million codes and no row, no look-up and no collision. Without the key a code tells nothing, not
 * even of its neighbours; and because there are 1.28e14 codes, a guess meets one of a million links once in 128 million
 * tries. A random code in a table of its own could not do better, and would cost a row and an index entry each.
 *
 * The permutation is a Feistel network of ten rounds over two halves of four characters, as in FF1 of NIST SP 800-38G,
 * with SipHash in the place of AES. Characters are those of base 58: none looks like another, and each is one septet of
 * GSM-7.
 *
 * Pure C11: no allocation, no I/O.
 */
#ifndef SMSFLOW_SHORTCODE_H
#define SMSFLOW_SHORTCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "siphash.h"

#define SMSFLOW_SHORTCODE_LENGTH 8

/* Links that one message may have, numbered from 1. */
#define SMSFLOW_SHORTCODE_LINKS 8

/* smsflow_shortcode_write writes a code without a NUL; false when the message or the number is out of range. */
extern bool smsflow_shortcode_write(SmsflowSipKey key, int64_t message_id, int number, char code[SMSFLOW_SHORTCODE_LENGTH]);

/* smsflow_shortcode_read returns what a code stands for; false when it is none. Any eight characters of base 58 are one. */
extern bool smsflow_shortcode_read(SmsflowSipKey key, const char *code, size_t len, int64_t *message_id, int *number);

#endif /* SMSFLOW_SHORTCODE_H */
