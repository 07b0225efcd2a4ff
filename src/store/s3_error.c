/*
 * s3_error.c
 *	  What an S3 server means by its refusals.
 *
 * The server's own words are not passed on: they may hold a key id or a string to sign. Its code is, after a look at its letters.
 */
#include <stdio.h>
#include <string.h>

#include "s3.h"
#include "xml.h"

struct s3_meaning
{
	const char *name; /* <Code> of the error document */
	enum dicom_error_code code;
	bool transient;
	bool expired; /* new credentials may help */
	const char *message;
	const char *hint;
};

#define CHECK_KEYS \
	"check access_key_id and secret_access_key of the user mapping, or where option credentials points to"

static const struct s3_meaning meanings[] = {
	{"AccessDenied", DICOM_ERROR_ACCESS_DENIED, false, false, "the store denies access",
	 "the bucket's policy must allow s3:ListBucket on the bucket and s3:GetObject on its objects (s3:PutObject to write)"},
	{"AllAccessDisabled", DICOM_ERROR_ACCESS_DENIED, false, false,
	 "the store has disabled access to this resource", ""},
	{"AccountProblem", DICOM_ERROR_ACCESS_DENIED, false, false, "there is a problem with the account", ""},
	{"InvalidAccessKeyId", DICOM_ERROR_CREDENTIALS, false, true, "the store does not know the access key",
	 "check access_key_id, and that the endpoint belongs to the same provider"},
	{"SignatureDoesNotMatch", DICOM_ERROR_CREDENTIALS, false, false, "the secret access key is wrong",
	 "check secret_access_key of the user mapping for blanks and missing characters"},
	{"ExpiredToken", DICOM_ERROR_CREDENTIALS, false, true, "the session token has expired",
	 "give a new session_token with its keys, or let option credentials name a source that renews them"},
	{"TokenRefreshRequired", DICOM_ERROR_CREDENTIALS, false, true, "the session token must be renewed",
	 "give a new session_token with its keys, or let option credentials name a source that renews them"},
	{"InvalidToken", DICOM_ERROR_CREDENTIALS, false, true, "the session token is not valid",
	 "session_token must belong to the access key, and to this endpoint"},
	{"InvalidClientTokenId", DICOM_ERROR_CREDENTIALS, false, true, "the store does not know the access key",
	 CHECK_KEYS},
	{"InvalidSecurity", DICOM_ERROR_CREDENTIALS, false, false, "the credentials are not valid", CHECK_KEYS},
	{"RequestTimeTooSkewed", DICOM_ERROR_CREDENTIALS, false, false,
	 "the clocks of the store and of this machine differ by more than the store tolerates",
	 "synchronise the clock of this machine"},
	{"RequestExpired", DICOM_ERROR_CREDENTIALS, true, false, "the store took the request for an old one",
	 "synchronise the clock of this machine"},
	{"AuthorizationHeaderMalformed", DICOM_ERROR_REGION, false, false, "the bucket is in another region", ""},
	{"AuthorizationQueryParametersError", DICOM_ERROR_REGION, false, false, "the bucket is in another region",
	 ""},
	{"PermanentRedirect", DICOM_ERROR_REGION, false, false, "the bucket is in another region", ""},
	{"TemporaryRedirect", DICOM_ERROR_REGION, false, false, "the bucket is in another region", ""},
	{"IllegalLocationConstraintException", DICOM_ERROR_REGION, false, false,
	 "the bucket is in another region", ""},
	{"NoSuchBucket", DICOM_ERROR_NO_BUCKET, false, false, "the bucket does not exist",
	 "check option location; option endpoint and region say where it is looked for"},
	{"InvalidBucketName", DICOM_ERROR_NO_BUCKET, false, false, "the store does not accept the bucket's name",
	 ""},
	{"NoSuchKey", DICOM_ERROR_NOT_FOUND, false, false, "the object does not exist", ""},
	{"NoSuchUpload", DICOM_ERROR_NOT_FOUND, false, false,
	 "the upload in parts has been given up by the store", ""},
	{"NoSuchVersion", DICOM_ERROR_NOT_FOUND, false, false, "this version of the object does not exist", ""},
	{"InvalidObjectState", DICOM_ERROR_ARCHIVED, false, false, "the object is archived",
	 "restore it first, and read it when that has finished"},
	{"ObjectNotInActiveTierError", DICOM_ERROR_ARCHIVED, false, false, "the object is archived",
	 "restore it first, and read it when that has finished"},
	{"RestoreAlreadyInProgress", DICOM_ERROR_EXISTS, false, false, "the object is being restored already",
	 ""},
	{"SlowDown", DICOM_ERROR_THROTTLED, true, false, "the store asks to slow down",
	 "lower option max_requests"},
	{"TooManyRequests", DICOM_ERROR_THROTTLED, true, false, "the store asks to slow down",
	 "lower option max_requests"},
	{"TooManyRequestsException", DICOM_ERROR_THROTTLED, true, false, "the store asks to slow down",
	 "lower option max_requests"},
	{"RequestLimitExceeded", DICOM_ERROR_THROTTLED, true, false, "the store asks to slow down",
	 "lower option max_requests"},
	{"Throttling", DICOM_ERROR_THROTTLED, true, false, "the store asks to slow down",
	 "lower option max_requests"},
	{"ThrottlingException", DICOM_ERROR_THROTTLED, true, false, "the store asks to slow down",
	 "lower option max_requests"},
	{"BandwidthLimitExceeded", DICOM_ERROR_THROTTLED, true, false, "the store asks to slow down",
	 "lower option max_requests"},
	{"RequestTimeout", DICOM_ERROR_TIMEOUT, true, false,
	 "the store waited in vain for the rest of the request", ""},
	{"InternalError", DICOM_ERROR_SERVER, true, false, "the store reports an internal error", ""},
	{"ServiceUnavailable", DICOM_ERROR_SERVER, true, false, "the store is not available", ""},
	{"ConditionalRequestConflict", DICOM_ERROR_EXISTS, true, false, "another writer is at this object", ""},
	{"OperationAborted", DICOM_ERROR_SERVER, true, false, "another operation on this resource is in progress",
	 ""},
};

bool
s3_error_is_transient(enum dicom_error_code code)
{
	return code == DICOM_ERROR_NETWORK || code == DICOM_ERROR_TIMEOUT || code == DICOM_ERROR_THROTTLED ||
		   code == DICOM_ERROR_SERVER || code == DICOM_ERROR_PROTOCOL;
}

/* Keeps a text from the server only if it is made of the letters that such a text is made of. */
static void
keep_if_plain(char *text, const char *more)
{
	const char *c;

	for (c = text; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
			  strchr(more, *c)))
			text[0] = '\0';
}

struct error_document
{
	char code[65];
	char region[64];
	char endpoint[128];
};

static void
read_error_document(const struct dicom_buffer *body, struct error_document *document)
{
	struct xml_wanted wanted[] = {
		{"Error/Code", document->code, sizeof(document->code)},
		{"Error/Region", document->region, sizeof(document->region)},
		{"Error/Endpoint", document->endpoint, sizeof(document->endpoint)},
		{"ErrorResponse/Error/Code", document->code, sizeof(document->code)},
	};
	struct xml_wanted *last = &wanted[3];

	memset(document, 0, sizeof(*document));
	if (!body->length)
		return;
	xml_extract(body->data, body->length, wanted, 3);
	if (!document->code[0])
		xml_extract(body->data, body->length, last, 1);
	keep_if_plain(document->code, ".");
	keep_if_plain(document->region, "-");
	keep_if_plain(document->endpoint, "-.:");
}

static const struct s3_meaning *
find_meaning(const char *code)
{
	size_t i;

	for (i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strcmp(meanings[i].name, code) == 0)
			return &meanings[i];
	return NULL;
}

static enum dicom_status
fail_region(const struct s3_request *request, const struct http_answer *answer,
			struct error_document *document, struct dicom_error *error)
{
	char region[64];

	if (http_header_copy(answer, "x-amz-bucket-region", region, sizeof(region)))
	{
		keep_if_plain(region, "-");
		if (region[0])
			strcpy(document->region, region);
	}
	dicom_fail(error, DICOM_ERROR_REGION, "bucket %s is not in region %s", request->s3->address.bucket,
			   request->s3->address.region);
	if (document->region[0] && strcmp(document->region, request->s3->address.region) != 0)
		return dicom_hint(error, "set option region to '%s'", document->region);
	if (document->endpoint[0])
		return dicom_hint(error, "the store says that its endpoint is %s", document->endpoint);
	return dicom_hint(error, "set options region and endpoint to those of the bucket");
}

static enum dicom_status
fail_condition(const struct s3_request *request, struct dicom_error *error)
{
	if (request->condition == S3_CONDITION_NONE_MATCH)
		return dicom_fail(error, DICOM_ERROR_EXISTS, "an object with this key exists already");
	return dicom_fail(error, DICOM_ERROR_CHANGED,
					  "the object is not the one that was expected: its etag has changed");
}

static enum dicom_status
fail_forbidden(const struct s3_request *request, struct dicom_error *error)
{
	dicom_fail(error, DICOM_ERROR_ACCESS_DENIED, "the store denies access");
	return dicom_hint(error, "check the credentials and the bucket's policy");
}

static enum dicom_status
fail_unknown(const struct s3_request *request, const struct http_answer *answer, const char *code,
			 struct dicom_error *error)
{
	if (code[0])
		return dicom_fail(error, DICOM_ERROR_INVALID_OPTION,
						  "the store refuses the request: %s (HTTP status %d)", code, answer->status);
	dicom_fail(error, DICOM_ERROR_PROTOCOL, "the store answers with HTTP status %d", answer->status);
	return dicom_hint(error, "check that an S3 service answers at option endpoint");
}

/* What the status alone says. Sets *transient where it differs from what the error's code suggests. */
static void
judge_status(const struct s3_request *request, const struct http_answer *answer,
			 struct error_document *document, struct dicom_error *error, bool *transient)
{
	int status = answer->status;

	*transient = status == 408 || status == 429 || status >= 500;
	if (status == 401)
		dicom_fail(error, DICOM_ERROR_CREDENTIALS, "the store wants other credentials");
	else if (status == 403)
		fail_forbidden(request, error);
	else if (status == 404 && request->key)
		dicom_fail(error, DICOM_ERROR_NOT_FOUND, "the object does not exist");
	else if (status == 404 && request->method == HTTP_HEAD)
		dicom_fail(error, DICOM_ERROR_NO_BUCKET, "the bucket does not exist");
	else if (status == 408)
		dicom_fail(error, DICOM_ERROR_TIMEOUT, "the store waited in vain for the rest of the request");
	else if (status == 429)
		dicom_fail(error, DICOM_ERROR_THROTTLED, "the store asks to slow down");
	else if (status >= 500)
		dicom_fail(error, DICOM_ERROR_SERVER, "the store answers with HTTP status %d", status);
	else
		fail_unknown(request, answer, document->code, error);
}

static bool
is_about_region(const struct http_answer *answer, const struct error_document *document)
{
	size_t length;

	if (answer->status == 301 || answer->status == 307)
		return true;
	return answer->status == 400 && !document->code[0] && http_header(answer, "x-amz-bucket-region", &length);
}

static void
judge_document(const struct s3_request *request, const struct http_answer *answer,
			   struct error_document *document, struct dicom_error *error, bool *transient, bool *expired)
{
	const struct s3_meaning *meaning = find_meaning(document->code);

	*expired = false;
	if ((meaning && meaning->code == DICOM_ERROR_REGION) || is_about_region(answer, document))
	{
		*transient = false;
		fail_region(request, answer, document, error);
	}
	else if (meaning)
	{
		*transient = meaning->transient;
		*expired = meaning->expired;
		dicom_fail(error, meaning->code, "%s", meaning->message);
		if (meaning->hint[0])
			dicom_hint(error, "%s", meaning->hint);
	}
	else if (answer->status == 412 ||
			 (answer->status == 409 && request->condition == S3_CONDITION_NONE_MATCH && !document->code[0]))
	{
		*transient = false;
		fail_condition(request, error);
	}
	else
		judge_status(request, answer, document, error, transient);
}

void
s3_judge_error(const struct s3_request *request, const struct http_answer *answer, struct dicom_error *error,
			   bool *transient, bool *expired)
{
	struct error_document document;

	read_error_document(&request->reply, &document);
	judge_document(request, answer, &document, error, transient, expired);

	/* The answer to HEAD has no document: 400 and 403 are all that is said of a token that has expired. */
	if (request->method == HTTP_HEAD && (answer->status == 400 || answer->status == 403) &&
		error->code != DICOM_ERROR_REGION)
	{
		*expired = true;
		if (answer->status == 400)
			dicom_fail(error, DICOM_ERROR_CREDENTIALS,
					   "the store refuses the request, possibly for its credentials");
	}
}

bool
s3_judge_hidden_error(const struct s3_request *request, const struct http_answer *answer,
					  struct dicom_error *error)
{
	struct error_document document;
	bool transient;
	bool expired;

	read_error_document(&request->reply, &document);
	if (!document.code[0])
		return false;
	judge_document(request, answer, &document, error, &transient, &expired);
	return true;
}
