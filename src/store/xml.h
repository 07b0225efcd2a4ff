/*
 * xml.h
 *	  Reads the small XML documents that object stores answer with, as they arrive. Only xml.c knows the parser.
 *
 * The documents come from a server that is not trusted: a DOCTYPE (and so every entity of its own) is refused; depth, the
 * length of one text and the length of the whole are bounded.
 */
#ifndef STORE_XML_H
#define STORE_XML_H

#include <stdbool.h>
#include <stddef.h>

#define XML_MAX_DEPTH    16
#define XML_MAX_PATH     256
#define XML_MAX_TEXT     (64 * 1024)
#define XML_MAX_DOCUMENT (32 * 1024 * 1024)

struct xml;

/*
 * An element has ended. path: its names from the root on, joined by slashes, as in "ListBucketResult/Contents/Key". text:
 * what stood in it since its start or since its last child ended, NUL-terminated; never NULL. Returns false to refuse the document.
 */
typedef bool (*xml_element)(void *arg, const char *path, const char *text, size_t length);

/* NULL where memory runs out. */
extern struct xml *xml_open(xml_element element, void *arg);

/* Takes the next bytes; false where the document is not acceptable, and from then on. */
extern bool xml_feed(struct xml *xml, const void *bytes, size_t length);

/* There are no more bytes: was it one whole, acceptable document? */
extern bool xml_end(struct xml *xml);

extern void xml_close(struct xml *xml);

/* What to take out of a short document. */
struct xml_wanted
{
	const char *path;
	char *text;  /* empty where the document has no such element, or it does not fit */
	size_t size; /* of text, the NUL included */
};

/* Reads a document at once. False where it is not acceptable; what was found before that is there all the same. */
extern bool xml_extract(const void *bytes, size_t length, const struct xml_wanted *wanted, int count);

#endif
