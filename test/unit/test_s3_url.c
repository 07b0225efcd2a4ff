/*
 * test_s3_url.c
 *	  From options to URLs; and the values in S3's headers.
 */
#include <stdlib.h>

#include "store/s3.h"
#include "unit.h"

static struct store_options
options_of(const char *location, const char *endpoint, enum store_url_style style)
{
	struct store_options options = {.location = location, .endpoint = endpoint, .url_style = style};

	return options;
}

/* The URL of a key (NULL: the bucket), or the code of the error in brackets. */
static const char *
url_of(const struct store_options *options, const char *key)
{
	static char result[5000];
	struct s3_address address;
	struct dicom_error error;
	struct dicom_buffer path = {0};
	struct dicom_buffer url = {0};

	if (s3_address_parse(options, &address, &error) == DICOM_OK)
	{
		s3_address_path(&address, key, &path);
		s3_address_url(&address, path.data, NULL, &url);
		snprintf(result, sizeof(result), "%s", url.data);
	}
	else
		snprintf(result, sizeof(result), "[%d]", error.code);
	dicom_buffer_free(&path);
	dicom_buffer_free(&url);
	s3_address_free(&address);
	return result;
}

static const char *
url(const char *location, const char *endpoint, enum store_url_style style, const char *key)
{
	struct store_options options = options_of(location, endpoint, style);

	return url_of(&options, key);
}

static const char *
failure(enum dicom_error_code code)
{
	static char text[16];

	snprintf(text, sizeof(text), "[%d]", code);
	return text;
}

UNIT_TEST(s3_url_styles)
{
	const char *http = "http://127.0.0.1:9000";

	CHECK_STRING(url("s3://raw", http, STORE_URL_AUTO, NULL), "http://127.0.0.1:9000/raw");
	CHECK_STRING(url("s3://raw/", http, STORE_URL_AUTO, "k"), "http://127.0.0.1:9000/raw/k");
	CHECK_STRING(url("s3://raw/a/b", http, STORE_URL_PATH, "k"), "http://127.0.0.1:9000/raw/a/b/k");
	CHECK_STRING(url("s3://raw/a/b/", http, STORE_URL_PATH, "/k"), "http://127.0.0.1:9000/raw/a/b//k");
	CHECK_STRING(url("s3://raw", http, STORE_URL_VIRTUAL, "k"), failure(DICOM_ERROR_INVALID_OPTION));
	CHECK_STRING(url("s3://raw", "http://localhost:9000", STORE_URL_VIRTUAL, "k"),
				 "http://raw.localhost:9000/k");
	CHECK_STRING(url("s3://raw", "http://localhost:9000", STORE_URL_VIRTUAL, NULL),
				 "http://raw.localhost:9000/");
	CHECK_STRING(url("s3://raw", "https://h.example/s3/", STORE_URL_PATH, "k"), "https://h.example/s3/raw/k");
}

UNIT_TEST(s3_url_of_aws)
{
	struct store_options options = options_of("s3://raw/in", NULL, STORE_URL_AUTO);

	CHECK_STRING(url_of(&options, "k"), "https://raw.s3.us-east-1.amazonaws.com/in/k");
	options.region = "eu-west-1";
	CHECK_STRING(url_of(&options, "k"), "https://raw.s3.eu-west-1.amazonaws.com/in/k");
	options.region = "cn-north-1";
	CHECK_STRING(url_of(&options, "k"), "https://raw.s3.cn-north-1.amazonaws.com.cn/in/k");
	options.region = "evil.org/";
	CHECK_STRING(url_of(&options, "k"), failure(DICOM_ERROR_INVALID_OPTION));
	CHECK_STRING(url("s3://with.dots", NULL, STORE_URL_AUTO, "k"),
				 "https://s3.us-east-1.amazonaws.com/with.dots/k");
	CHECK_STRING(url("s3://Upper_case", NULL, STORE_URL_AUTO, "k"),
				 "https://s3.us-east-1.amazonaws.com/Upper_case/k");
	CHECK_STRING(url("s3://raw", "http://s3.example.org", STORE_URL_AUTO, "k"),
				 "http://s3.example.org/raw/k");
}

UNIT_TEST(s3_url_encodes_keys_and_normalises_nothing)
{
	const char *http = "http://h.example";

	CHECK_STRING(url("s3://b", http, STORE_URL_PATH, "a b+c%41"), "http://h.example/b/a%20b%2Bc%2541");
	CHECK_STRING(url("s3://b", http, STORE_URL_PATH, "../x/./y//z"), "http://h.example/b/../x/./y//z");
	CHECK_STRING(url("s3://b", http, STORE_URL_PATH, "?a=b&c#d"), "http://h.example/b/%3Fa%3Db%26c%23d");
	CHECK_STRING(url("s3://b", http, STORE_URL_PATH, "\xc3\xbc~-_."), "http://h.example/b/%C3%BC~-_.");
	CHECK_STRING(url("s3://b/p q", http, STORE_URL_PATH, "k"), "http://h.example/b/p%20q/k");
}

UNIT_TEST(s3_url_refuses_what_is_no_bucket)
{
	const char *http = "http://h.example";
	const char *const bad[] = {"s3://",    "s3:///key", "s3://..",  "s3://.",
							   "s3://a b", "s3://a?b",  "s3://a@b", "s3://a%2f"};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_STRING(url(bad[i], http, STORE_URL_PATH, "k"), failure(DICOM_ERROR_INVALID_OPTION));
	CHECK_STRING(url("s3://metadata", "http://google.internal", STORE_URL_VIRTUAL, "k"),
				 failure(DICOM_ERROR_ENDPOINT_REFUSED));
}

UNIT_TEST(s3_url_stays_within_the_allowed_endpoints)
{
	struct store_options options = options_of("s3://raw", "http://s3.example.org", STORE_URL_PATH);

	options.restrict_endpoints = true;
	CHECK_STRING(url_of(&options, NULL), failure(DICOM_ERROR_ENDPOINT_REFUSED));
	options.allowed_endpoints = "*.example.org";
	CHECK_STRING(url_of(&options, NULL), "http://s3.example.org/raw");
	options.endpoint = NULL;
	CHECK_STRING(url_of(&options, NULL), failure(DICOM_ERROR_ENDPOINT_REFUSED));
	options.allowed_endpoints = NULL;
	options.url_style = STORE_URL_AUTO;
	CHECK_STRING(url_of(&options, "k"), "https://raw.s3.us-east-1.amazonaws.com/k");
}

UNIT_TEST(s3_query_is_encoded)
{
	struct dicom_buffer query = {0};

	s3_query_add(&query, "uploads", "");
	s3_query_add(&query, "prefix", "a/b c&d");
	CHECK_STRING(query.data, "uploads=&prefix=a%2Fb%20c%26d");
	dicom_buffer_free(&query);
}

UNIT_TEST(s3_times)
{
	CHECK(s3_parse_time("1970-01-01T00:00:00Z") == 0);
	CHECK(s3_parse_time("2024-02-29T12:00:00.000Z") == INT64_C(1709208000000000));
	CHECK(s3_parse_time("2024-02-29T12:00:00.123456Z") == INT64_C(1709208000123456));
	CHECK(s3_parse_time("Thu, 29 Feb 2024 12:00:00 GMT") == INT64_C(1709208000000000));
	CHECK(s3_parse_time("Wed, 12 Oct 2009 17:50:00 GMT") == INT64_C(1255369800000000));
	CHECK(s3_parse_time("yesterday") == 0);
	CHECK(s3_parse_time("2024-13-01T00:00:00Z") == 0);
	CHECK(s3_parse_time("") == 0);
}

UNIT_TEST(s3_numbers)
{
	uint64_t number = 7;

	CHECK(s3_parse_number("0", &number) && number == 0);
	CHECK(s3_parse_number("5368709120", &number) && number == UINT64_C(5368709120));
	CHECK(!s3_parse_number("", &number));
	CHECK(!s3_parse_number("-1", &number));
	CHECK(!s3_parse_number("1 ", &number));
	CHECK(!s3_parse_number("99999999999999999999", &number));
}

UNIT_TEST(s3_content_ranges)
{
	uint64_t first, last, size;

	CHECK(s3_parse_content_range("bytes 0-9/100", &first, &last, &size) && first == 0 && last == 9 &&
		  size == 100);
	CHECK(s3_parse_content_range("bytes 5-5/*", &first, &last, &size) && size == STORE_SIZE_UNKNOWN);
	CHECK(s3_parse_content_range("bytes */7", &first, &last, &size) && first > last && size == 7);
	CHECK(!s3_parse_content_range("bytes 9-0/100", &first, &last, &size));
	CHECK(!s3_parse_content_range("bytes 0-9", &first, &last, &size));
	CHECK(!s3_parse_content_range("bytes 0-/9", &first, &last, &size));
	CHECK(!s3_parse_content_range("bytes 0-9/", &first, &last, &size));
	CHECK(!s3_parse_content_range("items 0-9/10", &first, &last, &size));
	CHECK(!s3_parse_content_range("bytes 0-99999999999999999999999/10", &first, &last, &size));
}

static const char *
stripped(const char *etag)
{
	static char text[64];

	strcpy(text, etag);
	s3_strip_etag(text);
	return text;
}

UNIT_TEST(s3_etags)
{
	CHECK_STRING(stripped("\"abc\""), "abc");
	CHECK_STRING(stripped("W/\"abc\""), "abc");
	CHECK_STRING(stripped("abc"), "abc");
	CHECK_STRING(stripped("\""), "\"");
	CHECK_STRING(stripped("\"\""), "");
	CHECK_STRING(stripped(""), "");
}

static const char *
decoded(const char *text)
{
	static char copy[64];
	size_t length = strlen(text);

	strcpy(copy, text);
	return s3_decode_url(copy, &length) && length == strlen(copy) ? copy : "refused";
}

UNIT_TEST(s3_keys_are_decoded)
{
	CHECK_STRING(decoded("a+b%2Bc"), "a b+c");
	CHECK_STRING(decoded("%C3%bc"), "\xc3\xbc");
	CHECK_STRING(decoded("%25"), "%");
	CHECK_STRING(decoded("a%2"), "refused");
	CHECK_STRING(decoded("%"), "refused");
	CHECK_STRING(decoded("%zz"), "refused");
	CHECK_STRING(decoded("a%00b"), "refused");
	CHECK_STRING(decoded(""), "");
}

UNIT_TEST(http_headers_are_found)
{
	struct http_answer answer = {
		.headers = "ETag: \"x\"\r\nContent-Length:5\r\nX-Empty:\r\nx-long:  a b \t\r\n\r\n"};
	char value[8];
	size_t length;

	CHECK(http_header_copy(&answer, "etag", value, sizeof(value)));
	CHECK_STRING(value, "\"x\"");
	CHECK(http_header_copy(&answer, "content-length", value, sizeof(value)));
	CHECK_STRING(value, "5");
	CHECK(http_header_copy(&answer, "x-empty", value, sizeof(value)));
	CHECK_STRING(value, "");
	CHECK(http_header_copy(&answer, "X-Long", value, sizeof(value)));
	CHECK_STRING(value, "a b");
	CHECK(!http_header(&answer, "x-lon", &length));
	CHECK(!http_header_copy(&answer, "x-long", value, 3));
}
