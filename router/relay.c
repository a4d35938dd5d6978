// SPDX-License-Identifier: Apache-2.0
// Who may relay.
#include "router/relay.h"

bool relay_network_is_everybody(const struct netaddr_net *net)
{
	return net->bits < ACCESS_RULE_RELAY_BITS_MIN;
}

static bool is_in_networks(const struct relay_client *client)
{
	for (size_t i = 0; client->networks && i < client->networks->n; i++)
		if (!relay_network_is_everybody(&client->networks->v[i]) &&
			netaddr_net_has(&client->networks->v[i], &client->address))
			return true;
	return false;
}

static bool has_certificate(const struct relay_client *client)
{
	for (size_t i = 0; client->certificate.n && client->certificates && i < client->certificates->n; i++)
		if (str_eq_nocase(client->certificates->v[i], client->certificate))
			return true;
	return false;
}

static bool because(struct relay_why *why_out, const char *rule, const struct access *access)
{
	*why_out = (struct relay_why){.rule = rule, .attribute = ""};
	if (access)
		*why_out = (struct relay_why){rule, access->entry, access->attribute, access->value};
	return true;
}

bool relay_allowed(const struct relay_client *client, bool authenticated, const struct access *recipient,
	struct relay_why *why_out)
{
	if (authenticated)
		return because(why_out, "relay login", NULL);
	if (client && is_in_networks(client))
		return because(why_out, "relay network", NULL);
	if (client && has_certificate(client))
		return because(why_out, "relay certificate", NULL);
	if (client && client->names && client->names->relays)
		return because(why_out, "relay certificate name", client->names);
	if (client && client->mailboxes)
		return because(why_out, "relay mailboxes", NULL);
	if (client && client->access && client->access->relays)
		return because(why_out, "relay client", client->access);
	if (recipient && recipient->relays)
		return because(why_out, "relay recipient", recipient);
	return false;
}
