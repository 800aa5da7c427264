// Which team a process is counted to.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/teams.h"

#define LIST(...) ((char *[]){__VA_ARGS__, NULL})

static bool is_in(struct team *team, const char *cgroup, uint32_t uid, const char *user)
{
	struct policy policy = {.teams = team, .n_teams = 1};

	return team_of_process(&policy, cgroup, uid, user) == team;
}

static bool glob_takes(char *glob, const char *cgroup)
{
	return is_in(&(struct team){.cgroups = LIST(glob)}, cgroup, 0, "");
}

static void a_cgroup_takes_its_subtree_only(void **state)
{
	(void)state;
	assert_true(glob_takes("/chat.slice", "/chat.slice"));
	assert_true(glob_takes("/chat.slice", "/chat.slice/a.service/b"));
	assert_true(glob_takes("/chat.slice/", "/chat.slice/a.service"));
	assert_false(glob_takes("/chat.slice", "/chat.slice2"));
	assert_false(glob_takes("/chat.slice", "/x/chat.slice"));
	assert_false(glob_takes("/chat.slice/a.service", "/chat.slice"));
	assert_false(glob_takes("/chat.slice", "/"));
}

static void a_glob_stays_within_its_component(void **state)
{
	(void)state;
	assert_true(glob_takes("/review-*.slice", "/review-a.slice/x.service"));
	assert_false(glob_takes("/review-*.slice", "/review-a/b.slice"));
	assert_true(glob_takes("/*/x.service", "/y.slice/x.service/z"));
	assert_true(glob_takes("/a\\x2db.slice", "/a\\x2db.slice/x"));
}

static void the_root_takes_everything(void **state)
{
	(void)state;
	assert_true(glob_takes("/", "/"));
	assert_true(glob_takes("/", "/any/thing"));
}

static void a_unit_is_any_component(void **state)
{
	(void)state;
	struct team team = {.units = LIST("nginx.service", "job-*.scope")};

	assert_true(is_in(&team, "/system.slice/nginx.service", 0, ""));
	assert_true(is_in(&team, "/system.slice/nginx.service/worker", 0, ""));
	assert_true(is_in(&team, "/user.slice/job-7.scope", 0, ""));
	assert_false(is_in(&team, "/system.slice/nginx.service.d", 0, ""));
	assert_false(is_in(&team, "/", 0, ""));
}

static void a_user_is_a_name_or_a_number(void **state)
{
	(void)state;
	struct team team = {.users = LIST("batch", "1001")};

	assert_true(is_in(&team, "/", 7, "batch"));
	assert_true(is_in(&team, "/", 1001, ""));
	assert_true(is_in(&team, "/", 1001, "other"));
	assert_false(is_in(&team, "/", 100, "other"));
	assert_false(is_in(&team, "/", 7, ""));
}

static void all_kinds_given_must_match_and_the_first_team_wins(void **state)
{
	(void)state;
	struct team teams[] = {
		{.cgroups = LIST("/a"), .users = LIST("x")},
		{.cgroups = LIST("/a", "/b")},
		{.users = LIST("x")},
	};
	struct policy policy = {.teams = teams, .n_teams = 3};

	assert_ptr_equal(team_of_process(&policy, "/a", 0, "x"), &teams[0]);
	assert_ptr_equal(team_of_process(&policy, "/a", 0, "y"), &teams[1]);
	assert_ptr_equal(team_of_process(&policy, "/b/c", 0, "x"), &teams[1]);
	assert_ptr_equal(team_of_process(&policy, "/c", 0, "x"), &teams[2]);
	assert_null(team_of_process(&policy, "/c", 0, "y"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cgroup_takes_its_subtree_only),
		cmocka_unit_test(a_glob_stays_within_its_component),
		cmocka_unit_test(the_root_takes_everything),
		cmocka_unit_test(a_unit_is_any_component),
		cmocka_unit_test(a_user_is_a_name_or_a_number),
		cmocka_unit_test(all_kinds_given_must_match_and_the_first_team_wins),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
