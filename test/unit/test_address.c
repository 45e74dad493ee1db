/*
 * test_address.c - an address is judged by where it leads, however it is written down, and networks end where they end.
 */
#include "address.h"
#include "unit.h"

#include <arpa/inet.h>
#include <string.h>

static SmsflowAddressKind
kind_of(const char *text)
{
	uint8_t bytes[16];
	bool six = strchr(text, ':') != NULL;

	CHECK(inet_pton(six ? AF_INET6 : AF_INET, text, bytes) == 1);
	return smsflow_address_kind(bytes, six ? 16 : 4);
}

static void
check_all(SmsflowAddressKind kind, const char *const *texts)
{
	for (; *texts; texts++)
	{
		CHECK(kind_of(*texts) == kind);
		if (kind_of(*texts) != kind)
			printf("  %s\n", *texts);
	}
}

int
main(void)
{
	static const char *const public[] =
		{"8.8.8.8",        "1.0.0.0",          "9.255.255.255",   "11.0.0.0",        "100.63.255.255",
		 "100.128.0.0",    "126.255.255.255",  "128.0.0.0",       "169.253.255.255", "169.255.0.0",
		 "172.15.255.255", "172.32.0.0",       "192.0.1.0",       "192.167.255.255", "192.169.0.0",
		 "198.17.255.255", "198.20.0.0",       "223.255.255.255", "168.63.129.17",   "2606:4700::1111",
		 "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "fbff::1",         NULL};
	static const char *const private[] = {"127.0.0.1",  "127.255.255.255",   "10.0.0.0",         "10.255.255.255",
										  "172.16.0.0", "172.31.255.255",    "192.168.0.0",      "192.168.255.255",
										  "100.64.0.0", "100.127.255.255",   "198.19.255.255",   "::1",
										  "fc00::1",    "fdff::1",           "::ffff:127.0.0.1", "::ffff:10.1.2.3",
										  "::10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::1",  "64:ff9b:1::1",
										  NULL};
	static const char *const forbidden[] = {"0.0.0.0",
											"0.1.2.3",
											"169.254.169.254",
											"169.254.0.0",
											"169.254.255.255",
											"224.0.0.1",
											"239.255.255.255",
											"255.255.255.255",
											"240.0.0.1",
											"100.100.100.200",
											"168.63.129.16",
											"192.0.0.192",
											"::",
											"fe80::1",
											"febf::1",
											"ff02::1",
											"fd00:ec2::254",
											"fd20:ce::254",
											"::ffff:169.254.169.254",
											"64:ff9b::a9fe:a9fe",
											"2002:a9fe:a9fe::1",
											"::ffff:0.0.0.0",
											NULL};

	check_all(ADDRESS_PUBLIC, public);
	check_all(ADDRESS_PRIVATE, private);
	check_all(ADDRESS_FORBIDDEN, forbidden);
	CHECK(smsflow_address_kind((const uint8_t *) "/run/socket", 11) == ADDRESS_FORBIDDEN);
	return unit_report();
}
