/*
 * credentials_remote.c
 *	  Keys that a service hands out for a while: STS for a web identity, the container agent, the instance metadata
 *	  service. The only file of the stores that knows jansson.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strptime(), strcasestr() */
#endif

#include "credentials_internal.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "xml.h"

#define LOCAL_TIMEOUT_MS  1000 /* a service on this very machine or link */
#define REMOTE_TIMEOUT_MS 10000
#define MAX_REPLY         (64 * 1024)

static enum dicom_status
fail_memory(struct dicom_error *error)
{
	return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
}

static enum dicom_status
send_request(struct credentials *credentials, const struct credentials_request *request, int *http_status,
			 struct dicom_buffer *reply, struct dicom_error *error)
{
	/* Room for all of it at once: growing would leave copies of the keys behind. */
	if (dicom_buffer_reserve(reply, MAX_REPLY) == NULL)
		return fail_memory(error);
	return credentials->transport.send(credentials->transport.arg, request, http_status, reply, error);
}

/* 2026-11-22T20:58:56Z, or with a fraction; 0 where it is something else. */
static time_t
parse_time(const char *text)
{
	struct tm utc = {0};
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &utc) : NULL;

	return rest && (*rest == 'Z' || *rest == '.' || *rest == '+') ? timegm(&utc) : 0;
}

/* --- keys as JSON: container and instance --- */

static const char *
json_text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static char *
copy_json(const json_t *object, const char *name)
{
	const char *text = json_text(object, name);

	return text ? credentials_copy(text, strlen(text)) : NULL;
}

/* The parser has copied the keys: overwrite those copies before they are freed. */
static void
wipe_json(json_t *object, const char *name)
{
	char *text = (char *) json_text(object, name);

	if (text)
		explicit_bzero(text, strlen(text));
}

static enum dicom_status
parse_keys(const struct dicom_buffer *reply, const char *service, struct found_keys *keys,
		   struct dicom_error *error)
{
	json_t *object = json_loadb(reply->data ? reply->data : "", reply->length, JSON_REJECT_DUPLICATES, NULL);
	const char *code = json_text(object, "Code");
	bool good = code == NULL || strcmp(code, "Success") == 0;

	if (good)
	{
		keys->access_key_id = copy_json(object, "AccessKeyId");
		keys->secret_access_key = copy_json(object, "SecretAccessKey");
		keys->session_token = copy_json(object, "Token");
		keys->expires_at = parse_time(json_text(object, "Expiration"));
	}
	wipe_json(object, "SecretAccessKey");
	wipe_json(object, "Token");
	json_decref(object);
	if (keys->access_key_id && keys->secret_access_key)
		return DICOM_OK;
	return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "%s handed out no keys", service);
}

/* --- web identity --- */

static void
append_parameter(struct dicom_buffer *body, const char *name, const char *value, size_t length)
{
	if (body->length > 0)
		dicom_buffer_append_char(body, '&');
	dicom_buffer_printf(body, "%s=", name);
	sigv4_encode(body, value, length, false);
}

static void
build_identity_request(struct dicom_buffer *body, const char *role, const char *token, size_t token_length)
{
	const char *session = credentials_environment("AWS_ROLE_SESSION_NAME");

	if (session == NULL)
		session = "dicom_fdw";
	dicom_buffer_reserve(body, 3 * (token_length + strlen(role) + strlen(session)) + 256);
	append_parameter(body, "Action", "AssumeRoleWithWebIdentity", strlen("AssumeRoleWithWebIdentity"));
	append_parameter(body, "Version", "2011-06-15", strlen("2011-06-15"));
	append_parameter(body, "RoleArn", role, strlen(role));
	append_parameter(body, "RoleSessionName", session, strlen(session));
	append_parameter(body, "WebIdentityToken", token, token_length);
}

/* STS of the store's region, so that a private network without a way to another one will do. */
static void
append_sts_url(struct dicom_buffer *url, const struct credentials *credentials)
{
	const char *given = credentials_environment("AWS_ENDPOINT_URL_STS");
	const char *region = credentials->region;

	if (given)
	{
		dicom_buffer_append_string(url, given);
		return;
	}
	if (region == NULL)
		region = credentials_environment("AWS_REGION");
	if (region == NULL)
		region = credentials_environment("AWS_DEFAULT_REGION");
	if (region == NULL)
		region = "us-east-1";
	dicom_buffer_append_string(url, "https://sts.");
	sigv4_encode(url, region, strlen(region), false);
	dicom_buffer_append_string(url,
							   strncmp(region, "cn-", 3) == 0 ? ".amazonaws.com.cn/" : ".amazonaws.com/");
}

#define STS_KEYS "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/"

static enum dicom_status
parse_identity_reply(const struct dicom_buffer *reply, struct found_keys *keys, struct dicom_error *error)
{
	char id[256];
	char secret[512];
	char token[8192];
	char expiration[64];
	struct xml_wanted wanted[] = {{STS_KEYS "AccessKeyId", id, sizeof(id)},
								  {STS_KEYS "SecretAccessKey", secret, sizeof(secret)},
								  {STS_KEYS "SessionToken", token, sizeof(token)},
								  {STS_KEYS "Expiration", expiration, sizeof(expiration)}};

	if (xml_extract(reply->data, reply->length, wanted, 4))
	{
		keys->access_key_id = credentials_copy(id, strlen(id));
		keys->secret_access_key = credentials_copy(secret, strlen(secret));
		keys->session_token = credentials_copy(token, strlen(token));
		keys->expires_at = parse_time(expiration);
	}
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(token, sizeof(token));
	if (keys->access_key_id && keys->secret_access_key && keys->session_token)
		return DICOM_OK;
	return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "the security token service handed out no keys");
}

/* Only the code of the service's answer is told: its message may repeat what was sent. */
static enum dicom_status
fail_identity(int http_status, const struct dicom_buffer *reply, struct dicom_error *error)
{
	char code[64] = "";
	struct xml_wanted wanted = {"ErrorResponse/Error/Code", code, sizeof(code)};
	size_t i;

	if (reply->length > 0)
		xml_extract(reply->data, reply->length, &wanted, 1);
	for (i = 0; code[i]; i++)
		if (code[i] < '-' || code[i] > 'z')
			code[i] = '?';
	return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "the security token service answered %d%s%s",
					  http_status, code[0] ? ": " : "", code);
}

static enum dicom_status
ask_for_identity(struct credentials *credentials, const char *body, struct found_keys *keys,
				 struct dicom_error *error)
{
	struct dicom_buffer url = {0};
	struct dicom_buffer reply = {0};
	struct credentials_request request = {
		.method = "POST", .body = body, .timeout_ms = REMOTE_TIMEOUT_MS, .retry = true};
	enum dicom_status status;
	int http_status = 0;

	append_sts_url(&url, credentials);
	request.url = url.data;
	if (url.failed)
		status = fail_memory(error);
	else
		status = send_request(credentials, &request, &http_status, &reply, error);
	if (status == DICOM_OK && http_status != 200)
		status = fail_identity(http_status, &reply, error);
	if (status == DICOM_OK)
		status = parse_identity_reply(&reply, keys, error);
	dicom_buffer_free(&url);
	credentials_wipe_buffer(&reply);
	return status;
}

enum dicom_status
credentials_find_web_identity(struct credentials *credentials, struct found_keys *keys,
							  struct dicom_error *error)
{
	const char *file = credentials_environment("AWS_WEB_IDENTITY_TOKEN_FILE");
	const char *role = credentials_environment("AWS_ROLE_ARN");
	struct dicom_buffer token = {0};
	struct dicom_buffer body = {0};
	enum dicom_status status;

	if (file == NULL || role == NULL)
		return DICOM_END;
	status = credentials_read_file(file, "web identity token", &token, error);
	if (status == DICOM_END)
		status = dicom_fail(error, DICOM_ERROR_CREDENTIALS, "web identity token \"%s\" does not exist", file);
	if (status == DICOM_OK)
	{
		while (token.length > 0 && (unsigned char) token.data[token.length - 1] <= ' ')
			token.length--;
		build_identity_request(&body, role, token.data, token.length);
		status = body.failed ? fail_memory(error) : ask_for_identity(credentials, body.data, keys, error);
	}
	credentials_wipe_buffer(&token);
	credentials_wipe_buffer(&body);
	return status;
}

/* --- container --- */

static bool
starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* Without TLS the agent must be on this machine, or at one of the addresses that ECS and EKS use. */
static bool
is_agent(const char *url)
{
	static const char *const hosts[] = {"127.",          "localhost",      "[::1]",
										"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
	const char *host = url + strlen("http://");
	size_t length = strcspn(host, ":/?#");
	size_t i;

	if (host[0] == '[')
		length = strcspn(host, "]") + 1;
	if (memchr(host, '@', strcspn(host, "/?#")))
		return false;
	for (i = 1; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (strlen(hosts[i]) == length && memcmp(host, hosts[i], length) == 0)
			return true;
	return starts_with(host, hosts[0]) && strspn(host, "0123456789.") == length;
}

/* The agent's URL; DICOM_END where there is no agent. */
static enum dicom_status
find_agent(struct dicom_buffer *url, struct dicom_error *error)
{
	const char *relative = credentials_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = credentials_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");

	if (relative == NULL && full == NULL)
		return DICOM_END;
	if (relative ? relative[0] != '/'
				 : !starts_with(full, "https://") && !(starts_with(full, "http://") && is_agent(full)))
		return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "environment variable %s is not acceptable",
						  relative ? "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
								   : "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	if (relative)
		dicom_buffer_append_string(url, "http://169.254.170.2");
	dicom_buffer_append_string(url, relative ? relative : full);
	return url->failed ? fail_memory(error) : DICOM_OK;
}

/* What the agent wants to see as Authorization; *token stays NULL where it wants nothing. */
static enum dicom_status
read_agent_token(char **token, struct dicom_error *error)
{
	const char *file = credentials_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *given = credentials_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	struct dicom_buffer content = {0};
	enum dicom_status status = DICOM_OK;

	if (file)
		status = credentials_read_file(file, "container authorization token", &content, error);
	if (status == DICOM_END)
		status = dicom_fail(error, DICOM_ERROR_CREDENTIALS,
							"container authorization token \"%s\" does not exist", file);
	if (status == DICOM_OK && file)
		*token = credentials_copy(content.data, content.length);
	else if (status == DICOM_OK && given)
		*token = credentials_copy(given, strlen(given));
	credentials_wipe_buffer(&content);
	if (*token && strpbrk(*token, "\r\n"))
		status =
			dicom_fail(error, DICOM_ERROR_CREDENTIALS, "container authorization token has several lines");
	return status;
}

static enum dicom_status
ask_agent(struct credentials *credentials, const char *url, const char *token, struct found_keys *keys,
		  struct dicom_error *error)
{
	struct sigv4_header authorization = {"Authorization", token};
	struct credentials_request request = {.method = "GET",
										  .url = url,
										  .headers = &authorization,
										  .header_count = token ? 1 : 0,
										  .timeout_ms = LOCAL_TIMEOUT_MS * 2,
										  .retry = true,
										  .local = starts_with(url, "http://")};
	struct dicom_buffer reply = {0};
	int http_status = 0;
	enum dicom_status status = send_request(credentials, &request, &http_status, &reply, error);

	if (status == DICOM_OK && http_status != 200)
		status = dicom_fail(error, DICOM_ERROR_CREDENTIALS, "the container's credentials service answered %d",
							http_status);
	if (status == DICOM_OK)
		status = parse_keys(&reply, "the container's credentials service", keys, error);
	credentials_wipe_buffer(&reply);
	return status;
}

enum dicom_status
credentials_find_container(struct credentials *credentials, struct found_keys *keys,
						   struct dicom_error *error)
{
	struct dicom_buffer url = {0};
	char *token = NULL;
	enum dicom_status status = find_agent(&url, error);

	if (status == DICOM_OK)
		status = read_agent_token(&token, error);
	if (status == DICOM_OK)
		status = ask_agent(credentials, url.data, token, keys, error);
	dicom_buffer_free(&url);
	credentials_wipe_string(token);
	return status;
}

/* --- instance metadata, version 2 --- */

struct metadata
{
	struct credentials *credentials;
	const char *endpoint;
	char *token;
};

/*
 * Does this machine look like one of EC2's? Elsewhere, the metadata address is not even tried unless somebody said so: a packet filter
 * that swallows it would cost a second, each time.
 */
static bool
is_instance(void)
{
	static const char *const files[] = {"/sys/class/dmi/id/sys_vendor", "/sys/class/dmi/id/bios_version",
										"/sys/hypervisor/uuid"};
	bool found = false;
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]) && !found; i++)
	{
		struct dicom_buffer content = {0};

		if (credentials_read_file(files[i], "machine", &content, NULL) == DICOM_OK)
			found = strcasestr(content.data, "amazon") != NULL || strncasecmp(content.data, "ec2", 3) == 0;
		dicom_buffer_free(&content);
	}
	return found;
}

static const char *
find_metadata_endpoint(const struct credentials *credentials)
{
	const char *disabled = credentials_environment("AWS_EC2_METADATA_DISABLED");
	const char *given = credentials_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = credentials_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

	if (disabled && strcasecmp(disabled, "true") == 0)
		return NULL;
	if (given)
		return given;
	if (credentials->source == STORE_CREDENTIALS_AUTO && !is_instance())
		return NULL;
	return mode && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
}

static enum dicom_status
ask_metadata(const struct metadata *metadata, const char *method, const char *path, const char *name,
			 const struct sigv4_header *header, int *http_status, struct dicom_buffer *reply,
			 struct dicom_error *error)
{
	struct dicom_buffer url = {0};
	struct credentials_request request = {.method = method,
										  .headers = header,
										  .header_count = 1,
										  .timeout_ms = LOCAL_TIMEOUT_MS,
										  .local = true};
	size_t length = strlen(metadata->endpoint);
	enum dicom_status status;

	if (length > 0 && metadata->endpoint[length - 1] == '/')
		length--;
	dicom_buffer_append(&url, metadata->endpoint, length);
	dicom_buffer_append_string(&url, path);
	sigv4_encode(&url, name, strlen(name), false);
	request.url = url.data;
	if (url.failed)
		status = fail_memory(error);
	else
		status = send_request(metadata->credentials, &request, http_status, reply, error);
	dicom_buffer_free(&url);
	return status;
}

/* A service that is not there, or does not talk to us, is not configured; an interrupt stays one. */
static enum dicom_status
get_metadata_token(struct metadata *metadata, struct dicom_error *error)
{
	struct sigv4_header lifetime = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
	struct dicom_buffer reply = {0};
	struct dicom_error failure = {0};
	int http_status = 0;
	enum dicom_status status =
		ask_metadata(metadata, "PUT", "/latest/api/token", "", &lifetime, &http_status, &reply, &failure);

	if (status == DICOM_OK && http_status == 200 && reply.length > 0)
		metadata->token = credentials_copy(reply.data, reply.length);
	credentials_wipe_buffer(&reply);
	if (metadata->token && strpbrk(metadata->token, "\r\n") == NULL)
		return DICOM_OK;
	if (status == DICOM_OK || (failure.code != DICOM_ERROR_INTERRUPTED && failure.code != DICOM_ERROR_MEMORY))
		return DICOM_END;
	if (error)
		*error = failure;
	return DICOM_FAILED;
}

static enum dicom_status
get_metadata(struct metadata *metadata, const char *path, const char *name, struct dicom_buffer *reply,
			 struct dicom_error *error)
{
	struct sigv4_header token = {"X-aws-ec2-metadata-token", metadata->token};
	int http_status = 0;

	if (ask_metadata(metadata, "GET", path, name, &token, &http_status, reply, error) != DICOM_OK)
		return DICOM_FAILED;
	if (http_status == 404)
		return DICOM_END; /* no role is attached */
	if (http_status != 200)
		return dicom_fail(error, DICOM_ERROR_CREDENTIALS, "the instance metadata service answered %d",
						  http_status);
	return DICOM_OK;
}

static enum dicom_status
get_role_keys(struct metadata *metadata, struct found_keys *keys, struct dicom_error *error)
{
	static const char path[] = "/latest/meta-data/iam/security-credentials/";
	struct dicom_buffer role = {0};
	struct dicom_buffer reply = {0};
	enum dicom_status status = get_metadata(metadata, path, "", &role, error);

	if (status == DICOM_OK && role.length > 0)
	{
		role.data[strcspn(role.data, "\r\n")] = '\0';
		status = get_metadata(metadata, path, role.data, &reply, error);
	}
	else if (status == DICOM_OK)
		status = DICOM_END;
	if (status == DICOM_OK)
		status = parse_keys(&reply, "the instance metadata service", keys, error);
	dicom_buffer_free(&role);
	credentials_wipe_buffer(&reply);
	return status;
}

enum dicom_status
credentials_find_instance(struct credentials *credentials, struct found_keys *keys, struct dicom_error *error)
{
	struct metadata metadata = {.credentials = credentials, .endpoint = find_metadata_endpoint(credentials)};
	enum dicom_status status;

	if (metadata.endpoint == NULL)
		return DICOM_END;
	status = get_metadata_token(&metadata, error);
	if (status == DICOM_OK)
		status = get_role_keys(&metadata, keys, error);
	credentials_wipe_string(metadata.token);
	return status;
}
