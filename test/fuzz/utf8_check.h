/*
 * utf8_check.h
 *	  Whether bytes are UTF-8 that PostgreSQL takes: no NUL, nothing overlong, no surrogates, nothing above U+10FFFF.
 */
#ifndef UTF8_CHECK_H
#define UTF8_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool
utf8_is_valid(const char *text, size_t length)
{
	static const uint32_t least[] = {0x1, 0x80, 0x800, 0x10000};
	const uint8_t *bytes = (const uint8_t *) text;
	size_t i = 0;

	while (i < length)
	{
		uint8_t lead = bytes[i++];
		int more = lead < 0x80   ? 0
				   : lead < 0xC0 ? -1
				   : lead < 0xE0 ? 1
				   : lead < 0xF0 ? 2
				   : lead < 0xF8 ? 3
								 : -1;
		uint32_t point = more <= 0 ? lead : lead & (0x3F >> more);
		int k;

		if (more < 0)
			return false;
		for (k = 0; k < more; k++)
		{
			if (i == length || (bytes[i] & 0xC0) != 0x80)
				return false;
			point = point << 6 | (bytes[i++] & 0x3F);
		}
		if (point < least[more] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
			return false;
	}
	return true;
}

#endif
