/*
 * test_xml.c
 *	  The XML reader: whole documents only, bounded, without entities of their own.
 */
#include <stdlib.h>

#include "store/xml.h"
#include "unit.h"

struct seen
{
	char text[4096];
};

static bool
note(void *arg, const char *path, const char *text, size_t length)
{
	struct seen *seen = arg;
	size_t used = strlen(seen->text);

	snprintf(seen->text + used, sizeof(seen->text) - used, "%s=%s;", path, text);
	return strcmp(text, "refuse") != 0;
}

/* Feeds a document in pieces of the given length. */
static bool
read_document(const char *document, size_t length, size_t piece, struct seen *seen)
{
	struct xml *xml = xml_open(note, seen);
	bool good = true;
	size_t at;

	seen->text[0] = '\0';
	for (at = 0; at < length && good; at += piece)
		good = xml_feed(xml, document + at, length - at < piece ? length - at : piece);
	good = xml_end(xml) && good;
	xml_close(xml);
	return good;
}

static bool
accepts(const char *document)
{
	struct seen seen;

	return read_document(document, strlen(document), strlen(document) + 1, &seen);
}

UNIT_TEST(xml_tells_paths_and_texts)
{
	const char *document =
		"<?xml version=\"1.0\"?>\n<a xmlns=\"x\"><b>1 &amp; 2</b><c><d>&#x41;</d></c><b/></a>\n";
	struct seen seen;
	size_t piece;

	for (piece = 1; piece < 90; piece++)
	{
		CHECK(read_document(document, strlen(document), piece, &seen));
		CHECK_STRING(seen.text, "a/b=1 & 2;a/c/d=A;a/c=;a/b=;a=;");
	}
}

UNIT_TEST(xml_wants_the_whole_document)
{
	const char *document = "<a><b>text</b><c>more</c></a>";
	struct seen seen;
	size_t length;

	for (length = 0; length < strlen(document); length++)
		CHECK(!read_document(document, length, 7, &seen));
	CHECK(accepts(document));
	CHECK(!accepts("<a></a><b></b>"));
	CHECK(!accepts("<a></b>"));
	CHECK(!accepts("text"));
	CHECK(!accepts(""));
}

UNIT_TEST(xml_passes_over_blanks_before_the_declaration)
{
	const char *document = "\r\n  \n<?xml version=\"1.0\"?><a/>";
	struct seen seen;

	CHECK(accepts(document));
	CHECK(read_document(document, strlen(document), 1, &seen));
}

UNIT_TEST(xml_refuses_document_types_and_entities)
{
	CHECK(!accepts("<!DOCTYPE a><a/>"));
	CHECK(!accepts("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"));
	CHECK(!accepts("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"));
	CHECK(!accepts("<a>&b;</a>"));
}

UNIT_TEST(xml_is_bounded)
{
	char *document = malloc(4 * XML_MAX_TEXT);
	int i;

	document[0] = '\0';
	for (i = 0; i < XML_MAX_DEPTH + 1; i++)
		strcat(document, "<a>");
	for (i = 0; i < XML_MAX_DEPTH + 1; i++)
		strcat(document, "</a>");
	CHECK(!accepts(document));
	CHECK(accepts("<a><a><a></a></a></a>"));

	sprintf(document, "<a>%0*d</a>", XML_MAX_TEXT, 0);
	CHECK(accepts(document));
	sprintf(document, "<a>%0*d</a>", XML_MAX_TEXT + 1, 0);
	CHECK(!accepts(document));

	document[0] = '<';
	memset(document + 1, 'n', 300);
	strcpy(document + 301, "/>");
	CHECK(!accepts(document));
	free(document);
}

UNIT_TEST(xml_ends_where_the_owner_refuses)
{
	struct seen seen;
	const char *document = "<a><b>refuse</b><c>x</c></a>";

	CHECK(!read_document(document, strlen(document), 5, &seen));
	CHECK_STRING(seen.text, "a/b=refuse;");
}

UNIT_TEST(xml_extracts_what_is_wanted)
{
	const char *document = "<Error><Code>NoSuchKey</Code><Key>a</Key></Error>";
	char code[16];
	char key[16];
	char tiny[4];
	struct xml_wanted wanted[] = {{"Error/Code", code, sizeof(code)},
								  {"Error/Region", key, sizeof(key)},
								  {"Error/Code", tiny, sizeof(tiny)}};

	CHECK(xml_extract(document, strlen(document), wanted, 3));
	CHECK_STRING(code, "NoSuchKey");
	CHECK_STRING(key, "");
	CHECK_STRING(tiny, "");
	CHECK(!xml_extract(document, 30, wanted, 3));
	CHECK_STRING(code, "NoSuchKey");
	CHECK(!xml_extract(NULL, 0, wanted, 3));
}
