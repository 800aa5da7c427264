// What the API serves. The ctx of each handler is the daemon.
#ifndef SLUICE_DAEMON_ENDPOINTS_H
#define SLUICE_DAEMON_ENDPOINTS_H

#include "serve/api.h"

extern const struct api_endpoint daemon_endpoints[];

// report.c: what is
api_handler report_status, report_flows, report_queue, report_limits, report_policies, report_teams;
// explain.c: why it is so
api_handler explain_request;
// trace.c: what was
api_handler trace_requests;
// control.c: what would be, and what shall be
api_handler control_policy, control_check, control_reset, control_reload;

#endif
