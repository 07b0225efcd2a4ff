/*
 * test_keyring_text.c
 *	  Keys are read as they stand, or not at all, and their text is not left behind.
 */
#include "deid/keyring_text.h"
#include "unit.h"

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "202122232425262728292A2B2C2D2E2F303132333435363738393A3B3C3D3E3F"

static bool
is_zero(const void *memory, size_t size)
{
	const unsigned char *bytes = memory;
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static const char *
parse(struct keyring_memory *memory, const char *text, int *line)
{
	memcpy(memory->text, text, strlen(text));
	return keyring_parse(memory, strlen(text), line);
}

UNIT_TEST(keyring_reads_epochs)
{
	struct keyring_memory *memory = keyring_memory_create();
	int line;

	CHECK(memory != NULL);
	CHECK(!parse(memory, "# keys\n\n  7 " KEY_1 "\t# first\r\n0\t " KEY_2, &line));
	CHECK(memory->count == 2);
	CHECK(memory->entries[0].epoch == 7 && memory->entries[0].line == 3);
	CHECK(memory->entries[1].epoch == 0 && memory->entries[1].line == 4);
	CHECK_STRING(memory->entries[0].key.id, "1ddd3d72f5f12466");
	CHECK_STRING(memory->entries[1].key.id, "50eef0717925a5df");
	CHECK(is_zero(memory->text, sizeof(memory->text)));
	keyring_memory_wipe(memory);
	CHECK(is_zero(memory, sizeof(*memory)));
}

UNIT_TEST(keyring_refuses_anything_else)
{
	static const char *const wrong[] = {KEY_1,
										"1" KEY_1,
										"x " KEY_1,
										"-1 " KEY_1,
										"2147483648 " KEY_1,
										"99999999999999999999 " KEY_1,
										"1 " KEY_1 "0",
										"1 " KEY_1 " " KEY_2,
										"1 0" KEY_1,
										"1 g" KEY_1,
										"1",
										"1 ",
										"1 00",
										"3 " KEY_2,
										"4 " KEY_1};
	struct keyring_memory *memory = keyring_memory_create();
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		char text[512];
		int line;

		snprintf(text, sizeof(text), "# \n3 %s\n%s\n", KEY_1, wrong[i]);
		CHECK(parse(memory, text, &line) != NULL);
		CHECK(line == 3);
		CHECK(is_zero(memory, sizeof(*memory)));
	}
}

UNIT_TEST(keyring_takes_so_many_epochs_and_no_more)
{
	struct keyring_memory *memory = keyring_memory_create();
	size_t length = 0;
	int line;
	int i;

	for (i = 0; i < KEYRING_EPOCHS_MAX; i++)
		length += snprintf(memory->text + length, sizeof(memory->text) - length, "%d %064x\n", i, i);
	CHECK(!keyring_parse(memory, length, &line));
	CHECK(memory->count == KEYRING_EPOCHS_MAX);
	for (length = 0, i = 0; i <= KEYRING_EPOCHS_MAX; i++)
		length += snprintf(memory->text + length, sizeof(memory->text) - length, "%d %064x\n", i, i);
	CHECK(keyring_parse(memory, length, &line) != NULL);
	CHECK(line == KEYRING_EPOCHS_MAX + 1);
}
