/*
 * test_credentials.c
 *	  The chain of credentials against services played by a table of answers, and files of its own.
 */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "store/credentials.h"

#define NOW 1800000000 /* 2027-01-15T08:00:00Z */

/* An answer of a service, for a method and a part of the URL. */
struct canned
{
	const char *method;
	const char *url;
	int status; /* 0: no answer */
	const char *body;
	const char *header; /* that the request must carry, NULL: any */
	const char *header_value;
	const char *request_body; /* part that the request must have, NULL: any */
};

struct service
{
	const struct canned *answers;
	int count;
	int requests;
	enum dicom_error_code failure;
	bool saw_all; /* what the request must carry was there */
};

static bool
carries(const struct credentials_request *request, const struct canned *answer)
{
	int i;

	if (answer->request_body &&
		(request->body == NULL || strstr(request->body, answer->request_body) == NULL))
		return false;
	if (answer->header == NULL)
		return true;
	for (i = 0; i < request->header_count; i++)
		if (strcmp(request->headers[i].name, answer->header) == 0)
			return strcmp(request->headers[i].value, answer->header_value) == 0;
	return false;
}

static enum dicom_status
answer_request(void *arg, const struct credentials_request *request, int *http_status,
			   struct dicom_buffer *body, struct dicom_error *error)
{
	struct service *service = arg;
	int i;

	service->requests++;
	for (i = 0; i < service->count; i++)
	{
		const struct canned *answer = &service->answers[i];

		if (strcmp(request->method, answer->method) != 0 || strcmp(request->url, answer->url) != 0)
			continue;
		service->saw_all &= carries(request, answer);
		*http_status = answer->status;
		dicom_buffer_append_string(body, answer->body);
		return DICOM_OK;
	}
	return dicom_fail(error, service->failure ? service->failure : DICOM_ERROR_NETWORK, "nobody there");
}

static const char *const variables[] = {
	"AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN",
	"AWS_PROFILE",
	"AWS_SHARED_CREDENTIALS_FILE",
	"AWS_CONFIG_FILE",
	"AWS_WEB_IDENTITY_TOKEN_FILE",
	"AWS_ROLE_ARN",
	"AWS_ROLE_SESSION_NAME",
	"AWS_REGION",
	"AWS_DEFAULT_REGION",
	"AWS_ENDPOINT_URL_STS",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
	"AWS_EC2_METADATA_DISABLED",
};

static void
clear_environment(void)
{
	size_t i;

	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	setenv("HOME", "/nonexistent", 1);
}

static struct credentials *
open_chain(struct service *service, enum store_credentials_source source, const struct store_options *more)
{
	struct store_options options = more ? *more : (struct store_options){0};
	struct credentials_transport transport = {answer_request, service};
	struct credentials *credentials;
	struct dicom_error error;

	options.credentials = source;
	options.allow_ambient = true;
	service->saw_all = true;
	CHECK(credentials_open(&options, &transport, &credentials, &error) == DICOM_OK);
	return credentials;
}

/* Asks a chain of its own for keys; "-" stands for anonymous. */
static void
check_keys(struct service *service, enum store_credentials_source source, const struct store_options *more,
		   const char *id, const char *secret, const char *token, const char *origin)
{
	struct credentials *credentials = open_chain(service, source, more);
	struct sigv4_credentials signing = {0};
	struct dicom_error error = {0};

	CHECK(credentials_get(credentials, NOW, &signing, &error) == DICOM_OK);
	if (error.code)
		printf("# %s\n", error.message);
	CHECK_STRING(signing.access_key_id ? signing.access_key_id : "-", id);
	CHECK_STRING(signing.secret_access_key ? signing.secret_access_key : "-", secret);
	CHECK_STRING(signing.session_token ? signing.session_token : "-", token);
	CHECK_STRING(credentials_origin(credentials), origin);
	CHECK(service->saw_all);
	credentials_close(credentials);
}

static void
check_failure(struct service *service, enum store_credentials_source source, const struct store_options *more,
			  enum dicom_error_code code, const char *part)
{
	struct credentials *credentials = open_chain(service, source, more);
	struct sigv4_credentials signing = {0};
	struct dicom_error error = {0};

	CHECK(credentials_get(credentials, NOW, &signing, &error) == DICOM_FAILED);
	CHECK(error.code == code);
	CHECK(strstr(error.message, part) != NULL);
	if (strstr(error.message, part) == NULL)
		printf("# %s\n", error.message);
	credentials_close(credentials);
}

/* Writes a file that lasts as long as the test; returns its path. */
static const char *
write_file(const char *name, const char *content)
{
	static char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/test_credentials.%d.%s", (int) getpid(), name);
	file = fopen(path, "w");
	fputs(content, file);
	fclose(file);
	return path;
}

UNIT_TEST(credentials_given)
{
	struct service service = {0};
	struct store_options keys = {
		.access_key_id = "AKID", .secret_access_key = "secret", .session_token = "token"};
	struct store_options half = {.access_key_id = "AKID"};
	struct credentials_transport transport = {answer_request, &service};
	struct credentials *credentials;
	struct dicom_error error;

	clear_environment();
	setenv("AWS_ACCESS_KEY_ID", "OTHER", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "other", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, &keys, "AKID", "secret", "token", "user mapping");
	check_keys(&service, STORE_CREDENTIALS_MAPPING, &keys, "AKID", "secret", "token", "user mapping");
	check_keys(&service, STORE_CREDENTIALS_ENVIRONMENT, &keys, "OTHER", "other", "-", "environment");
	check_keys(&service, STORE_CREDENTIALS_ANONYMOUS, &keys, "-", "-", "-", "anonymous");
	CHECK(credentials_open(&half, &transport, &credentials, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_INVALID_OPTION && credentials == NULL);
	CHECK(strstr(error.message, "AKID") == NULL);
	CHECK(service.requests == 0);
	clear_environment();
}

/* Without permission, the machine's credentials are out of reach, however asked for. */
UNIT_TEST(credentials_ambient_refused)
{
	struct service service = {0};
	struct store_options options = {.credentials = STORE_CREDENTIALS_AUTO};
	struct credentials_transport transport = {answer_request, &service};
	struct sigv4_credentials signing = {0};
	struct credentials *credentials;
	struct dicom_error error;

	clear_environment();
	setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
	CHECK(credentials_open(&options, &transport, &credentials, &error) == DICOM_OK);
	CHECK(credentials_get(credentials, NOW, &signing, &error) == DICOM_OK);
	CHECK(signing.access_key_id == NULL);
	CHECK(service.requests == 0);
	credentials_close(credentials);

	options.credentials = STORE_CREDENTIALS_ENVIRONMENT;
	CHECK(credentials_open(&options, &transport, &credentials, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_ACCESS_DENIED);
	clear_environment();
}

UNIT_TEST(credentials_environment)
{
	struct service service = {0};

	clear_environment();
	check_failure(&service, STORE_CREDENTIALS_ENVIRONMENT, NULL, DICOM_ERROR_CREDENTIALS,
				  "no credentials found");
	setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
	check_failure(&service, STORE_CREDENTIALS_AUTO, NULL, DICOM_ERROR_CREDENTIALS, "AWS_SECRET_ACCESS_KEY");
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("AWS_SESSION_TOKEN", "token", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "AKID", "secret", "token", "environment");
	setenv("AWS_SESSION_TOKEN", "to\r\nX-Evil: yes", 1);
	check_failure(&service, STORE_CREDENTIALS_AUTO, NULL, DICOM_ERROR_CREDENTIALS, "bytes that no key has");
	clear_environment();
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "-", "-", "-", "anonymous");
}

UNIT_TEST(credentials_profile)
{
	struct service service = {0};
	struct store_options other = {.profile = "other"};
	struct store_options work = {.profile = "work"};
	struct store_options half = {.profile = "half"};
	struct store_options sso = {.profile = "sso"};
	struct store_options none = {.profile = "none"};

	clear_environment();
	setenv("AWS_SHARED_CREDENTIALS_FILE",
		   write_file("credentials", "# comment\n[default]\naws_access_key_id = AKID1\r\n"
									 "aws_secret_access_key=sec=ret1\n\n[other]\n"
									 "aws_access_key_id=AKID2\naws_secret_access_key=secret2 \n"
									 "aws_session_token=token2\n[half]\naws_access_key_id=AKID3\n"),
		   1);
	setenv("AWS_CONFIG_FILE",
		   write_file("config",
					  "[default]\nregion=eu-west-1\n[profile work]\ns3 =\n  aws_access_key_id = nested\n"
					  "aws_access_key_id=AKID4\naws_secret_access_key=secret4\n"
					  "[profile sso]\nsso_session = x\n[other]\naws_access_key_id=no\n"),
		   1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "AKID1", "sec=ret1", "-", "profile");
	check_keys(&service, STORE_CREDENTIALS_PROFILE, &other, "AKID2", "secret2", "token2", "profile");
	check_keys(&service, STORE_CREDENTIALS_PROFILE, &work, "AKID4", "secret4", "-", "profile");
	check_failure(&service, STORE_CREDENTIALS_PROFILE, &half, DICOM_ERROR_CREDENTIALS, "half a key");
	check_failure(&service, STORE_CREDENTIALS_AUTO, &sso, DICOM_ERROR_CREDENTIALS, "where to get them");
	check_failure(&service, STORE_CREDENTIALS_AUTO, &none, DICOM_ERROR_CREDENTIALS,
				  "is not in the shared files");
	setenv("AWS_PROFILE", "other", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "AKID2", "secret2", "token2", "profile");
	unlink(write_file("credentials", ""));
	unlink(write_file("config", ""));
	clear_environment();
	check_failure(&service, STORE_CREDENTIALS_PROFILE, NULL, DICOM_ERROR_CREDENTIALS, "no credentials found");
}

#define STS_REPLY                                                                             \
	"<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">" \
	"<AssumeRoleWithWebIdentityResult><Credentials><SessionToken>TOKEN</SessionToken>"        \
	"<SecretAccessKey>SECRET</SecretAccessKey><Expiration>2027-01-15T09:00:00Z</Expiration>"  \
	"<AccessKeyId>ASIA</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>"         \
	"</AssumeRoleWithWebIdentityResponse>"

UNIT_TEST(credentials_web_identity)
{
	static const struct canned good[] = {
		{"POST", "https://sts.eu-west-1.amazonaws.com/", 200, STS_REPLY, NULL, NULL,
		 "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"
		 "&RoleSessionName=dicom_fdw&WebIdentityToken=ey.j%2Bw"}};
	static const struct canned denied[] = {
		{"POST", "https://sts.us-east-1.amazonaws.com/", 403,
		 "<ErrorResponse><Error><Code>AccessDenied</Code><Message>token ey.j+w</Message></Error></ErrorResponse>"}};
	struct service service = {good, 1};
	struct store_options options = {.region = "eu-west-1"};

	clear_environment();
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write_file("token", "ey.j+w\n"), 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
	setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, &options, "ASIA", "SECRET", "TOKEN", "web identity");
	service.answers = denied;
	check_failure(&service, STORE_CREDENTIALS_AUTO, NULL, DICOM_ERROR_CREDENTIALS,
				  "answered 403: AccessDenied");
	unlink(write_file("token", ""));
	check_failure(&service, STORE_CREDENTIALS_AUTO, NULL, DICOM_ERROR_CREDENTIALS, "does not exist");
	clear_environment();
}

#define KEYS_JSON(id, expires)                    \
	"{\"Code\":\"Success\",\"AccessKeyId\":\"" id \
	"\",\"SecretAccessKey\":\"S\",\"Token\":\"T\",\"Expiration\":\"" expires "\"}"

UNIT_TEST(credentials_container)
{
	static const struct canned answers[] = {
		{"GET", "http://169.254.170.2/v2/x", 200, KEYS_JSON("ECS", "2027-01-15T14:00:00Z")},
		{"GET", "http://127.0.0.1:99/full", 200, KEYS_JSON("EKS", "2027-01-15T14:00:00.123Z"),
		 "Authorization", "Bearer x"},
		{"GET", "http://localhost/bad", 500, "no"},
		{"GET", "http://localhost/empty", 200, "{}"},
	};
	static const char *const refused[] = {"http://example.com/x", "http://127.0.0.1@example.com/",
										  "ftp://127.0.0.1/", "http://127.evil.example/",
										  "http://localhost.example.com/"};
	struct service service = {answers, 4};
	size_t i;

	clear_environment();
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "ECS", "S", "T", "container");
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil/", 1);
	check_failure(&service, STORE_CREDENTIALS_AUTO, NULL, DICOM_ERROR_CREDENTIALS, "not acceptable");
	unsetenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:99/full", 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", write_file("agent", "Bearer x\n"), 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "EKS", "S", "T", "container");
	unlink(write_file("agent", ""));
	unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/bad", 1);
	check_failure(&service, STORE_CREDENTIALS_AUTO, NULL, DICOM_ERROR_CREDENTIALS, "answered 500");
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/empty", 1);
	check_failure(&service, STORE_CREDENTIALS_AUTO, NULL, DICOM_ERROR_CREDENTIALS, "handed out no keys");
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", refused[i], 1);
		check_failure(&service, STORE_CREDENTIALS_AUTO, NULL, DICOM_ERROR_CREDENTIALS, "not acceptable");
	}
	clear_environment();
}

UNIT_TEST(credentials_instance)
{
	static const struct canned answers[] = {
		{"PUT", "http://imds/latest/api/token", 200, "IMDS", "X-aws-ec2-metadata-token-ttl-seconds", "21600"},
		{"GET", "http://imds/latest/meta-data/iam/security-credentials/", 200, "my-role\n",
		 "X-aws-ec2-metadata-token", "IMDS"},
		{"GET", "http://imds/latest/meta-data/iam/security-credentials/my-role", 200,
		 KEYS_JSON("EC2", "2027-01-15T14:00:00Z"), "X-aws-ec2-metadata-token", "IMDS"},
		{"PUT", "http://bare/latest/api/token", 200, "IMDS"},
		{"GET", "http://bare/latest/meta-data/iam/security-credentials/", 404, "none"},
		{"PUT", "http://closed/latest/api/token", 403, "no"},
	};
	struct service service = {answers, 6};

	clear_environment();
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://imds/", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "EC2", "S", "T", "instance");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://bare", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "-", "-", "-", "anonymous");
	check_failure(&service, STORE_CREDENTIALS_INSTANCE, NULL, DICOM_ERROR_CREDENTIALS,
				  "no credentials found");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://closed", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "-", "-", "-", "anonymous");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://silent", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "-", "-", "-", "anonymous");
	service.failure = DICOM_ERROR_INTERRUPTED;
	check_failure(&service, STORE_CREDENTIALS_AUTO, NULL, DICOM_ERROR_INTERRUPTED, "");
	service.requests = 0;
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	check_keys(&service, STORE_CREDENTIALS_AUTO, NULL, "-", "-", "-", "anonymous");
	CHECK(service.requests == 0);
	clear_environment();
}

/* Keys are kept while fresh, renewed five minutes before they expire, and used to the end where that fails. */
UNIT_TEST(credentials_renewal)
{
	static const struct canned first[] = {
		{"GET", "http://localhost/x", 200, KEYS_JSON("ONE", "2027-01-15T09:00:00Z")}};
	static const struct canned second[] = {
		{"GET", "http://localhost/x", 200, KEYS_JSON("TWO", "2027-01-15T12:00:00Z")}};
	static const struct canned broken[] = {{"GET", "http://localhost/x", 500, "no"}};
	struct service service = {first, 1};
	struct credentials *credentials;
	struct sigv4_credentials signing = {0};
	struct dicom_error error;

	clear_environment();
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/x", 1);
	credentials = open_chain(&service, STORE_CREDENTIALS_AUTO, NULL);
	CHECK(credentials_get(credentials, NOW, &signing, &error) == DICOM_OK);
	CHECK(credentials_get(credentials, NOW + 3200, &signing, &error) == DICOM_OK);
	CHECK(service.requests == 1);

	service.answers = broken;
	CHECK(credentials_get(credentials, NOW + 3400, &signing, &error) == DICOM_OK);
	CHECK_STRING(signing.access_key_id, "ONE");
	CHECK(credentials_get(credentials, NOW + 3401, &signing, &error) == DICOM_OK);
	CHECK(service.requests == 2);
	CHECK(credentials_get(credentials, NOW + 3600, &signing, &error) == DICOM_FAILED);
	CHECK(error.code == DICOM_ERROR_CREDENTIALS);

	service.answers = second;
	CHECK(credentials_get(credentials, NOW + 3601, &signing, &error) == DICOM_OK);
	CHECK_STRING(signing.access_key_id, "TWO");
	CHECK(!credentials_expire(credentials, NOW + 3602));
	CHECK(credentials_expire(credentials, NOW + 3700));
	service.answers = first;
	CHECK(credentials_get(credentials, NOW + 3700, &signing, &error) == DICOM_OK);
	CHECK(service.requests == 5);
	credentials_close(credentials);
	clear_environment();
}
