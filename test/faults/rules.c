/*
 * rules.c
 *	  Reads the control file of the proxy.
 */
#include "rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"-",      "silent", "stall", "reset", "truncate",
									"status", "length", "swap",  "garble"};

const char *
fault_name(enum fault fault)
{
	return names[fault];
}

static enum fault
parse_fault(const char *name)
{
	int i;

	for (i = FAULT_SILENT; i <= FAULT_GARBLE; i++)
		if (strcmp(names[i], name) == 0)
			return (enum fault) i;
	return FAULT_NONE;
}

/* The words of a rule behind its part. */
static void
parse_numbers(struct rule *rule, int count, char words[3][64])
{
	bool has_number = rule->fault != FAULT_SILENT && rule->fault != FAULT_GARBLE;
	int at = has_number ? 1 : 0;

	if (has_number && count > 0)
		rule->number = atol(words[0]);
	if (rule->fault == FAULT_SWAP)
		snprintf(rule->code, sizeof(rule->code), "%s", count > at ? words[at] : "");
	else if (count > at)
		rule->times = atol(words[at]);
	if (rule->fault == FAULT_STATUS)
		snprintf(rule->code, sizeof(rule->code), "%s", count > 2 ? words[2] : "InternalError");
}

static void
parse_line(struct rules *rules, const char *line)
{
	char name[16];
	char part[512];
	char words[3][64];
	int count = sscanf(line, "%15s %511s %63s %63s %63s", name, part, words[0], words[1], words[2]);
	struct rule *rule = &rules->rules[rules->count];

	if (count < 2 || name[0] == '#')
		return;
	if (strcmp(name, "latency") == 0)
	{
		rules->latency_ms = atoi(part);
		return;
	}
	if (parse_fault(name) == FAULT_NONE || rules->count == MAX_RULES)
	{
		fprintf(stderr, "fault_proxy: no such rule: %s", line);
		return;
	}
	memset(rule, 0, sizeof(*rule));
	rule->fault = parse_fault(name);
	strcpy(rule->part, part);
	parse_numbers(rule, count - 2, words);
	rules->count++;
}

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		   a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void
rules_refresh(struct rules *rules)
{
	struct stat now = {0};
	char line[1024];
	FILE *file;

	stat(rules->file, &now);
	if (is_same_file(&now, &rules->read_as))
		return;
	rules->read_as = now;
	rules->latency_ms = 0;
	rules->count = 0;
	file = fopen(rules->file, "r");
	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file))
		parse_line(rules, line);
	fclose(file);
}

struct rule *
rules_match(struct rules *rules, const char *target)
{
	int i;

	for (i = 0; i < rules->count; i++)
	{
		struct rule *rule = &rules->rules[i];

		if (strcmp(rule->part, "*") != 0 && strstr(target, rule->part) == NULL)
			continue;
		if (rule->fault != FAULT_SWAP && rule->times > 0 && rule->matched >= rule->times)
			continue;
		rule->matched++;
		return rule;
	}
	return NULL;
}
