/*
 * test_sigv4.c
 *	  Signatures that AWS publishes: the cases of its Signature Version 4 test suite, and the examples of the S3 documentation.
 */
#include "unit.h"

#include "store/sigv4.h"

#define SUITE_TIME 1440938160 /* 20150830T123600Z */
#define S3_TIME    1369353600 /* 20130524T000000Z */

static const struct sigv4_credentials suite_credentials = {"AKIDEXAMPLE",
														   "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL};
static const struct sigv4_credentials s3_credentials = {"AKIAIOSFODNN7EXAMPLE",
														"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL};

static void
check_signature(const struct sigv4_request *request, const struct sigv4_credentials *credentials, time_t now,
				struct sigv4_key *key, const char *scope, const char *names, const char *want)
{
	struct sigv4_signature signature = {0};
	struct dicom_buffer expected = {0};
	struct dicom_error error;

	CHECK(sigv4_sign(request, credentials, now, key, &signature, &error) == DICOM_OK);
	dicom_buffer_printf(&expected,
						"AWS4-HMAC-SHA256 Credential=%s/%s/aws4_request, SignedHeaders=%s, Signature=%s",
						credentials->access_key_id, scope, names, want);
	CHECK_TEXT(signature.authorization.data, signature.authorization.length, expected.data);
	dicom_buffer_free(&signature.authorization);
	dicom_buffer_free(&expected);
}

static void
check_suite(const char *method, const char *path, const char *query, const char *want)
{
	struct sigv4_request request = {.method = method,
									.host = "example.amazonaws.com",
									.path = path,
									.query = query,
									.region = "us-east-1",
									.service = "service"};

	check_signature(&request, &suite_credentials, SUITE_TIME, NULL, "20150830/us-east-1/service",
					"host;x-amz-date", want);
}

UNIT_TEST(sigv4_suite)
{
	check_suite("GET", "/", NULL, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	check_suite("POST", "/", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
	check_suite("GET", "/", "Param2=value2&Param1=value1",
				"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
	check_suite("GET", "/", "Param1=value2&Param1=Value1",
				"eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1");
	check_suite("GET", "/", "Param1=value2&Param1=value1",
				"5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694");
	check_suite("GET", "/", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
				"371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac");
	check_suite("GET", "/", "%E1%88%B4=bar",
				"2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04");
	check_suite("GET", "/%E1%88%B4", NULL,
				"8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
	check_suite("GET", "/example%20space/", NULL,
				"652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741");
	check_suite("GET", "//example//", NULL,
				"87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5");
	check_suite("GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", NULL,
				"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f");
}

/* get-header-value-trim: names in any case and order, blanks of values folded. */
UNIT_TEST(sigv4_suite_headers)
{
	struct sigv4_header headers[] = {{"My-Header2", " \"a   b   c\""}, {"MY-Header1", " value1 "}};
	struct sigv4_request request = {.method = "GET",
									.host = "example.amazonaws.com",
									.path = "/",
									.headers = headers,
									.header_count = 2,
									.region = "us-east-1",
									.service = "service"};

	check_signature(&request, &suite_credentials, SUITE_TIME, NULL, "20150830/us-east-1/service",
					"host;my-header1;my-header2;x-amz-date",
					"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
}

static void
check_s3(const char *method, const char *path, const char *query, const struct sigv4_header *headers,
		 int header_count, const char *hash, const char *names, const char *want, struct sigv4_key *key)
{
	struct sigv4_request request = {.method = method,
									.host = "examplebucket.s3.amazonaws.com",
									.path = path,
									.query = query,
									.headers = headers,
									.header_count = header_count,
									.payload_hash = hash,
									.send_payload_hash = true,
									.region = "us-east-1",
									.service = "s3"};

	check_signature(&request, &s3_credentials, S3_TIME, key, "20130524/us-east-1/s3", names, want);
}

UNIT_TEST(sigv4_s3_examples)
{
	struct sigv4_header range = {"Range", "bytes=0-9"};
	struct sigv4_header put[] = {{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
								 {"Date", "Fri, 24 May 2013 00:00:00 GMT"}};
	struct dicom_buffer path = {0};
	struct sigv4_key key = {0};
	char hash[SIGV4_HEX_LENGTH + 1];

	check_s3("GET", "/test.txt", NULL, &range, 1, NULL, "host;range;x-amz-content-sha256;x-amz-date",
			 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", &key);
	CHECK(key.valid);

	sigv4_hash("Welcome to Amazon S3.", 21, hash);
	CHECK_STRING(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
	sigv4_encode(&path, "/test$file.text", 15, true);
	check_s3("PUT", path.data, NULL, put, 2, hash,
			 "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
			 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd", &key);
	dicom_buffer_free(&path);

	check_s3("GET", "/", "lifecycle", NULL, 0, SIGV4_EMPTY_PAYLOAD, "host;x-amz-content-sha256;x-amz-date",
			 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", &key);
	check_s3("GET", "/", "prefix=J&max-keys=2", NULL, 0, NULL, "host;x-amz-content-sha256;x-amz-date",
			 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", &key);
	sigv4_key_wipe(&key);
	CHECK(!key.valid);
}

/* A kept key is derived anew for another day, region, service or secret. */
UNIT_TEST(sigv4_key_follows_scope)
{
	struct sigv4_credentials other = suite_credentials;
	struct sigv4_request request = {.method = "GET",
									.host = "example.amazonaws.com",
									.path = "/",
									.region = "eu-west-1",
									.service = "service"};
	struct sigv4_signature signature = {0};
	struct sigv4_key key = {0};

	CHECK(sigv4_sign(&request, &suite_credentials, SUITE_TIME, &key, &signature, NULL) == DICOM_OK);
	other.secret_access_key = "another";
	request.region = "us-east-1";
	CHECK(sigv4_sign(&request, &other, SUITE_TIME, &key, &signature, NULL) == DICOM_OK);
	CHECK(sigv4_sign(&request, &suite_credentials, SUITE_TIME + 86400, &key, &signature, NULL) == DICOM_OK);
	CHECK_STRING(signature.date, "20150831T123600Z");
	check_signature(&request, &suite_credentials, SUITE_TIME, &key, "20150830/us-east-1/service",
					"host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	dicom_buffer_free(&signature.authorization);
}

/* get-vanilla-with-session-token */
UNIT_TEST(sigv4_session_token)
{
	struct sigv4_credentials credentials = suite_credentials;
	struct sigv4_request request = {.method = "GET",
									.host = "example.amazonaws.com",
									.path = "/",
									.region = "us-east-1",
									.service = "service"};

	credentials.session_token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
	check_signature(&request, &credentials, SUITE_TIME, NULL, "20150830/us-east-1/service",
					"host;x-amz-date;x-amz-security-token",
					"07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8");
}

static void
check_encoding(const char *text, bool keep_slash, const char *want)
{
	struct dicom_buffer buffer = {0};

	sigv4_encode(&buffer, text, strlen(text), keep_slash);
	CHECK_TEXT(buffer.data, buffer.length, want);
	dicom_buffer_free(&buffer);
}

UNIT_TEST(sigv4_encoding)
{
	check_encoding("a b+c/d%e", false, "a%20b%2Bc%2Fd%25e");
	check_encoding("a b/c", true, "a%20b/c");
	check_encoding("~x-y_z.0/'()*!", true, "~x-y_z.0/%27%28%29%2A%21");
	check_encoding("\xC3\xBC\xE1\x88\xB4\xFF", true, "%C3%BC%E1%88%B4%FF");
	check_encoding("%2F=?&#\n\x7F", false, "%252F%3D%3F%26%23%0A%7F");
	check_encoding("", true, "");
}
