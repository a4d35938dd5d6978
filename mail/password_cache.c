// SPDX-License-Identifier: Apache-2.0
// The memory of passwords that matched and the throttle: two tables of buckets with a few slots; of a full bucket the oldest
// goes. That of the throttle has its size from the beginning, because processes share it; that of the matches grows to its size,
// because few of those who may log in do so within its time. Keys are HMACs under a key of this process, so that nobody outside
// can choose what collides.
#include "mail/password_cache.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/must.h"
#include "password_hash.h"

enum {
	WAYS = 4,       // of the throttle
	CACHE_WAYS = 8, // so many, that a table which has to grow is well filled
	KEY_BYTES = 32,
	SKEW_MS = 60000,
	TRIES_MAX = 64, // of a count that others change meanwhile; more of them than there are log-ins at once
};

static size_t buckets_for(size_t entries, size_t ways)
{
	size_t buckets = 1;
	must(entries > 0 && entries <= (size_t)1 << 24);
	while (buckets * ways < entries)
		buckets *= 2;
	return buckets;
}

// HMAC-SHA-256 under a key of its own, made ready once: what is put in is added to a copy.
static EVP_MAC_CTX *keyed_with(const unsigned char key[KEY_BYTES])
{
	char sha256[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0), OSSL_PARAM_construct_end()};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	must(hmac != NULL);
	EVP_MAC_CTX *keyed = EVP_MAC_CTX_new(hmac);
	EVP_MAC_free(hmac); // keyed has it
	must(keyed != NULL && EVP_MAC_init(keyed, key, KEY_BYTES, params) == 1);
	return keyed;
}

static EVP_MAC_CTX *keyed_new(void)
{
	unsigned char key[KEY_BYTES];
	password_random(key, sizeof key);
	EVP_MAC_CTX *keyed = keyed_with(key);
	OPENSSL_cleanse(key, sizeof key);
	return keyed;
}

// Each part has its length before it, so that no two lists of parts are the same text.
static void digest(const EVP_MAC_CTX *keyed, const struct str *parts, size_t n, unsigned char *out)
{
	size_t bytes;
	EVP_MAC_CTX *mac = EVP_MAC_CTX_dup(keyed);
	must(mac != NULL);
	for (size_t i = 0; i < n; i++) {
		uint64_t part_bytes = parts[i].n;
		must(EVP_MAC_update(mac, (const unsigned char *)&part_bytes, sizeof part_bytes) == 1 &&
			EVP_MAC_update(mac, (const unsigned char *)parts[i].p, parts[i].n) == 1);
	}
	must(EVP_MAC_final(mac, out, &bytes, SHA256_DIGEST_LENGTH) == 1 && bytes == SHA256_DIGEST_LENGTH);
	EVP_MAC_CTX_free(mac);
}

static uint64_t first_word(const unsigned char *bytes)
{
	uint64_t word;
	memcpy(&word, bytes, sizeof word);
	return word;
}

// ---- the cache ----

struct match {
	unsigned char digest[SHA256_DIGEST_LENGTH];
	uint64_t expires_ms; // 0: free
};

struct password_cache {
	pthread_mutex_t mutex;
	EVP_MAC_CTX *keyed; // owned
	uint64_t ttl_ms;
	size_t buckets, buckets_max;
	struct match *matches; // owned, buckets * CACHE_WAYS
};

static struct match *matches_new(size_t buckets)
{
	struct match *matches = calloc(buckets * CACHE_WAYS, sizeof *matches);
	must(matches != NULL);
	return matches;
}

struct password_cache *password_cache_new(size_t entries, uint64_t ttl_ms)
{
	struct password_cache *cache = calloc(1, sizeof *cache);
	must(cache != NULL);
	cache->ttl_ms = ttl_ms;
	cache->buckets = 1;
	cache->buckets_max = buckets_for(entries, CACHE_WAYS);
	cache->matches = matches_new(cache->buckets);
	cache->keyed = keyed_new();
	must(pthread_mutex_init(&cache->mutex, NULL) == 0);
	return cache;
}

void password_cache_free(struct password_cache **cache)
{
	if (*cache == NULL)
		return;
	pthread_mutex_destroy(&(*cache)->mutex);
	EVP_MAC_CTX_free((*cache)->keyed);
	free((*cache)->matches);
	free(*cache);
	*cache = NULL;
}

static struct match *bucket_of(struct password_cache *cache, const unsigned char *wanted)
{
	return &cache->matches[(first_word(wanted) & (cache->buckets - 1)) * CACHE_WAYS];
}

// The slot of a digest: its own, else the one that ends first, a free one above all.
static struct match *slot_of(struct password_cache *cache, const unsigned char *wanted)
{
	struct match *bucket = bucket_of(cache, wanted), *slot = bucket;
	for (size_t i = 0; i < CACHE_WAYS; i++) {
		if (password_same(bucket[i].digest, wanted, sizeof bucket[i].digest))
			return &bucket[i];
		if (bucket[i].expires_ms < slot->expires_ms)
			slot = &bucket[i];
	}
	return slot;
}

// Each bucket becomes two.
static void grow(struct password_cache *cache)
{
	struct match *old = cache->matches;
	size_t n = cache->buckets * CACHE_WAYS;
	cache->buckets *= 2;
	cache->matches = matches_new(cache->buckets);
	for (size_t i = 0; i < n; i++)
		if (old[i].expires_ms)
			*slot_of(cache, old[i].digest) = old[i];
	free(old);
}

bool password_cache_has(struct password_cache *cache, struct str login, struct str stored, struct str password, uint64_t now_ms)
{
	unsigned char wanted[SHA256_DIGEST_LENGTH];
	bool found = false;
	digest(cache->keyed, (const struct str[]){login, stored, password}, 3, wanted);
	pthread_mutex_lock(&cache->mutex);
	const struct match *bucket = bucket_of(cache, wanted);
	for (size_t i = 0; i < CACHE_WAYS; i++)
		found |= bucket[i].expires_ms > now_ms && password_same(bucket[i].digest, wanted, sizeof wanted);
	pthread_mutex_unlock(&cache->mutex);
	OPENSSL_cleanse(wanted, sizeof wanted);
	return found;
}

void password_cache_add(struct password_cache *cache, struct str login, struct str stored, struct str password, uint64_t now_ms)
{
	struct match made = {.expires_ms = now_ms + cache->ttl_ms};
	digest(cache->keyed, (const struct str[]){login, stored, password}, 3, made.digest);
	pthread_mutex_lock(&cache->mutex);
	struct match *slot = slot_of(cache, made.digest);
	while (slot->expires_ms > now_ms && cache->buckets < cache->buckets_max) { // it would push out one that is good
		grow(cache);
		slot = slot_of(cache, made.digest);
	}
	*slot = made;
	pthread_mutex_unlock(&cache->mutex);
}

// ---- the throttle ----

// Failures of one login at one address, of one address, of one login: a bucket that leaks one per window_ms / max. Atomic, each
// for itself and without a lock: whoever else has this memory may stop or die at any moment, or write into it what he likes, and
// keeps nobody waiting.
struct failures {
	_Atomic uint64_t id;       // 0: free
	_Atomic uint64_t empty_ms; // when all of them will be forgiven; the count is how far that lies ahead
	_Atomic uint64_t used_ms;
};

enum throttle_kind { THROTTLE_USER, THROTTLE_ADDRESS, THROTTLE_LOGIN, THROTTLE_KINDS };

// What processes may share: no pointers, no locks.
struct counted {
	_Atomic uint64_t layout; // layout_of(buckets), written last
	unsigned char key[KEY_BYTES];
	struct failures slots[]; // of each kind, one kind behind the other
};

struct password_throttle {
	struct counted *counted;
	bool is_own; // counted is freed with it
	EVP_MAC_CTX *keyed; // owned
	struct password_throttle_limits limits;
	size_t buckets;
};

size_t password_throttle_bytes(size_t entries)
{
	return sizeof(struct counted) + THROTTLE_KINDS * buckets_for(entries, WAYS) * WAYS * sizeof(struct failures);
}

// LAYOUT_VERSION changes with struct counted.
static uint64_t layout_of(size_t buckets)
{
	enum { LAYOUT_VERSION = 2 };
	return UINT64_C(0x706f7374) << 32 | (uint64_t)LAYOUT_VERSION << 24 | buckets;
}

void password_throttle_prepare(void *memory, size_t entries)
{
	struct counted *counted = memory;
	password_random(counted->key, sizeof counted->key);
	atomic_store(&counted->layout, layout_of(buckets_for(entries, WAYS)));
}

bool password_throttle_is_prepared(const void *memory, size_t entries)
{
	const struct counted *counted = memory;
	return atomic_load(&counted->layout) == layout_of(buckets_for(entries, WAYS));
}

struct password_throttle *password_throttle_at(const struct password_throttle_limits *limits, void *memory)
{
	struct password_throttle *throttle = calloc(1, sizeof *throttle);
	must(throttle != NULL && limits->window_ms > 0 && limits->user_max > 0 && limits->address_max > 0 &&
		limits->login_alarm > 0);
	throttle->limits = *limits;
	throttle->buckets = buckets_for(limits->entries, WAYS);
	throttle->counted = memory;
	throttle->keyed = keyed_with(throttle->counted->key);
	return throttle;
}

struct password_throttle *password_throttle_new(const struct password_throttle_limits *limits)
{
	void *memory = calloc(1, password_throttle_bytes(limits->entries));
	must(memory != NULL);
	password_throttle_prepare(memory, limits->entries);
	struct password_throttle *throttle = password_throttle_at(limits, memory);
	throttle->is_own = true;
	return throttle;
}

void password_throttle_free(struct password_throttle **throttle)
{
	if (*throttle == NULL)
		return;
	if ((*throttle)->is_own)
		free((*throttle)->counted);
	EVP_MAC_CTX_free((*throttle)->keyed);
	free(*throttle);
	*throttle = NULL;
}

static uint64_t get(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint64_t *value, uint64_t to)
{
	atomic_store_explicit(value, to, memory_order_relaxed);
}

static struct failures *slots_of(struct password_throttle *throttle, enum throttle_kind kind, uint64_t id)
{
	return &throttle->counted->slots[((size_t)kind * throttle->buckets + (id & (throttle->buckets - 1))) * WAYS];
}

static uint64_t id_of(const struct password_throttle *throttle, const struct str *parts, size_t n)
{
	unsigned char bytes[SHA256_DIGEST_LENGTH];
	digest(throttle->keyed, parts, n, bytes);
	uint64_t id = first_word(bytes);
	return id ? id : 1;
}

static struct failures *find(struct password_throttle *throttle, enum throttle_kind kind, uint64_t id)
{
	struct failures *bucket = slots_of(throttle, kind, id);
	for (size_t i = 0; i < WAYS; i++)
		if (get(&bucket[i].id) == id)
			return &bucket[i];
	return NULL;
}

// In the future: of before the machine was started, whose clock was another one.
static uint64_t last_used_ms(const struct failures *entry, uint64_t now_ms)
{
	uint64_t used_ms = get(&entry->used_ms);
	return used_ms > now_ms + SKEW_MS ? 0 : used_ms;
}

// The entry of id, made where there is none: the one in its bucket that was used longest ago gives way. Two that want the same
// place at the same time may lose a failure.
static struct failures *find_or_make(struct password_throttle *throttle, enum throttle_kind kind, uint64_t id, uint64_t now_ms)
{
	struct failures *entry = find(throttle, kind, id);
	if (entry == NULL) {
		struct failures *bucket = slots_of(throttle, kind, id);
		entry = bucket;
		for (size_t i = 1; i < WAYS; i++)
			if (last_used_ms(&bucket[i], now_ms) < last_used_ms(entry, now_ms))
				entry = &bucket[i];
		set(&entry->empty_ms, 0);
		set(&entry->id, id);
	}
	set(&entry->used_ms, now_ms);
	return entry;
}

static uint32_t max_of(const struct password_throttle *throttle, enum throttle_kind kind)
{
	switch (kind) {
	case THROTTLE_USER:
		return throttle->limits.user_max;
	case THROTTLE_ADDRESS:
		return throttle->limits.address_max;
	case THROTTLE_LOGIN:
		return throttle->limits.login_alarm;
	case THROTTLE_KINDS:
		break;
	}
	unreachable("kind of throttle");
}

static uint64_t each_ms(const struct password_throttle *throttle, enum throttle_kind kind)
{
	uint64_t each = throttle->limits.window_ms / max_of(throttle, kind);
	return each ? each : 1;
}

// Further ahead than any count goes: of before the machine was started, whose clock was another one.
static bool is_stale(const struct password_throttle *throttle, enum throttle_kind kind, uint64_t empty_ms, uint64_t now_ms)
{
	return empty_ms > now_ms + each_ms(throttle, kind) * ((uint64_t)max_of(throttle, kind) + 1);
}

// How long until one of its failures is forgiven, when all of them are used up.
static uint64_t wait_of(const struct password_throttle *throttle, enum throttle_kind kind, uint64_t empty_ms, uint64_t now_ms)
{
	uint64_t others = each_ms(throttle, kind) * (max_of(throttle, kind) - 1);
	if (empty_ms <= now_ms + others || is_stale(throttle, kind, empty_ms, now_ms))
		return 0;
	return empty_ms - now_ms - others;
}

static uint64_t wait_for(struct password_throttle *throttle, enum throttle_kind kind, uint64_t id, uint64_t now_ms)
{
	const struct failures *entry = find(throttle, kind, id);
	return entry ? wait_of(throttle, kind, get(&entry->empty_ms), now_ms) : 0;
}

// True when that was the last one.
static bool add_failure(struct password_throttle *throttle, enum throttle_kind kind, uint64_t id, uint64_t now_ms)
{
	struct failures *entry = find_or_make(throttle, kind, id, now_ms);
	uint64_t was = get(&entry->empty_ms), empty_ms;
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		if (wait_of(throttle, kind, was, now_ms) > 0)
			return false; // an alarm that goes on does not grow without end
		uint64_t known = is_stale(throttle, kind, was, now_ms) ? 0 : was;
		empty_ms = (known > now_ms ? known : now_ms) + each_ms(throttle, kind);
		if (atomic_compare_exchange_strong_explicit(&entry->empty_ms, &was, empty_ms, memory_order_relaxed,
			memory_order_relaxed))
			return wait_of(throttle, kind, empty_ms, now_ms) > 0;
	}
	return false;
}

static uint64_t user_id(const struct password_throttle *throttle, struct str login, struct str address)
{
	return id_of(throttle, (const struct str[]){STR("user"), login, address}, 3);
}

static uint64_t address_id(const struct password_throttle *throttle, struct str address)
{
	return id_of(throttle, (const struct str[]){STR("address"), address}, 2);
}

static uint64_t login_id(const struct password_throttle *throttle, struct str login)
{
	return id_of(throttle, (const struct str[]){STR("login"), login}, 2);
}

uint64_t password_throttle_wait_ms(struct password_throttle *throttle, struct str login, struct str address, uint64_t now_ms)
{
	uint64_t wait = wait_for(throttle, THROTTLE_USER, user_id(throttle, login, address), now_ms);
	uint64_t more = address.n ? wait_for(throttle, THROTTLE_ADDRESS, address_id(throttle, address), now_ms) : 0;
	return more > wait ? more : wait;
}

enum password_throttle_used password_throttle_failed(struct password_throttle *throttle, struct str login, struct str address,
	uint64_t now_ms)
{
	bool user = add_failure(throttle, THROTTLE_USER, user_id(throttle, login, address), now_ms);
	bool by_address = address.n && add_failure(throttle, THROTTLE_ADDRESS, address_id(throttle, address), now_ms);
	bool alarm = add_failure(throttle, THROTTLE_LOGIN, login_id(throttle, login), now_ms);
	return by_address ? PASSWORD_THROTTLE_ADDRESS
	       : alarm    ? PASSWORD_THROTTLE_ALARM
	       : user     ? PASSWORD_THROTTLE_USER
			  : PASSWORD_THROTTLE_NOTHING;
}

void password_throttle_succeeded(struct password_throttle *throttle, struct str login, struct str address, uint64_t now_ms)
{
	(void)now_ms;
	struct failures *entry = find(throttle, THROTTLE_USER, user_id(throttle, login, address));
	if (entry)
		set(&entry->empty_ms, 0);
}
