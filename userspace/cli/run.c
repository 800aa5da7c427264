// sluice run: a command as a member of a team. This process moves into the team's cgroup and then
// becomes the command, so that its pid, terminal, signals and exit code are the command's own.
// The cgroup stays when the command ends: another run may be in it.
#include <errno.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cgroup.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/field.h"
#include "base/cleanup.h"

// Where the command is to run. Both malloc'd.
struct place {
	char *mount; // the daemon's; NULL: unknown
	char *path;
};

static void place_clear(struct place *place)
{
	free(place->mount);
	free(place->path);
}

static struct json_object *find_team(struct json_object *teams, const char *name)
{
	size_t n =
		json_object_is_type(teams, json_type_array) ? json_object_array_length(teams) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *team = json_object_array_get_idx(teams, i);

		if (!strcmp(field_text(team, "name"), name))
			return team;
	}
	return NULL;
}

static int no_such_team(struct json_object *teams, const char *name)
{
	size_t n =
		json_object_is_type(teams, json_type_array) ? json_object_array_length(teams) : 0;
	char list[512] = "";
	size_t used = 0;

	if (!n)
		return cli_fail("there is no team %s: the policy that sluiced runs names none",
				name);
	for (size_t i = 0; i < n && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
					 field_text(json_object_array_get_idx(teams, i), "name"));
	return cli_fail("there is no team %s; there are: %s", name, list);
}

// The first of the list, as text; NULL: it is empty.
static const char *first(struct json_object *team, const char *key)
{
	return field_count(team, key) ? json_object_get_string(field_element(team, key, 0)) : NULL;
}

static int no_cgroup(struct json_object *team, const char *name)
{
	const char *user = first(team, "user"), *unit = first(team, "unit");

	if (first(team, "cgroup"))
		return cli_fail("team %s: no cgroup can be made from the pattern %s; give one that "
				"it matches with --cgroup PATH",
				name, first(team, "cgroup"));
	if (unit)
		return cli_fail(
			"team %s is a systemd unit, not a cgroup; instead: systemd-run --unit=%s "
			"COMMAND, or systemctl start %s",
			name, unit, unit);
	if (user)
		return cli_fail(
			"team %s is a user, not a cgroup; instead: runuser -u %s -- COMMAND", name,
			user);
	return cli_fail("team %s names no cgroup; every process is in it that no team before it "
			"takes, so COMMAND needs no sluice run",
			name);
}

static bool is_literal(const char *pattern)
{
	return !strpbrk(pattern, "*?[\\");
}

// A path of the team's: of its first pattern without wildcards, else of its first usable one.
static int path_of_team(struct json_object *team, char **ret)
{
	for (int literal = 1; literal >= 0; literal--) {
		for (size_t i = 0; i < field_count(team, "cgroup"); i++) {
			const char *pattern =
				json_object_get_string(field_element(team, "cgroup", i));
			int error;

			if (!pattern || (literal && !is_literal(pattern)))
				continue;
			error = cgroup_from_pattern(pattern, ret);
			if (error != -EINVAL)
				return error;
		}
	}
	return -EINVAL;
}

static bool names_this_user(struct json_object *team)
{
	const struct passwd *me = getpwuid(getuid());
	char uid[16];

	snprintf(uid, sizeof(uid), "%u", (unsigned int)getuid());
	for (size_t i = 0; i < field_count(team, "user"); i++) {
		const char *user = json_object_get_string(field_element(team, "user", i));

		if (user && (!strcmp(user, uid) || (me && !strcmp(user, me->pw_name))))
			return true;
	}
	return false;
}

// The cgroup alone does not make a member of a team that asks for more. A command may still change
// its user by itself (runuser), so this is said and not refused.
static void warn_of_conditions(struct json_object *team, const char *name)
{
	if (first(team, "user") && !names_this_user(team))
		cli_fail("note: team %s takes only processes of user %s; run it as: sluice run ... "
			 "runuser -u %s -- COMMAND",
			 name, first(team, "user"), first(team, "user"));
	if (first(team, "unit"))
		cli_fail("note: team %s takes only processes of the systemd unit %s, too", name,
			 first(team, "unit"));
}

static int find_place(const struct cli *cli, struct json_object *teams, struct place *ret)
{
	struct json_object *team = find_team(teams, cli->team);
	const char *mount;
	int error;

	if (!team)
		return no_such_team(teams, cli->team);
	error = path_of_team(team, &ret->path);
	if (error == -EINVAL)
		return no_cgroup(team, cli->team);
	if (error)
		return cli_fail("%s", strerror(-error));
	warn_of_conditions(team, cli->team);
	mount = field_text(team, "cgroup_mount");
	ret->mount = *mount ? strdup(mount) : NULL;
	return CLI_OK;
}

static int ask_daemon(const struct cli *cli, struct place *ret)
{
	struct reply reply;
	int result;
	int error = client_get(cli, "/v1/teams", &reply);

	if (error) {
		result = client_failed(cli, error);
		cli_fail("without sluiced, give --cgroup PATH instead of --team");
		return result;
	}
	result = find_place(cli, reply.json, ret);
	reply_clear(&reply);
	return result;
}

static int enter(const struct place *place)
{
	CLEANUP_FREE char *mount = NULL;
	int error = cgroup_mount(place->mount, &mount);

	if (error == -ENOENT)
		return cli_fail(
			"cgroup v2 is not mounted; mount -t cgroup2 none /sys/fs/cgroup, or boot "
			"with systemd.unified_cgroup_hierarchy=1");
	if (error)
		return cli_fail("cannot read /proc/self/mountinfo: %s", strerror(-error));
	error = cgroup_enter(mount, place->path);
	switch (-error) {
	case 0:
		return CLI_OK;
	case EACCES:
	case EPERM:
		return cli_fail(
			"cannot enter the cgroup %s%s: %s; run it as root: sudo sluice run ...",
			mount, place->path, strerror(-error));
	case EINVAL:
		return cli_fail(
			"--cgroup %s: expected a path below %s that begins with / and has no ..",
			place->path, mount);
	case EOPNOTSUPP:
		return cli_fail("cannot enter the cgroup %s%s: it is threaded or invalid (see its "
				"cgroup.type); give another with --cgroup PATH",
				mount, place->path);
	}
	return cli_fail("cannot enter the cgroup %s%s: %s; give another with --cgroup PATH", mount,
			place->path, strerror(-error));
}

int verb_run(const struct cli *cli, int argc, char **argv)
{
	__attribute__((cleanup(place_clear))) struct place place = {0};
	int result = CLI_OK;

	(void)argc;
	if (!cli->team && !cli->cgroup)
		return cli_misuse("run: in whose cgroup? give --team NAME, or --cgroup PATH");
	if (cli->cgroup)
		place.path = strdup(cli->cgroup);
	else
		result = ask_daemon(cli, &place);
	if (!result)
		result = place.path ? enter(&place) : cli_fail("%s", strerror(ENOMEM));
	if (result)
		return result;
	execvp(argv[0], argv);
	result = errno == ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_EXECUTE;
	cli_fail("cannot run %s: %s", argv[0], strerror(errno));
	return result;
}
