// The table of the API's endpoints. Paths and keys are documented in sluice(1) and are a promise.
#include "daemon/endpoints.h"

const struct api_endpoint daemon_endpoints[] = {
	{"GET", "/v1/status", report_status, NULL},
	{"GET", "/v1/flows", report_flows, NULL},
	{"GET", "/v1/queue", report_queue, NULL},
	{"GET", "/v1/limits", report_limits, NULL},
	{"GET", "/v1/policies", report_policies, NULL},
	{"GET", "/v1/teams", report_teams, NULL},
	{"GET", "/v1/explain", explain_request, NULL},
	{"GET", "/v1/trace", trace_requests, NULL},
	{"GET", "/v1/policy", control_policy, "application/yaml"},
	{"POST", "/v1/check", control_check, NULL},
	{"POST", "/v1/reset", control_reset, NULL},
	{"POST", "/v1/reload", control_reload, NULL},
	{0},
};
