/*
 * crypto.c - see crypto.h. A file without PostgreSQL's headers, whose names
 * OpenSSL's would meet.
 */
#include "crypto.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/signature.h"

#define ED25519_KEY_SIZE 32

static const EVP_MD *
hash_of(const char *name)
{
	static const struct
	{
		const char *name;
		const EVP_MD *(*hash)(void);
	} hashes[] = {
		{"md5", EVP_md5}, {"sha1", EVP_sha1}, {"sha256", EVP_sha256}, {"sha384", EVP_sha384}, {"sha512", EVP_sha512},
	};

	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
		if (strcmp(hashes[i].name, name) == 0)
			return hashes[i].hash();
	return NULL;
}

size_t
smsflow_digest(const char *hash, const char *text, size_t len, unsigned char out[SMSFLOW_MAX_DIGEST])
{
	const EVP_MD *md = hash_of(hash);
	unsigned int size = 0;

	if (md == NULL || EVP_Digest(text, len, out, &size, md, NULL) != 1)
		return 0;
	return size;
}

size_t
smsflow_hmac(const char *hash, const char *key, const char *text, size_t len, unsigned char out[SMSFLOW_MAX_DIGEST])
{
	const EVP_MD *md = hash_of(hash);
	unsigned int size = 0;

	if (md == NULL || HMAC(md, key, (int) strlen(key), (const unsigned char *) text, len, out, &size) == NULL)
		return 0;
	return size;
}

static bool
verify(EVP_PKEY *key, const EVP_MD *md, const unsigned char *signature, size_t signature_len, const char *text, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool fits = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1 &&
				EVP_DigestVerify(ctx, signature, signature_len, (const unsigned char *) text, len) == 1;

	EVP_MD_CTX_free(ctx);
	return fits;
}

bool
smsflow_ed25519_verify(const char *key, const unsigned char *signature, size_t signature_len, const char *text, size_t len)
{
	unsigned char raw[64];
	EVP_PKEY *public_key;
	bool fits;

	if (strlen(key) > sizeof(raw) || smsflow_base64_decode(key, strlen(key), raw) != ED25519_KEY_SIZE)
		return false;
	public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, ED25519_KEY_SIZE);
	fits = public_key != NULL && verify(public_key, NULL, signature, signature_len, text, len);
	EVP_PKEY_free(public_key);
	return fits;
}

bool
smsflow_rsa_verify(const char *certificates, const char *hash, const unsigned char *signature, size_t signature_len,
				   const char *text, size_t len)
{
	const EVP_MD *md = hash_of(hash);
	BIO *bio = md ? BIO_new_mem_buf(certificates, -1) : NULL;
	X509 *certificate;
	bool fits = false;

	while (bio != NULL && !fits && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
	{
		EVP_PKEY *key = X509_get0_pubkey(certificate);

		fits = key != NULL && EVP_PKEY_base_id(key) == EVP_PKEY_RSA && verify(key, md, signature, signature_len, text, len);
		X509_free(certificate);
	}
	BIO_free(bio);
	return fits;
}
