// Which buckets a request needs: keys and usage tiers. How much of each: govern_amount_test.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern_world.h"

static void each_key_has_its_own_bucket(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *l = world_limit(w, "l", RESOURCE_REQUESTS, 1, NULL);

	world_key(l, LABEL_API_KEY);
	world_key(l, LABEL_MODEL);
	world_begin(w, 0);
	assert_int_equal(
		submit(w, ASK(w, 1, 1, {LABEL_API_KEY, "3f2a"}, {LABEL_MODEL, "gpt-4"}), 0),
		VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 2, 1, {LABEL_API_KEY, "77"}, {LABEL_MODEL, "gpt-4"}), 0),
			 VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 3, 1, {LABEL_API_KEY, "3f2a"}, {LABEL_MODEL, "o3"}), 0),
			 VERDICT_ADMITTED);
	assert_int_equal(
		submit(w, ASK(w, 4, 1, {LABEL_API_KEY, "3f2a"}, {LABEL_MODEL, "gpt-4"}), 0),
		VERDICT_QUEUED);
	assert_near(level(w, "l", "3f2a,gpt-4", RESOURCE_REQUESTS, 0), 0);
	world_free(w);
}

// `limits:` count who does not say who they are together; Aperture's policies let them pass.
static void who_lacks_the_key_label_shares_one_bucket_or_passes(void **state)
{
	(void)state;
	struct world *w = world_new();
	size_t user = world_label(w, "http.header.x-user");
	struct limit *strict = world_limit(w, "strict", RESOURCE_REQUESTS, 1, "strict");
	struct limit *lax = world_limit(w, "lax", RESOURCE_REQUESTS, 1, "lax");

	world_key(strict, user);
	world_key(lax, user);
	lax->passes_without_key = true;
	world_begin(w, 0);
	assert_int_equal(submit_model(w, 1, "strict", 1, 0), VERDICT_ADMITTED);
	assert_int_equal(submit_model(w, 2, "strict", 1, 0), VERDICT_QUEUED);
	for (uint64_t id = 10; id < 20; id++)
		assert_int_equal(submit_model(w, id, "lax", 1, 0), VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 20, 1, {LABEL_MODEL, "lax"}, {user, "x"}), 0),
			 VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 21, 1, {LABEL_MODEL, "lax"}, {user, "x"}), 0),
			 VERDICT_QUEUED);
	// An empty header is a label.
	assert_int_equal(submit(w, ASK(w, 22, 1, {LABEL_MODEL, "lax"}, {user, ""}), 0),
			 VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 23, 1, {LABEL_MODEL, "lax"}, {user, ""}), 0),
			 VERDICT_QUEUED);
	world_free(w);
}

static void count_without_key(void *ctx, const struct limit_view *view)
{
	*(struct limit_view *)ctx = *view;
}

static void who_passes_without_a_key_is_counted(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *l = world_limit(w, "l", RESOURCE_REQUESTS, 1, NULL);
	struct limit_view view;

	world_key(l, world_label(w, "body.user"));
	l->passes_without_key = true;
	world_begin(w, 0);
	for (uint64_t id = 0; id < 5; id++)
		submit_model(w, id, "m", 1, 0);
	governor_each_limit(w->g, 0, count_without_key, &view);
	assert_int_equal(view.n_without_key, 5);
	assert_int_equal(view.n_offered, 0);
	world_free(w);
}

// What the provider or the kernel says is never missing: an absent model is "".
static void a_built_in_label_that_is_absent_is_empty(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *l = world_limit(w, "l", RESOURCE_REQUESTS, 1, NULL);

	world_key(l, LABEL_MODEL);
	l->passes_without_key = true;
	world_begin(w, 0);
	assert_int_equal(submit(w, ASK(w, 1, 1), 0), VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 2, 1), 0), VERDICT_QUEUED);
	world_free(w);
}

// A key that a program makes very long costs no more than memory for it.
static void an_overlong_key_is_no_way_out(void **state)
{
	(void)state;
	struct world *w = world_new();
	size_t user = world_label(w, "http.header.x-user");
	static char name[10000];

	world_key(world_limit(w, "l", RESOURCE_REQUESTS, 1, NULL), user);
	world_begin(w, 0);
	memset(name, 'x', sizeof(name) - 1);
	assert_int_equal(submit(w, ASK(w, 1, 1, {user, name}), 0), VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 2, 1, {user, name}), 0), VERDICT_QUEUED);
	name[9000] = 'y'; // somebody else
	assert_int_equal(submit(w, ASK(w, 3, 1, {user, name}), 0), VERDICT_ADMITTED);
	world_free(w);
}

static void keys_may_come_from_rules(void **state)
{
	(void)state;
	struct world *w = world_new();
	size_t plan = world_label(w, "plan");
	struct rule *rule = world_rule(w, plan);

	rule->value = "free";
	rule->when = world_equals(w, LABEL_USER, "x");
	world_key(world_limit(w, "l", RESOURCE_REQUESTS, 1, NULL), plan);
	world_begin(w, 0);
	assert_int_equal(submit(w, ASK(w, 1, 1, {LABEL_USER, "x"}), 0), VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 2, 1, {LABEL_USER, "y"}), 0), VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 3, 1, {LABEL_USER, "x"}), 0), VERDICT_QUEUED);
	assert_near(level(w, "l", "free", RESOURCE_REQUESTS, 0), 0);
	world_free(w);
}

// --- Usage tiers: capacities by model.

static const struct tier_row rows[] = {
	{"dall-e-3", 500, -1, 5},
	{"gpt-4o", 500, 30000, -1},
	{"o3", 5, 1000, -1},
};

static struct world *tiered(void)
{
	struct world *w = world_new();

	for (enum resource resource = RESOURCE_REQUESTS; resource <= RESOURCE_IMAGES; resource++) {
		struct limit *l = world_limit(w, "tier-1", resource, 0, NULL);

		l->tier = 1;
		l->tier_rows = rows;
		l->n_tier_rows = 3;
		world_key(l, LABEL_API_KEY);
		l->is_per_model = true;
	}
	world_begin(w, 0);
	return w;
}

static void each_model_has_its_tier_s_limits(void **state)
{
	(void)state;
	struct world *w = tiered();
	struct bucket_view view;

	submit_model(w, 1, "gpt-4o", 100, 0);
	submit_model(w, 2, "o3", 100, 0);
	view = bucket_of(w, "tier-1", ",gpt-4o", RESOURCE_TOKENS, 0);
	assert_near(view.capacity, 30000);
	assert_near(view.level, 29900);
	assert_near(view.fill_per_s, 500);
	assert_near(bucket_of(w, "tier-1", ",o3", RESOURCE_REQUESTS, 0).capacity, 5);
	assert_near(level(w, "tier-1", ",o3", RESOURCE_REQUESTS, 0), 4);
	world_free(w);
}

// The provider counts them together with the model that they are snapshots of.
static void snapshots_of_a_model_share_its_bucket(void **state)
{
	(void)state;
	struct world *w = tiered();

	submit(w, ASK(w, 1, 100, {LABEL_MODEL, "gpt-4o"}, {LABEL_API_KEY, "k"}), 0);
	submit(w, ASK(w, 2, 100, {LABEL_MODEL, "gpt-4o-2024-08-06"}, {LABEL_API_KEY, "k"}), 0);
	submit(w, ASK(w, 3, 100, {LABEL_MODEL, "gpt-4o"}, {LABEL_API_KEY, "other"}), 0);
	assert_near(level(w, "tier-1", "k,gpt-4o", RESOURCE_TOKENS, 0), 29800);
	world_free(w);
}

static void a_model_that_the_tier_does_not_know_is_not_limited(void **state)
{
	(void)state;
	struct world *w = tiered();

	assert_int_equal(submit_model(w, 1, "my-own", 1e9, 0), VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 2, 1e9), 0), VERDICT_ADMITTED); // nor one without model
	// A known one has only the limits that its row has.
	struct ask ask = ASK(w, 3, 1e9, {LABEL_MODEL, "dall-e-3"});
	ask.amounts[RESOURCE_IMAGES] = 5;
	assert_int_equal(submit(w, ask, 0), VERDICT_ADMITTED);
	ask.id = 4;
	assert_int_equal(submit(w, ask, 0), VERDICT_QUEUED);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_key_has_its_own_bucket),
		cmocka_unit_test(who_lacks_the_key_label_shares_one_bucket_or_passes),
		cmocka_unit_test(who_passes_without_a_key_is_counted),
		cmocka_unit_test(a_built_in_label_that_is_absent_is_empty),
		cmocka_unit_test(an_overlong_key_is_no_way_out),
		cmocka_unit_test(keys_may_come_from_rules),
		cmocka_unit_test(each_model_has_its_tier_s_limits),
		cmocka_unit_test(snapshots_of_a_model_share_its_bucket),
		cmocka_unit_test(a_model_that_the_tier_does_not_know_is_not_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
