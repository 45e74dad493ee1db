/*
 * escape.h - writing a value into a URL, a form, a JSON string or a header so
 * that it stays a value, whatever a customer typed.
 *
 * Pure C11. Output goes to a buffer of given size; the return value is the
 * length needed, and nothing past the buffer is written.
 */
#ifndef SMSFLOW_ESCAPE_H
#define SMSFLOW_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/* RFC 3986: everything but unreserved characters becomes %XX. */
extern size_t smsflow_escape_url(const char *text, size_t len, char *out, size_t outsize);

/* RFC 8259 string contents, without the quotes; text is UTF-8. */
extern size_t smsflow_escape_json(const char *text, size_t len, char *out, size_t outsize);

/* False when the value cannot stand in a header: a line break or a NUL. */
extern bool smsflow_header_safe(const char *text, size_t len);

/*
 * Decodes %XX and + of a query string or form field that strangers sent, and
 * that is to be read anyway: a % that begins no escape stands for itself, and
 * zero bytes stay. Returns the length. out may be text itself.
 */
extern size_t smsflow_unescape_octets(const char *text, size_t len, char *out);

/*
 * JSON that strangers wrote by hand, and that is to be read anyway: in strings, half a surrogate pair becomes U+FFFD, a zero
 * is dropped, a bare line break is escaped, another bare control character becomes a space, and a backslash that begins no
 * escape is dropped. What is JSON stays as it is. The length is twice that of the text at most.
 */
extern size_t smsflow_mend_json(const char *text, size_t len, char *out, size_t outsize);

/* Value of a hexadecimal digit, or -1. */
extern int smsflow_hex_digit(char c);

#endif
