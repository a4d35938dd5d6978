// SPDX-License-Identifier: Apache-2.0
// Hosts of ours: phMailHost entries by name and by certificate.
#include "router/host.h"

#include "base/must.h"

// The colon before the port, outside of brackets.
static bool split_port(struct str text, struct str *host_out, struct str *port_out)
{
	ptrdiff_t colon = str_rindex(text, ':'), bracket = str_rindex(text, ']');
	if (colon < 0 || colon < bracket)
		return false;
	*host_out = str_upto(text, (size_t)colon);
	*port_out = str_from(text, (size_t)colon + 1);
	return true;
}

bool host_endpoint_parse(struct str text, struct str *service_out, struct host_endpoint *endpoint_out)
{
	struct str service, rest, host, port_text;
	uint64_t port;
	if (!str_cut(text, '=', &service, &rest) || !str_starts_nocase(rest, STR("inet:")))
		return false;
	if (!split_port(str_from(rest, sizeof "inet:" - 1), &host, &port_text) || !str_to_u64(port_text, UINT16_MAX, &port) ||
		port == 0)
		return false;
	if (str_starts(host, STR("["))) {
		if (!str_ends(host, STR("]")))
			return false;
		host = str_of(host.p + 1, host.n - 2);
	} else if (str_index(host, ':') >= 0) {
		return false; // IPv6 has brackets: its last group is no port
	}
	if (service.n == 0 || host.n == 0)
		return false;
	*service_out = service;
	*endpoint_out = (struct host_endpoint){.host = host, .port = (uint16_t)port};
	return true;
}

static bool find_endpoint(const struct entry *entry, struct str service, struct host *host)
{
	struct entry_cursor cursor = {0};
	struct str value, found;
	while (entry_next(entry, ATTR_PH_HOST_ENDPOINT, &cursor, &value))
		if (host_endpoint_parse(value, &found, &host->endpoint) && str_eq_nocase(found, service)) {
			host->endpoint_text = value;
			return true;
		}
	return false;
}

static bool collect_pins(const struct entry *entry, struct arena *arena, struct host *host)
{
	struct entry_cursor cursor = {0};
	struct str value;
	size_t n = 0;
	while (entry_next(entry, ATTR_PH_HOST_TLS_PIN, &cursor, &value))
		n++;
	struct str *pins = arena_array(arena, n, sizeof *pins);
	if (pins == NULL)
		return false;
	cursor = (struct entry_cursor){0};
	for (host->n_pins = 0; entry_next(entry, ATTR_PH_HOST_TLS_PIN, &cursor, &value); host->n_pins++)
		pins[host->n_pins] = value;
	host->pins = pins;
	return true;
}

static enum host_answer find(struct directory *directory, struct str service, struct arena *arena, struct host *host)
{
	struct directory_match match;
	switch (directory_find(directory, DIRECTORY_HOST, host->name, arena, &match)) {
	case DIRECTORY_NONE:
		return HOST_UNKNOWN;
	case DIRECTORY_AMBIGUOUS:
	case DIRECTORY_UNAVAILABLE:
		return HOST_UNAVAILABLE;
	case DIRECTORY_FOUND:
		break;
	}
	host->entry = match.entry;
	return find_endpoint(match.entry, service, host) ? HOST_FOUND : HOST_UNKNOWN;
}

enum host_answer host_has(struct directory *directory, struct str name, struct str service, struct arena *arena,
	const struct entry **entry_out, struct str *text_out)
{
	struct host host = {.name = name};
	enum host_answer answer = find(directory, service, arena, &host);
	if (answer == HOST_FOUND) {
		*entry_out = host.entry;
		*text_out = host.endpoint_text;
	}
	return answer;
}

enum host_answer host_find(struct directory *directory, struct str name, struct str service, struct arena *arena,
	struct host *host_out)
{
	struct host host = {.name = name};
	enum host_answer answer = find(directory, service, arena, &host);
	if (answer != HOST_FOUND)
		return answer;
	host.endpoint.host = arena_dup(arena, host.endpoint.host); // with its NUL
	struct str state = entry_first(host.entry, ATTR_PH_HOST_STATE);
	if (state.p && !str_eq_nocase(state, STR("up")) && !str_eq_nocase(state, STR("drain"))) // drain: nobody new comes to it
		host.waits_by = state;
	if (host.endpoint.host.p == NULL || !collect_pins(host.entry, arena, &host))
		return HOST_UNAVAILABLE;
	*host_out = host;
	return HOST_FOUND;
}

enum host_answer host_by_pin(struct directory *directory, struct str pin, struct arena *arena, struct str *name_out)
{
	struct directory_match match;
	switch (directory_find(directory, DIRECTORY_PIN, pin, arena, &match)) {
	case DIRECTORY_NONE:
		return HOST_UNKNOWN;
	case DIRECTORY_UNAVAILABLE:
		return HOST_UNAVAILABLE;
	case DIRECTORY_FOUND:
	case DIRECTORY_AMBIGUOUS: // one key for two of our hosts is still ours
		break;
	}
	if (name_out)
		*name_out = entry_first(match.entry, ATTR_CN);
	return HOST_FOUND;
}
