/*
 * test_endpoint.c
 *	  No spelling of a metadata address gets through, and the allow-list matches whole labels.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "store/endpoint.h"

UNIT_TEST(endpoint_forbidden_hosts)
{
	static const char *const forbidden[] = {
		"169.254.169.254",
		"169.254.170.2",
		"169.254.0.1",
		"2852039166",
		"0xA9FEA9FE",
		"0xa9fea9fe",
		"025177524776",
		"0251.0376.0251.0376",
		"0xa9.0xfe.0xa9.0xfe",
		"169.254.43518",
		"169.16689662",
		"169.0xfe.0251.254",
		"169.254.169.254.",
		"100.100.100.200",
		"168.63.129.16",
		"192.0.0.192",
		"::ffff:169.254.169.254",
		"::FFFF:a9fe:a9fe",
		"0:0:0:0:0:ffff:a9fe:a9fe",
		"::169.254.169.254",
		"64:ff9b::169.254.169.254",
		"2002:a9fe:a9fe::1",
		"fe80::1",
		"fe80::1%eth0",
		"febf::1",
		"fd00:ec2::254",
		"FD00:0EC2:0:0::254",
		"fd00:ec2::23",
		"metadata.google.internal",
		"Metadata.Google.Internal.",
		"metadata",
		"instance-data",
		"",
		".",
	};
	static const char *const fine[] = {
		"s3.amazonaws.com",     "127.0.0.1", "10.0.0.1", "localhost",   "169.253.1.1",
		"192.168.1.1",          "::1",       "fd00::1",  "2001:db8::1", "minio",
		"metadata.example.com",
	};
	size_t i;

	for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
	{
		CHECK(endpoint_host_is_forbidden(forbidden[i]));
		if (!endpoint_host_is_forbidden(forbidden[i]))
			printf("# %s\n", forbidden[i]);
	}
	for (i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		CHECK(!endpoint_host_is_forbidden(fine[i]));
}

UNIT_TEST(endpoint_forbidden_addresses)
{
	struct sockaddr_in address4 = {.sin_family = AF_INET};
	struct sockaddr_in6 address6 = {.sin6_family = AF_INET6};
	struct sockaddr local = {.sa_family = AF_UNIX};

	inet_pton(AF_INET, "169.254.169.254", &address4.sin_addr);
	CHECK(endpoint_address_is_forbidden((struct sockaddr *) &address4));
	inet_pton(AF_INET, "52.216.0.1", &address4.sin_addr);
	CHECK(!endpoint_address_is_forbidden((struct sockaddr *) &address4));
	inet_pton(AF_INET6, "::ffff:169.254.169.254", &address6.sin6_addr);
	CHECK(endpoint_address_is_forbidden((struct sockaddr *) &address6));
	inet_pton(AF_INET6, "2600:1f18::1", &address6.sin6_addr);
	CHECK(!endpoint_address_is_forbidden((struct sockaddr *) &address6));
	CHECK(endpoint_address_is_forbidden(&local));
}

UNIT_TEST(endpoint_allow_list)
{
	CHECK(endpoint_matches(NULL, "s3.eu-west-1.amazonaws.com", 443));
	CHECK(endpoint_matches(NULL, "bucket.S3.amazonaws.com.", 443));
	CHECK(endpoint_matches(NULL, "s3.cn-north-1.amazonaws.com.cn", 443));
	CHECK(!endpoint_matches(NULL, "amazonaws.com", 443));
	CHECK(!endpoint_matches(NULL, "evilamazonaws.com", 443));
	CHECK(!endpoint_matches(NULL, "s3.amazonaws.com.evil.example", 443));
	CHECK(!endpoint_matches("", "s3.amazonaws.com", 443));
	CHECK(endpoint_matches("minio.local:9000 , *.example.org", "minio.local", 9000));
	CHECK(!endpoint_matches("minio.local:9000", "minio.local", 9001));
	CHECK(endpoint_matches("minio.local", "minio.local", 9001));
	CHECK(endpoint_matches("*.example.org:443", "a.b.example.org", 443));
	CHECK(!endpoint_matches("*.example.org:443", "a.b.example.org", 80));
	CHECK(endpoint_matches("[::1]:9000", "::1", 9000));
	CHECK(!endpoint_matches("[::1]:9000", "::1", 9001));
	CHECK(endpoint_matches("::1", "::1", 9001));
	CHECK(!endpoint_matches("*.0.0.1", "127.0.0.1", 80));
	CHECK(!endpoint_matches("*", "s3.amazonaws.com", 443));
}

static void
check_invalid(const char *url, enum dicom_error_code code)
{
	struct endpoint endpoint;
	struct dicom_error error = {0};

	CHECK(endpoint_parse(url, &endpoint, &error) == DICOM_FAILED);
	CHECK(error.code == code);
	if (error.code != code)
		printf("# %s\n", url);
}

UNIT_TEST(endpoint_urls)
{
	struct endpoint endpoint;
	struct dicom_error error;
	char header[300];

	CHECK(endpoint_parse("HTTPS://S3.Amazonaws.COM/", &endpoint, &error) == DICOM_OK);
	CHECK_STRING(endpoint.host, "s3.amazonaws.com");
	CHECK(endpoint.tls && endpoint.port == 443 && endpoint.default_port && !endpoint.is_address);
	CHECK_STRING(endpoint.path, "");

	CHECK(endpoint_parse("http://127.0.0.1:9000/s3/", &endpoint, &error) == DICOM_OK);
	CHECK(!endpoint.tls && endpoint.port == 9000 && endpoint.is_address);
	CHECK_STRING(endpoint.path, "/s3");
	endpoint_host_header(&endpoint, header, sizeof(header));
	CHECK_STRING(header, "127.0.0.1:9000");

	CHECK(endpoint_parse("http://[::1]:8000", &endpoint, &error) == DICOM_OK);
	CHECK_STRING(endpoint.host, "::1");
	endpoint_host_header(&endpoint, header, sizeof(header));
	CHECK_STRING(header, "[::1]:8000");

	check_invalid("ftp://host", DICOM_ERROR_INVALID_OPTION);
	check_invalid("s3.amazonaws.com", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://user:password@host", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://host@169.254.169.254/", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://host:0", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://host:65536", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://host:99999999999", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://host:80x", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://ho st", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://host?x", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://host/a#b", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://%31%36%39.254.169.254", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://\xEF\xBC\x91"
				  "69.254.169.254",
				  DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://[::1", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://[fe80::1%25eth0]/", DICOM_ERROR_INVALID_OPTION);
	check_invalid("http://0xA9FEA9FE/", DICOM_ERROR_ENDPOINT_REFUSED);
	check_invalid("http://[::ffff:a9fe:a9fe]:80/", DICOM_ERROR_ENDPOINT_REFUSED);
	check_invalid("http://metadata.google.internal./", DICOM_ERROR_ENDPOINT_REFUSED);
}
