/*
 * utf8.c
 *	  Where one character of UTF-8 ends.
 */
#include "utf8.h"

size_t
utf8_step(const uint8_t *text, size_t left, bool *broken)
{
	uint8_t lead = text[0];
	uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
	uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
	size_t want = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
	size_t i;

	*broken = true;
	for (i = 1; i < want; i++)
	{
		if (i >= left || text[i] < low || text[i] > high)
			return i;
		low = 0x80;
		high = 0xBF;
	}
	*broken = want == 1 && lead >= 0x80;
	return want;
}
