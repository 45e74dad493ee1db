/*
 * crypto.h - the checks of signatures, over OpenSSL. False for a wrong
 * signature as well as for a key or a signature that cannot be read.
 */
#ifndef SMSFLOW_CRYPTO_H
#define SMSFLOW_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

#define SMSFLOW_MAX_DIGEST 64

/* hash is md5, sha1, sha256, sha384 or sha512; returns the length in bytes, 0 for another one. */
extern size_t smsflow_digest(const char *hash, const char *text, size_t len, unsigned char out[SMSFLOW_MAX_DIGEST]);
extern size_t smsflow_hmac(const char *hash, const char *key, const char *text, size_t len,
						   unsigned char out[SMSFLOW_MAX_DIGEST]);

/* key: 32 bytes in base64; signature: 64 bytes. */
extern bool smsflow_ed25519_verify(const char *key, const unsigned char *signature, size_t signature_len, const char *text,
								   size_t len);

/* certificates: in PEM, of which one has to fit. RSA with PKCS #1 padding. */
extern bool smsflow_rsa_verify(const char *certificates, const char *hash, const unsigned char *signature, size_t signature_len,
							   const char *text, size_t len);

#endif
