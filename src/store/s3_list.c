/*
 * s3_list.c
 *	  Listings: ListObjectsV2, one page handed out while the next one is under way.
 *
 * A page counts only when its document has ended. Keys must begin with what was asked for and ascend from page to page: rows must neither
 * vanish nor come twice because of a server's mistake.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3.h"
#include "xml.h"

#define DEFAULT_PAGE_SIZE 1000
#define NO_TEXT           SIZE_MAX

/* One object of a page; texts are offsets into the page's. */
struct s3_entry
{
	size_t key; /* without the store's prefix once the page has been checked */
	size_t key_length;
	size_t etag;
	size_t storage_class;
	uint64_t size;
	int64_t last_modified;
};

struct s3_page
{
	struct dicom_buffer text;
	struct s3_entry *entries;
	size_t count;
	size_t capacity;
	size_t next; /* entry to hand out */
	bool url_encoded;
	bool truncated;
	bool said_truncated; /* there was an IsTruncated */
	bool is_listing;     /* the root was what it should be */
	bool failed;
	char *token;
};

struct s3_list
{
	struct store_list list;
	struct s3_store *s3;
	struct s3_request request;
	struct xml *xml;
	struct s3_page pages[2];
	int current;         /* the page that is handed out; the other one is being filled */
	struct s3_entry now; /* the Contents that is being read */
	char *prefix;        /* the store's and the request's */
	size_t hidden;       /* bytes of keys that are the store's prefix */
	char *start_after;   /* with the store's prefix; NULL: from the start */
	char *end_before;    /* without it */
	char *last_key;      /* of the pages accepted so far, with prefix; NULL: none */
	int page_size;
	int limit;
	int handed_out;
	bool requested; /* a page is under way, or waits to be taken */
	bool complete;  /* the last page has been taken */
};

/* --- reading a page --- */

static void
clear_page(struct s3_page *page)
{
	dicom_buffer_reset(&page->text);
	free(page->token);
	page->token = NULL;
	page->count = page->next = 0;
	page->url_encoded = page->truncated = page->said_truncated = page->is_listing = page->failed = false;
}

static size_t
keep_text(struct s3_page *page, const char *text, size_t length)
{
	size_t start = page->text.length;

	dicom_buffer_append(&page->text, text, length);
	dicom_buffer_append_char(&page->text, '\0');
	return start;
}

static void
clear_entry(struct s3_entry *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->key = entry->etag = entry->storage_class = NO_TEXT;
	entry->size = STORE_SIZE_UNKNOWN;
}

static bool
add_entry(struct s3_page *page, const struct s3_entry *entry)
{
	if (page->count == page->capacity)
	{
		size_t capacity = page->capacity ? page->capacity * 2 : 256;
		struct s3_entry *entries = realloc(page->entries, capacity * sizeof(*entries));

		if (!entries)
		{
			page->failed = true;
			return false;
		}
		page->entries = entries;
		page->capacity = capacity;
	}
	page->entries[page->count++] = *entry;
	return true;
}

static bool
take_contents(struct s3_list *list, struct s3_page *page, const char *name, const char *text, size_t length)
{
	struct s3_entry *entry = &list->now;

	if (strcmp(name, "Key") == 0)
	{
		entry->key = keep_text(page, text, length);
		entry->key_length = length;
	}
	else if (strcmp(name, "Size") == 0)
		return s3_parse_number(text, &entry->size);
	else if (strcmp(name, "ETag") == 0)
		entry->etag = keep_text(page, text, length);
	else if (strcmp(name, "StorageClass") == 0)
		entry->storage_class = keep_text(page, text, length);
	else if (strcmp(name, "LastModified") == 0)
		entry->last_modified = s3_parse_time(text);
	return true;
}

static bool
end_contents(struct s3_list *list, struct s3_page *page)
{
	struct s3_entry *entry = &list->now;
	bool added = entry->key != NO_TEXT && entry->size != STORE_SIZE_UNKNOWN && add_entry(page, entry);

	clear_entry(entry);
	return added;
}

static bool
take_element(void *arg, const char *path, const char *text, size_t length)
{
	static const char root[] = "ListBucketResult";
	struct s3_list *list = arg;
	struct s3_page *page = &list->pages[1 - list->current];
	size_t root_length = sizeof(root) - 1;
	const char *name = path + root_length + 1;

	if (strncmp(path, root, root_length) != 0 || (path[root_length] != '/' && path[root_length] != '\0'))
		return false;
	page->is_listing = true;
	if (path[root_length] == '\0')
		return true;
	if (strncmp(name, "Contents/", 9) == 0)
		return take_contents(list, page, name + 9, text, length);
	if (strcmp(name, "Contents") == 0)
		return end_contents(list, page);
	if (strcmp(name, "IsTruncated") == 0)
	{
		page->said_truncated = true;
		page->truncated = strcmp(text, "true") == 0;
	}
	else if (strcmp(name, "NextContinuationToken") == 0 && !page->token)
		page->failed = (page->token = strdup(text)) == NULL;
	else if (strcmp(name, "EncodingType") == 0)
		page->url_encoded = strcmp(text, "url") == 0;
	return !page->failed;
}

static void
restart_list(struct s3_request *request)
{
	struct s3_list *list = request->owner;

	clear_page(&list->pages[1 - list->current]);
	clear_entry(&list->now);
	xml_close(list->xml);
	list->xml = xml_open(take_element, list);
}

static bool
receive_list(struct s3_request *request, int status, const void *bytes, size_t length)
{
	struct s3_list *list = request->owner;

	return list->xml && xml_feed(list->xml, bytes, length);
}

/* --- checking a page --- */

static const char *
bucket_of(const struct s3_list *list)
{
	return list->s3->address.bucket;
}

static enum dicom_status
check_entry(struct s3_list *list, struct s3_page *page, struct s3_entry *entry, const char **before,
			struct dicom_error *error)
{
	char *key = page->text.data + entry->key;
	size_t prefix_length = strlen(list->prefix);

	if (page->url_encoded && !s3_decode_url(key, &entry->key_length))
		return dicom_fail(error, DICOM_ERROR_PROTOCOL,
						  "the listing of bucket %s holds a key that cannot be decoded", bucket_of(list));
	if (strncmp(key, list->prefix, prefix_length) != 0)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL,
						  "the listing of bucket %s holds keys outside the prefix", bucket_of(list));
	if (*before && strcmp(*before, key) >= 0)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the listing of bucket %s is not in ascending order",
						  bucket_of(list));
	*before = key;
	entry->key += list->hidden;
	entry->key_length -= list->hidden;
	if (entry->etag != NO_TEXT)
		s3_strip_etag(page->text.data + entry->etag);
	return DICOM_OK;
}

static enum dicom_status
check_page(struct s3_list *list, struct s3_page *page, const char *old_token, struct dicom_error *error)
{
	const char *before = list->last_key ? list->last_key : list->start_after;
	size_t i;

	if (page->failed || page->text.failed || !list->xml)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	if (!xml_end(list->xml) || !page->is_listing)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL, "the listing of bucket %s is no complete document",
						  bucket_of(list));
	if (!page->said_truncated)
		return dicom_fail(error, DICOM_ERROR_PROTOCOL,
						  "the listing of bucket %s does not say whether it is complete", bucket_of(list));
	if (page->truncated &&
		(!page->token || !*page->token || (old_token && strcmp(old_token, page->token) == 0)))
		return dicom_fail(error, DICOM_ERROR_PROTOCOL,
						  "the listing of bucket %s goes on, but does not say where", bucket_of(list));
	for (i = 0; i < page->count; i++)
		if (check_entry(list, page, &page->entries[i], &before, error) != DICOM_OK)
			return DICOM_FAILED;
	return DICOM_OK;
}

static enum dicom_status
finish_list(struct s3_request *request, const struct http_answer *answer, struct dicom_error *error)
{
	struct s3_list *list = request->owner;

	return check_page(list, &list->pages[1 - list->current], list->pages[list->current].token, error);
}

/* --- asking for pages --- */

static void
fill_query(struct s3_list *list, const char *token)
{
	struct dicom_buffer *query = &list->request.query;
	int left = list->limit ? list->limit - list->handed_out : list->page_size;
	char keys[16];

	snprintf(keys, sizeof(keys), "%d", left < list->page_size ? left : list->page_size);
	if (token)
		s3_query_add(query, "continuation-token", token);
	s3_query_add(query, "encoding-type", "url");
	s3_query_add(query, "list-type", "2");
	s3_query_add(query, "max-keys", keys);
	if (*list->prefix)
		s3_query_add(query, "prefix", list->prefix);
	if (!token && list->start_after)
		s3_query_add(query, "start-after", list->start_after);
}

/* Asks for the page behind the current one, or for the first one. */
static enum dicom_status
request_page(struct s3_list *list, const char *token, struct dicom_error *error)
{
	struct s3_request *request = &list->request;

	s3_request_close(request);
	if (s3_request_prepare(request, list->s3, HTTP_GET, NULL, error) != DICOM_OK)
		return DICOM_FAILED;
	request->owner = list;
	request->counter = &list->s3->store.statistics.list_requests;
	request->restart = restart_list;
	request->receive = receive_list;
	request->finish = finish_list;
	fill_query(list, token);
	if (s3_request_submit(request, error) != DICOM_OK)
		return DICOM_FAILED;
	list->requested = true;
	return DICOM_OK;
}

/* Will the page that has just been taken be the last one that anybody looks at? */
static bool
is_last(const struct s3_list *list, const struct s3_page *page)
{
	if (!page->truncated)
		return true;
	if (page->count == 0)
		return false;
	return list->end_before &&
		   strcmp(page->text.data + page->entries[page->count - 1].key, list->end_before) >= 0;
}

/* Makes the page that has arrived the current one, and asks for the next. */
static enum dicom_status
take_page(struct s3_list *list, struct dicom_error *error)
{
	struct s3_page *page = &list->pages[1 - list->current];
	bool enough = list->limit && page->count >= (size_t) (list->limit - list->handed_out);

	list->requested = false;
	list->current = 1 - list->current;
	if (page->count > 0)
	{
		free(list->last_key);
		list->last_key = strdup(page->text.data + page->entries[page->count - 1].key - list->hidden);
		if (!list->last_key)
			return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	}
	list->complete = is_last(list, page);
	/* With a limit the page may still turn out to hold too many folder markers: then it is asked for later. */
	if (list->complete || enough)
		return DICOM_OK;
	return request_page(list, page->token, error);
}

/* --- the calls of store.h --- */

static char *
join(const char *left, const char *right)
{
	struct dicom_buffer joined = {0};

	dicom_buffer_append_string(&joined, left);
	dicom_buffer_append_string(&joined, right);
	return joined.data;
}

static enum dicom_status
fill_list(struct s3_list *list, const struct store_list_request *request, struct dicom_error *error)
{
	const char *hidden = list->s3->address.prefix;

	list->hidden = strlen(hidden);
	list->page_size = request->page_size > 0 && request->page_size < DEFAULT_PAGE_SIZE ? request->page_size
																					   : DEFAULT_PAGE_SIZE;
	list->limit = request->limit > 0 ? request->limit : 0;
	list->prefix = join(hidden, request->prefix ? request->prefix : "");
	list->start_after =
		request->start_after && *request->start_after ? join(hidden, request->start_after) : NULL;
	list->end_before = request->end_before ? strdup(request->end_before) : NULL;
	if (!list->prefix || (request->end_before && !list->end_before) ||
		(request->start_after && *request->start_after && !list->start_after))
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	return request_page(list, NULL, error);
}

enum dicom_status
s3_list_open(struct store *store, const struct store_list_request *request, struct store_list **result,
			 struct dicom_error *error)
{
	struct s3_list *list = calloc(1, sizeof(*list));

	if (!list)
		return dicom_fail(error, DICOM_ERROR_MEMORY, "out of memory");
	list->s3 = (struct s3_store *) store;
	if (fill_list(list, request, error) != DICOM_OK)
	{
		s3_list_close(&list->list);
		return DICOM_FAILED;
	}
	*result = &list->list;
	return DICOM_OK;
}

static bool
is_folder_marker(const char *key, size_t hidden, const struct s3_entry *entry)
{
	/* The marker of the store's own prefix has nothing left but the slash before. */
	return entry->size == 0 && (entry->key_length > 0 ? key[entry->key_length - 1] == '/' : hidden > 0);
}

static void
describe_entry(const struct s3_page *page, const struct s3_entry *entry, struct store_object *object)
{
	const char *text = page->text.data;

	object->key = text + entry->key;
	object->size = entry->size;
	object->etag = entry->etag != NO_TEXT && text[entry->etag] ? text + entry->etag : NULL;
	object->last_modified = entry->last_modified;
	object->storage_class = entry->storage_class != NO_TEXT && text[entry->storage_class]
								? text + entry->storage_class
								: "STANDARD";
}

/* The next object of the current page; NULL where it has none. */
static const struct s3_entry *
next_entry(struct s3_list *list, struct s3_page *page)
{
	while (page->next < page->count)
	{
		const struct s3_entry *entry = &page->entries[page->next++];
		const char *key = page->text.data + entry->key;

		if (list->end_before && strcmp(key, list->end_before) >= 0)
		{
			list->complete = true;
			page->next = page->count;
			return NULL;
		}
		if (!is_folder_marker(key, list->hidden, entry))
			return entry;
	}
	return NULL;
}

enum dicom_status
s3_list_next(struct store_list *handle, struct store_object *object, struct dicom_error *error)
{
	struct s3_list *list = (struct s3_list *) handle;

	for (;;)
	{
		struct s3_page *page = &list->pages[list->current];
		const struct s3_entry *entry = NULL;
		enum dicom_status status;

		if (!list->limit || list->handed_out < list->limit)
			entry = next_entry(list, page);
		if (entry)
		{
			list->handed_out++;
			list->s3->store.statistics.objects_listed++;
			describe_entry(page, entry, object);
			return DICOM_OK;
		}
		if (list->complete || (list->limit && list->handed_out >= list->limit))
			return DICOM_END;
		if (!list->requested && request_page(list, page->token, error) != DICOM_OK)
			return DICOM_FAILED;
		status = s3_request_result(&list->request, error);
		if (status == DICOM_OK)
			status = take_page(list, error);
		if (status != DICOM_OK)
			return status;
	}
}

static void
free_page(struct s3_page *page)
{
	dicom_buffer_free(&page->text);
	free(page->entries);
	free(page->token);
}

void
s3_list_close(struct store_list *handle)
{
	struct s3_list *list = (struct s3_list *) handle;

	s3_request_close(&list->request);
	xml_close(list->xml);
	free_page(&list->pages[0]);
	free_page(&list->pages[1]);
	free(list->prefix);
	free(list->start_after);
	free(list->end_before);
	free(list->last_key);
	free(list);
}
