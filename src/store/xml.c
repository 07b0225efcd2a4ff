/*
 * xml.c
 *	  A bounded reader of XML on expat.
 */
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "../dicom/buffer.h"
#include "xml.h"

struct xml
{
	XML_Parser parser;
	xml_element element;
	void *arg;
	char path[XML_MAX_PATH];
	size_t path_length;
	int depth;
	struct dicom_buffer text;
	size_t total;
	bool begun;
	bool failed;
};

static void
refuse(struct xml *xml)
{
	xml->failed = true;
	XML_StopParser(xml->parser, XML_FALSE);
}

static void XMLCALL
on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct xml *xml = arg;
	size_t length = strlen(name);

	if (xml->failed)
		return;
	if (xml->depth >= XML_MAX_DEPTH || xml->path_length + length + 2 > sizeof(xml->path) || strchr(name, '/'))
	{
		refuse(xml);
		return;
	}
	if (xml->depth++ > 0)
		xml->path[xml->path_length++] = '/';
	memcpy(xml->path + xml->path_length, name, length + 1);
	xml->path_length += length;
	dicom_buffer_reset(&xml->text);
}

static void XMLCALL
on_end(void *arg, const XML_Char *name)
{
	struct xml *xml = arg;
	size_t length = strlen(name);

	if (xml->failed)
		return;
	if (xml->text.failed ||
		!xml->element(xml->arg, xml->path, xml->text.length ? xml->text.data : "", xml->text.length))
	{
		refuse(xml);
		return;
	}
	xml->path_length -= length;
	if (--xml->depth > 0)
		xml->path_length--;
	xml->path[xml->path_length] = '\0';
	dicom_buffer_reset(&xml->text);
}

static void XMLCALL
on_text(void *arg, const XML_Char *text, int length)
{
	struct xml *xml = arg;

	if (xml->failed)
		return;
	if (xml->text.length + length > XML_MAX_TEXT)
		refuse(xml);
	else
		dicom_buffer_append(&xml->text, text, length);
}

static void XMLCALL
on_doctype(void *arg, const XML_Char *name, const XML_Char *system, const XML_Char *public,
		   int has_internal_subset)
{
	refuse(arg);
}

struct xml *
xml_open(xml_element element, void *arg)
{
	struct xml *xml = calloc(1, sizeof(*xml));

	if (!xml)
		return NULL;
	xml->parser = XML_ParserCreate(NULL);
	if (!xml->parser)
	{
		free(xml);
		return NULL;
	}
	xml->element = element;
	xml->arg = arg;
	XML_SetUserData(xml->parser, xml);
	XML_SetElementHandler(xml->parser, on_start, on_end);
	XML_SetCharacterDataHandler(xml->parser, on_text);
	XML_SetStartDoctypeDeclHandler(xml->parser, on_doctype);
	return xml;
}

bool
xml_feed(struct xml *xml, const void *bytes, size_t length)
{
	const char *start = bytes;

	/* Servers that keep a connection busy while they work send blanks, some of them before the declaration. */
	while (!xml->begun && length > 0 && strchr(" \t\r\n", *start) && *start)
	{
		start++;
		length--;
	}
	if (length == 0 || xml->failed)
		return !xml->failed;
	xml->begun = true;
	if (length > XML_MAX_DOCUMENT - xml->total)
		xml->failed = true;
	else if (XML_Parse(xml->parser, start, (int) length, XML_FALSE) != XML_STATUS_OK)
		xml->failed = true;
	xml->total += length;
	return !xml->failed;
}

bool
xml_end(struct xml *xml)
{
	if (!xml->failed && XML_Parse(xml->parser, "", 0, XML_TRUE) != XML_STATUS_OK)
		xml->failed = true;
	return !xml->failed;
}

void
xml_close(struct xml *xml)
{
	if (!xml)
		return;
	XML_ParserFree(xml->parser);
	dicom_buffer_free(&xml->text);
	free(xml);
}

/* --- short documents --- */

struct extraction
{
	const struct xml_wanted *wanted;
	int count;
};

static bool
keep_wanted(void *arg, const char *path, const char *text, size_t length)
{
	const struct extraction *extraction = arg;
	int i;

	for (i = 0; i < extraction->count; i++)
	{
		const struct xml_wanted *wanted = &extraction->wanted[i];

		if (strcmp(wanted->path, path) == 0 && length < wanted->size)
			memcpy(wanted->text, text, length + 1);
	}
	return true;
}

bool
xml_extract(const void *bytes, size_t length, const struct xml_wanted *wanted, int count)
{
	struct extraction extraction = {wanted, count};
	struct xml *xml;
	bool whole;
	int i;

	for (i = 0; i < count; i++)
		wanted[i].text[0] = '\0';
	xml = xml_open(keep_wanted, &extraction);
	whole = xml && xml_feed(xml, bytes, length) && xml_end(xml);
	xml_close(xml);
	return whole;
}
