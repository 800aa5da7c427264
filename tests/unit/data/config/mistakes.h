// Every mistake a policy's writer can make, with the line that must be named (0: none) and the
// words that must be shown, in this order, separated by "|".
struct mistake {
	const char *text;
	int line;
	const char *words;
};

#define LIMIT(keys) "limits:\n  - name: a\n    rpm: 1\n    " keys "\n"
#define RATE(text) "limits:\n  - name: a\n    rpm: " text "\n"
#define TEAM(keys) "teams:\n  - name: a\n    user: a\n    " keys "\n"
#define HOST(text) "providers:\n  - name: a\n    hosts:\n      - " text "\n"

static const struct mistake MISTAKES[] = {
	// Not YAML, or not of the kind we take.
	{"mode: [observe\nteams:\n", 2, "did not find expected|from line 1"},
	{"mode: observe\n\tteams: []\n", 2, "a tab in the indentation|spaces"},
	{"mode: \"observe\n", 2, "unexpected end of stream|quoted scalar"},
	{"mode: *nowhere\n", 1, "undefined alias"},
	{"# \xff\xfe\n", 1, "UTF-8"},
	{"mode: observe\n# gr\xfc\xdf\n", 2, "UTF-8"},
	{"\xff\xfe"
	 "m",
	 1, "UTF-8"},
	{"mode: observe\n# \x01\n", 2, "control characters"},
	{"mode: observe\n---\nmode: enforce\n", 3, "a second document|one in a file"},
	{"mode: !include x\n", 1, "unknown tag|!include|plain values"},
	{"- mode: observe\n", 1, "wrong type for the file|a mapping|found a list"},
	{"observe\n", 1, "wrong type for the file|a mapping|found a single value"},
	{"mode: \"obs\\0erve\"\n", 1, "mode holds a NUL"},
	{"[a]: b\n", 1, "wrong type for a key|found a list"},

	// Keys.
	{"mdoe: observe\n", 1, "unknown key \"mdoe\" in the policy|\"mode\""},
	{"\n\nlogging: yes\n", 3,
	 "unknown key \"logging\"|one of mode, on_daemon_failure, max_wait|limits"},
	{TEAM("wieght: 2"), 4, "unknown key \"wieght\" in a team|\"weight\""},
	{LIMIT("tmp: 2"), 4, "unknown key \"tmp\" in a limit|\"tpm\""},
	{LIMIT("burst: 2"), 4, "unknown key \"burst\" in a limit|name, match, key, rpm, tpm"},
	{LIMIT("match: {modle: x}"), 4, "unknown key \"modle\" in match|\"model\""},
	{HOST("a.b") "    port: 1\n", 5, "unknown key \"port\" in a provider|\"ports\""},
	{TEAM("<<: {rpm: 1}"), 4, "merge keys|not supported"},
	{"mode: observe\nmax_wait: 1s\nmode: enforce\n", 3, "duplicate key \"mode\"|line 1"},
	{LIMIT("rpm: 2"), 4, "duplicate key \"rpm\"|line 3"},

	// Named by the design, not enforced yet.
	{"policies:\n  - name: x\n", 1, "\"policies\" is not enforced yet|limits with rpm and tpm"},
	{"a: b\nblueprint: quota-scheduling/base\nc: d\n", 2,
	 "blueprint \"quota-scheduling/base\" is not enforced yet|rpm"},
	{LIMIT("auto: true"), 4, "\"auto\" is not enforced yet|rpm and tpm"},
	{LIMIT("tier: 3"), 4, "\"tier\" is not enforced yet|rpm and tpm"},
	{LIMIT("rpd: 3"), 4, "\"rpd\" is not enforced yet|rpm or tpm"},
	{LIMIT("tpd: 3"), 4, "\"tpd\" is not enforced yet|rpm or tpm"},
	{LIMIT("ipm: 3"), 4, "\"ipm\" is not enforced yet|rpm"},
	{LIMIT("budget: 3"), 4, "\"budget\" is not enforced yet|tpm"},
	{LIMIT("match: {project: x}"), 4, "\"project\" cannot be matched|organization"},

	// Types.
	{"mode: [observe]\n", 1, "wrong type for mode|observe or enforce|found a list"},
	{"mode:\n", 1, "wrong type for mode|found nothing"},
	{"max_wait: ~\n", 1, "wrong type for max_wait|a duration|found nothing"},
	{"teams:\n  name: a\n", 2, "wrong type for teams|a list of teams|found a mapping"},
	{"teams: a\n", 1, "wrong type for teams|a list of teams|found a single value"},
	{"teams:\n  - chat\n", 2, "wrong type for a team|a mapping|found a single value"},
	{"limits:\n  a: {rpm: 1}\n", 2, "wrong type for limits|a list of limits|found a mapping"},
	{"providers: api.openai.com\n", 1, "wrong type for providers|a list of providers"},
	{"providers:\n  - name: a\n    hosts: {a: b}\n", 3,
	 "wrong type for hosts|a list of host names|found a mapping"},
	{HOST("[a.b]"), 4, "wrong type for hosts|found a list"},
	{TEAM("cgroup: {a: b}"), 4, "wrong type for cgroup|a list of paths|found a mapping"},
	{TEAM("cgroup:"), 4, "wrong type for cgroup|found nothing"},
	{LIMIT("match: gpt-4"), 4, "wrong type for match|a mapping|found a single value"},
	{LIMIT("match:"), 4, "wrong type for match|a mapping|found nothing"},
	{LIMIT("match: {model: [a, b]}"), 4, "wrong type for model|a pattern|found a list"},
	{LIMIT("tpm: {a: 1}"), 4, "wrong type for tpm|found a mapping"},

	// Words and durations.
	{"mode: enforced\n", 1, "mode \"enforced\" is no mode|observe or enforce"},
	{"on_daemon_failure: shut\n", 1, "on_daemon_failure \"shut\"|open or closed"},
	{"on_max_wait: open\n", 1, "on_max_wait \"open\"|deny or admit"},
	{LIMIT("over_limit: drop"), 4, "over_limit \"drop\"|queue or deny"},
	{TEAM("deny: maybe"), 4, "deny \"maybe\"|true or false"},
	{"max_wait: 600\n", 1, "max_wait \"600\" has no unit|250ms"},
	{"max_wait: 0s\n", 1, "max_wait \"0s\"|above 0"},
	{"max_wait: -1s\n", 1, "max_wait \"-1s\" is negative|a duration"},
	{"max_wait: soon\n", 1, "max_wait \"soon\" is not a duration|a duration"},
	{"max_wait: \"\"\n", 1, "max_wait \"\" is not a duration"},
	{"max_wait: 10 s\n", 1, "max_wait \"10 s\" has an unknown unit"},
	{"max_wait: 3weeks\n", 1, "max_wait \"3weeks\" has an unknown unit"},
	{"max_wait: 1m1h\n", 1, "max_wait \"1m1h\" has its units out of order"},
	{"max_wait: 366d\n", 1, "max_wait \"366d\" is too long|365d"},
	{"headroom: 60s\n", 1, "headroom \"60s\" is too long|less than a minute"},
	{"headroom: 250\n", 1, "headroom \"250\" has no unit"},

	// Numbers.
	{RATE("-1"), 3, "rpm \"-1\" is negative|a number a minute"},
	{RATE(".nan"), 3, "rpm \".nan\" is not a finite number"},
	{RATE("NaN"), 3, "rpm \"NaN\" is not a finite number"},
	{RATE(".inf"), 3, "rpm \".inf\" is not a finite number"},
	{RATE("-.inf"), 3, "rpm \"-.inf\" is negative"},
	{RATE("many"), 3, "rpm \"many\" is not a number|40k"},
	{RATE("40,000"), 3, "rpm \"40,000\" is a number with a comma|40_000"},
	{RATE("40m"), 3, "rpm \"40m\" is not a number|1.5M"},
	{RATE("1e6"), 3, "rpm \"1e6\" is not a number"},
	{RATE("0x10"), 3, "rpm \"0x10\" is not a number"},
	{RATE("1__0"), 3, "rpm \"1__0\" is not a number"},
	{RATE("1."), 3, "rpm \"1.\" is not a number"},
	{RATE("1000000001M"), 3, "rpm \"1000000001M\" is larger than 1e15"},
	{RATE("50%"), 3, "rpm \"50%\" is a share, which only a team may have|a number a minute"},
	{TEAM("tpm: 101%"), 4, "tpm \"101%\" is above 100%|0% to 100%"},
	{TEAM("tpm: -5%"), 4, "tpm \"-5%\" is negative"},
	{TEAM("tpm: 5%%"), 4, "tpm \"5%%\" is not a number or a share"},
	{TEAM("tpm: 5k%"), 4, "tpm \"5k%\" is not a number or a share"},
	{TEAM("weight: 0"), 4, "weight \"0\" is not above 0|a number above 0"},
	{TEAM("weight: -1"), 4, "weight \"-1\" is negative|a number above 0"},
	{TEAM("weight: 0.0001"), 4, "weight \"0.0001\" is out of range|0.001"},
	{TEAM("priority: 0"), 4, "priority \"0\" is not above 0"},
	{TEAM("priority: high"), 4, "priority \"high\" is not a number"},

	// Providers.
	{"providers: []\n", 1, "providers is empty|at least one"},
	{"providers:\n  - name: a\n", 2, "a provider has no hosts|a list of host names"},
	{"providers:\n  - name: a\n    hosts: []\n", 3, "hosts is empty|at least one"},
	{"providers:\n  - hosts: [a.b]\n", 2, "a provider has no name"},
	{HOST("https://a.b/v1"), 4, "hosts \"https://a.b/v1\" holds more than a host"},
	{HOST("a.b:443"), 4, "hosts \"a.b:443\"|a port goes into ports"},
	{HOST("api.*.com"), 4, "hosts \"api.*.com\" has a wildcard|*.suffix"},
	{HOST("\"*\""), 4, "hosts \"*\" has a wildcard|*.suffix"},
	{HOST("\"*.*.com\""), 4, "hosts \"*.*.com\" has a wildcard"},
	{HOST("a..b"), 4, "hosts \"a..b\" is no host name"},
	{HOST("a b"), 4, "hosts \"a b\" is no host name"},
	{HOST("-a.b"), 4, "hosts \"-a.b\" is no host name"},
	{HOST("a.b."), 4, "hosts \"a.b.\" is no host name"},
	{HOST("1.2.3"), 4, "hosts \"1.2.3\" is no host name"},
	{HOST("m\xc3\xbcller.de"), 4, "is no host name"},
	{HOST("\"\""), 4, "hosts \"\" is empty"},
	{HOST("a.b") "    ports: [443, 0]\n", 5, "ports \"0\" is out of range|1 to 65535"},
	{HOST("a.b") "    ports: 65536\n", 5, "ports \"65536\" is out of range|1 to 65535"},
	{HOST("a.b") "    ports: [-1]\n", 5, "ports \"-1\" is negative|1 to 65535"},
	{HOST("a.b") "    ports: [https]\n", 5, "ports \"https\" is not a number|1 to 65535"},
	{HOST("a.b") "    ports: []\n", 5, "ports is empty|at least one"},
	{HOST("a.b") "  - {name: a, hosts: c.d}\n", 5, "duplicate provider \"a\"|:2|another name"},

	// Teams.
	{"teams:\n  - user: a\n", 2, "a team has no name"},
	{"teams:\n  - {user: a, name: \"\"}\n", 2, "name \"\" is empty"},
	{"teams:\n  - {user: a, name: \" b\"}\n", 2, "name \" b\" begins or ends with a space"},
	{"teams:\n  - {user: a, name: \"b\\n\"}\n", 2, "name \"b?\" holds control characters"},
	{"teams:\n  - {user: a, name: \"b*\"}\n", 2, "name \"b*\" holds one of|without wildcards"},
	{"teams:\n  - user: a\n    name: "
	 "long-long-long-long-long-long-long-long-long-long-long-long-long-\n",
	 3, "name|is too long|64"},
	{TEAM("cgroup: chat.slice"), 4, "cgroup \"chat.slice\" does not begin with /|/chat.slice"},
	{TEAM("cgroup: /sys/fs/cgroup/a"), 4, "names the mount itself|below the cgroup mount"},
	{TEAM("cgroup: /a//b"), 4, "shortest form"},
	{TEAM("cgroup: /a/../b"), 4, "shortest form"},
	{TEAM("cgroup: \"/a[b\""), 4, "cgroup \"/a[b\" has an unclosed ["},
	{TEAM("cgroup: []"), 4, "cgroup is empty|at least one"},
	{TEAM("unit: nginx"), 4, "unit \"nginx\" has no suffix of a unit|nginx.service"},
	{TEAM("unit: .service"), 4, "unit \".service\" has no suffix"},
	{TEAM("unit: /a/b.service"), 4, "unit \"/a/b.service\" is a path"},
	{"teams:\n  - name: a\n    user: a b\n", 3, "user \"a b\" is no user"},
	{"teams:\n  - name: a\n    user: \"*\"\n", 3, "user \"*\" is no user"},
	{"teams:\n  - name: a\n    user: 4294967295\n", 3, "user \"4294967295\" is out of range"},
	{"teams:\n  - {name: a, user: a}\n  - {name: a, user: b}\n", 3,
	 "duplicate team \"a\"|:2|another name"},
	{"teams:\n  - name: a\n    user: a\n    tpm: 50%\n", 4,
	 "tpm of team \"a\" is a share|no limit|a limit with tpm"},
	{TEAM("tpm: 50%") LIMIT(""), 4, "tpm of team \"a\" is a share|no limit"},
	{TEAM("rpm: 5%") "  - {name: b, user: b}\n" LIMIT("match: {team: b}"), 4,
	 "rpm of team \"a\" is a share|no limit for it"},
	{"teams:\n  - {name: a}\n  - {name: b, user: b}\n", 2,
	 "team \"a\" takes everything|no team after it|a cgroup, unit or user|last"},
	{"teams:\n  - {name: a, cgroup: /}\n  - {name: b, user: b}\n", 2,
	 "team \"a\" takes everything"},
	{"teams:\n  - {name: a, cgroup: [/b, /*]}\n  - {name: b, user: b}\n  - {name: c, user: "
	 "c}\n",
	 2, "team \"a\" takes everything"},
	{"teams:\n  - {name: a, cgroup: /x}\n  - {name: b, cgroup: /x/y, user: b}\n", 3,
	 "team \"b\" is never reached|team \"a\"|:2)|the narrower team first"},
	{"teams:\n  - {name: a, cgroup: /x-*}\n  - {name: b, cgroup: [/x-1, /x-2/z]}\n", 3,
	 "team \"b\" is never reached"},
	{"teams:\n  - {name: a, user: [a, b]}\n  - {name: b, user: b}\n", 3,
	 "team \"b\" is never reached"},
	{"teams:\n  - {name: a, unit: \"w@*.service\"}\n  - {name: b, unit: w@1.service}\n", 3,
	 "team \"b\" is never reached"},

	// Limits.
	{"limits:\n  - rpm: 1\n", 2, "a limit has no name"},
	{"limits:\n  - name: a\n", 2, "limit \"a\" limits nothing|rpm or tpm"},
	{"limits:\n  - {name: a, rpm: 1}\n  - {name: a, tpm: 1}\n", 3,
	 "duplicate limit \"a\"|:2|another name"},
	{LIMIT("key: [model, api-key]"), 4, "key \"api-key\" is no label|api_key, organization"},
	{LIMIT("key: [model, team, model]"), 4, "key of limit \"a\" names a label twice"},
	{LIMIT("match:\n      model: x\n      team: chta"), 6,
	 "limit \"a\" matches team \"chta\", and there is none|the name of a team"},
	{LIMIT("match: {provider: azure}"), 4,
	 "limit \"a\" matches provider \"azure\", and there is none|openai"},
	{LIMIT("match: {model: \"gpt-[4\"}"), 4, "model \"gpt-[4\" has an unclosed ["},
	{LIMIT("match: {model: 'gpt\\4'}"), 4, "holds a backslash"},
	{LIMIT("match: {model: \"\"}"), 4, "model \"\" is empty|gpt-4*"},
	{LIMIT("match: {endpoint: v1/embeddings}"), 4, "does not begin with / or *"},
	{LIMIT("match: {api_key: sk-proj-abc}"), 4, "api_key is no hash of a key|SHA-256"},
	{LIMIT("match: {api_key: 0123}"), 4, "api_key is no hash of a key|16 hex digits"},
};

struct added_mistake {
	const char *main, *added;
	bool in_main;
	int line;
	const char *words;
};

static const struct added_mistake ADDED_MISTAKES[] = {
	{"", "mode: enforce\n", false, 1, "\"mode\" belongs in the main file|teams or limits"},
	{"", "\nproviders: []\n", false, 2, "\"providers\" belongs in the main file"},
	{"", "blueprint: x/y\nuri: z\npolicy: {}\n", false, 1, "blueprint \"x/y\" is not enforced"},
	{"", "temas: []\n", false, 1, "unknown key \"temas\" in a file of policies.d|\"teams\""},
	{"teams:\n  - {name: a, user: a}\n", "teams:\n\n  - {name: a, user: b}\n", false, 3,
	 "duplicate team \"a\"|sluice.yaml:2"},
	{"teams:\n  - {name: rest}\n", "teams:\n  - {name: a, user: b}\n", true, 2,
	 "team \"rest\" takes everything|last one of the last file"},
	{"teams:\n  - {name: a, user: a}\n", "teams:\n  - {name: b, user: a}\n", false, 2,
	 "team \"b\" is never reached|sluice.yaml:2"},
	{"limits:\n  - {name: a, rpm: 1}\n", "limits:\n  - {name: b, rpm: 1, match: {team: x}}\n",
	 false, 2, "team \"x\", and there is none"},
};
