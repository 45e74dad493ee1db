/*
 * language.h - which of several texts is for somebody of a language. Tags are those of BCP 47, as in pt-BR; case does not
 * matter, and an underscore is a hyphen.
 *
 * Pure C11: no allocation, no I/O.
 */
#ifndef SMSFLOW_CORE_LANGUAGE_H
#define SMSFLOW_CORE_LANGUAGE_H

#include <stddef.h>

/*
 * smsflow_language_fits tells how well a text in an offered language is for somebody who wants another: the more the better,
 * 0 for the empty tag, which is for everybody, -1 for a text that is not for them. A text in pt is for who wants pt-BR; the
 * reverse does not hold.
 */
extern int smsflow_language_fits(const char *offered, size_t offered_len, const char *wanted, size_t wanted_len);

#endif
