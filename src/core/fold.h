/*
 * fold.h: reduces text to plain lower-case words, so that "Arrêtez !", "ARRETEZ" and full-width letters read alike.
 */
#ifndef SMSFLOW_CORE_FOLD_H
#define SMSFLOW_CORE_FOLD_H

#include <stddef.h>

/*
 * Writes the words of text to out, which must have room for len + 1 bytes: lower case, without diacritics, apostrophes and
 * invisible characters, one space between words, NUL-terminated. Bytes that are not UTF-8 separate words. Returns the length.
 */
extern size_t smsflow_fold(const char *utf8, size_t len, char *out);

#endif
